//! Outputs: names, and readers from the first byte to the finish.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::Timestamp;
use renga_ports::{LogsError, OutputInfo, OutputStream};
use tokio::sync::watch;

use crate::journal::{self, Item, JournalReader, Kind};

/// A UUID, or two.
const NAME_BYTES_MAX: usize = 80;
/// What one look reads at most.
const LOOK_BYTES_MAX: usize = 256 * 1024;
/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Hex digits and dashes: it becomes a directory's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OutputName(String);

impl OutputName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal);
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn directory(&self, outputs: &Path) -> PathBuf {
        outputs.join(&self.0)
    }
}

/// One reader. It ends with the finish, when the output is removed, or when the store is closed.
struct Follower {
    reader: JournalReader,
    wake: watch::Receiver<()>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

/// None if there is no such output (yet).
pub(crate) async fn open(directory: PathBuf) -> Result<Option<JournalReader>, LogsError> {
    let open = move || {
        if !journal::exists(&directory) {
            return Ok(None);
        }
        JournalReader::open(&directory, 0).map(Some)
    };
    blocking("open", open).await
}

/// `wake` must have been subscribed before the reader was opened.
pub(crate) fn follow(reader: JournalReader, wake: watch::Receiver<()>) -> OutputStream {
    let follower = Follower { reader, wake, ready: VecDeque::new(), ended: false };
    Box::pin(futures_util::stream::unfold(follower, Follower::next))
}

impl Follower {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some((bytes, self));
            }
            if self.ended {
                return None;
            }
            self.wake.borrow_and_update();
            let looked = tokio::task::spawn_blocking(move || {
                let result = self.look();
                (self, result)
            });
            let (follower, result) = looked.await.ok()?;
            self = follower;
            if let Err(error) = result {
                tracing::warn!(error = %error, "could not read an output");
                return None;
            }
            if self.ready.is_empty() && !self.ended && self.wake.changed().await.is_err() {
                // Removed, or closed. What was written before that still counts.
                self.ended = true;
                self.look().ok()?;
            }
        }
    }

    /// Joins records to larger pieces.
    fn look(&mut self) -> io::Result<()> {
        let mut piece = Vec::new();
        while piece.len() < LOOK_BYTES_MAX {
            match self.reader.next_item()? {
                Some(Item::Record(record)) if record.kind == Kind::Finish => {
                    self.ended = true;
                    break;
                }
                Some(Item::Record(record)) => piece.extend_from_slice(&record.payload),
                Some(Item::Lost(count)) => {
                    let note = format!(" !     {count} lines of this output are no longer kept.\n");
                    piece.extend_from_slice(note.as_bytes());
                }
                None => break,
            }
        }
        if !piece.is_empty() {
            self.ready.push_back(piece.into());
        }
        Ok(())
    }
}

/// What lies in the outputs' folder. Outputs that go while we look are left out.
pub(crate) fn list(root: &Path) -> io::Result<Vec<OutputInfo>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root)? {
        let folder = folder?;
        let name = folder.file_name();
        if let Some(name) = name.to_str().and_then(OutputName::parse)
            && let Ok((bytes, changed_at)) = measure(&folder.path())
        {
            found.push(OutputInfo { name: name.0, bytes, changed_at });
        }
    }
    Ok(found)
}

/// Bytes on disk, and the time of the last write.
fn measure(folder: &Path) -> io::Result<(u64, Timestamp)> {
    let own = fs::metadata(folder)?;
    let (mut bytes, mut changed) = (own.blocks() * BLOCK_BYTES, own.modified()?);
    for file in fs::read_dir(folder)? {
        let meta = file?.metadata()?;
        bytes += meta.blocks() * BLOCK_BYTES;
        changed = changed.max(meta.modified()?);
    }
    Ok((bytes, Timestamp::try_from(changed).map_err(io::Error::other)?))
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, LogsError> {
    let joined = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    joined.and_then(|result| result).map_err(|cause| LogsError::Io { operation, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hex_and_dashes() {
        assert!(OutputName::parse("0f6c2d9e-1111-4222-8333-444455556666").is_some());
        for bad in ["", "..", "a/b", "x", "a\0", &"a".repeat(81)] {
            assert!(OutputName::parse(bad).is_none(), "{bad}");
        }
    }
}

//! Outputs: names, and readers from the first byte to the finish.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use renga_ports::{LogsError, OutputStream};
use tokio::sync::watch;

use crate::journal::{self, Item, JournalReader, Kind};

/// A UUID, or two.
const NAME_BYTES_MAX: usize = 80;
/// What one look reads at most.
const LOOK_BYTES_MAX: usize = 256 * 1024;

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

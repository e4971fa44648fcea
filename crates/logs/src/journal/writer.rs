//! The writing side. Records are gathered in memory and become visible, and remembered, with a flush.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    FILE_HEAD_BYTES, Kind, MAGIC, Origin, PLATFORM, POSITION_BYTES, POSITIONS_MAX, encode, files, path,
    scan::Scanner,
};

/// A batch of this size is written without waiting for a flush.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// The current file and the one before.
const FILES_MAX: usize = 2;
const FRESH: &str = "next.tmp";

/// A file is full when it has reached both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation {
    pub(crate) records_min: u64,
    pub(crate) bytes_min: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) seq: u64,
    pub(crate) payload: &'a [u8],
}

/// Tells whether an origin may still speak: its position is carried into the next file.
pub(crate) type Lives<'a> = &'a dyn Fn(&Origin) -> bool;

/// One writer at a time is the caller's promise. After an error it must be dropped and opened again.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    directory: PathBuf,
    rotation: Rotation,
    file: File,
    bytes: u64,
    records: u64,
    next_id: u64,
    positions: HashMap<Origin, u64>,
    finished: bool,
    batch: Vec<u8>,
}

impl JournalWriter {
    /// Goes on behind the last whole record; a torn end is cut off.
    pub(crate) fn open(directory: &Path, rotation: Rotation) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut lost = 0;
        for first in files(directory)?.into_iter().rev() {
            match Self::recover(directory, rotation, first) {
                // A crash of the machine can leave a name without content: its records are gone, and their numbers
                // come again, for nobody can know them.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    fs::remove_file(path(directory, first))?;
                    lost = lost.max(first);
                }
                Ok(writer) if lost == 0 => return Ok(writer),
                Ok(writer) => return Self::create(directory, rotation, lost, writer.positions),
                Err(error) => return Err(error),
            }
        }
        Self::create(directory, rotation, lost.max(1), HashMap::new())
    }

    fn recover(directory: &Path, rotation: Rotation, first: u64) -> io::Result<Self> {
        let path = path(directory, first);
        let (mut scanner, mut positions) = Scanner::open(&path, first)?;
        let (mut records, mut next_id, mut finished) = (0, first, false);
        while let Some(record) = scanner.next_record()? {
            records += 1;
            next_id = record.id + 1;
            finished |= record.kind == Kind::Finish;
            if record.origin != PLATFORM {
                positions.insert(record.origin, record.seq);
            }
        }
        let file = OpenOptions::new().write(true).open(&path)?;
        let bytes = scanner.position();
        file.set_len(bytes)?;
        let directory = directory.to_owned();
        Ok(Self {
            directory,
            rotation,
            file,
            bytes,
            records,
            next_id,
            positions,
            finished,
            batch: Vec::new(),
        })
    }

    fn create(
        directory: &Path,
        rotation: Rotation,
        first: u64,
        positions: HashMap<Origin, u64>,
    ) -> io::Result<Self> {
        let (file, bytes) = create_file(directory, first, &positions)?;
        Ok(Self {
            directory: directory.to_owned(),
            rotation,
            file,
            bytes,
            records: 0,
            next_id: first,
            positions,
            finished: false,
            batch: Vec::new(),
        })
    }

    /// The last number of an origin that is in the journal.
    pub(crate) fn position(&self, origin: &Origin) -> Option<u64> {
        self.positions.get(origin).copied()
    }

    pub(crate) fn finished(&self) -> bool {
        self.finished
    }

    /// Nothing is appended behind the finish.
    pub(crate) fn append(&mut self, record: &NewRecord<'_>, lives: Lives<'_>) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        encode(record, self.next_id, &mut self.batch);
        self.next_id += 1;
        self.records += 1;
        self.finished = record.kind == Kind::Finish;
        if record.origin != PLATFORM {
            self.positions.insert(record.origin, record.seq);
        }
        if self.batch.len() >= BATCH_BYTES_MAX { self.flush(lives) } else { Ok(()) }
    }

    /// Makes everything appended visible.
    pub(crate) fn flush(&mut self, lives: Lives<'_>) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.batch, self.bytes)?;
        self.bytes += self.batch.len() as u64;
        self.batch.clear();
        let full = self.records >= self.rotation.records_min && self.bytes >= self.rotation.bytes_min;
        // The records are safe; a file that cannot be changed now grows on until it can.
        if full
            && !self.finished
            && let Err(error) = self.rotate(lives)
        {
            tracing::warn!(error = %error, journal = %self.directory.display(), "could not rotate a journal");
        }
        Ok(())
    }

    fn rotate(&mut self, lives: Lives<'_>) -> io::Result<()> {
        self.positions.retain(|origin, _| lives(origin));
        (self.file, self.bytes) = create_file(&self.directory, self.next_id, &self.positions)?;
        self.records = 0;
        let found = files(&self.directory)?;
        for old in &found[..found.len().saturating_sub(FILES_MAX)] {
            fs::remove_file(path(&self.directory, *old))?;
        }
        Ok(())
    }
}

fn create_file(directory: &Path, first: u64, positions: &HashMap<Origin, u64>) -> io::Result<(File, u64)> {
    let mut carried = Vec::with_capacity(positions.len().min(POSITIONS_MAX) * POSITION_BYTES);
    for (origin, seq) in positions.iter().take(POSITIONS_MAX) {
        carried.extend_from_slice(origin);
        carried.extend_from_slice(&seq.to_le_bytes());
    }
    let count = u32::try_from(carried.len() / POSITION_BYTES).expect("bounded above");
    let mut head = Vec::with_capacity(FILE_HEAD_BYTES + carried.len());
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&first.to_le_bytes());
    head.extend_from_slice(&count.to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&carried).to_le_bytes());
    head.extend_from_slice(&carried);
    let fresh = directory.join(FRESH);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&fresh)?;
    file.write_all_at(&head, 0)?;
    fs::rename(&fresh, path(directory, first))?;
    Ok((file, head.len() as u64))
}

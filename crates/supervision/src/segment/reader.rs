//! The reading side: follows the files while they grow, rotate and vanish.
//!
//! ```text
//! read on in the file ──end──> is the next file there? ──yes──> its first record
//!          ^                        │no                             │
//!          └─────── later ──────────┴─ our file was removed ──> the oldest file there is
//! ```
//!
//! At the end of a file the name of the next one is known (the number behind the last record), so a poll that finds
//! nothing costs an `fstat` and an `open` that fails. To wait, watch the directory with inotify for modify and create.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    Decoded, FILE_HEAD_BYTES, MAGIC, RECORD_BYTES_MAX, RECORD_HEAD_BYTES, Record, SegmentError, decode,
    names::{segment_path, segments},
};

const CHUNK_BYTES: usize = 64 * 1024;
const _: () = assert!(CHUNK_BYTES >= RECORD_HEAD_BYTES + RECORD_BYTES_MAX);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Record(Record),
    /// So many records that were written, or should have been, can't be had any more.
    Gap {
        lost: u64,
    },
}

#[derive(Debug)]
pub struct SegmentReader {
    directory: PathBuf,
    open: Option<Open>,
    /// Number of the next record, if none was lost.
    expected: u64,
    /// A record that comes after the gap that was reported for it.
    held: Option<Record>,
}

#[derive(Debug)]
struct Open {
    file: File,
    first: u64,
    /// Where `chunk` begins in the file.
    offset: u64,
    chunk: Vec<u8>,
    /// What of `chunk` has been taken.
    taken: usize,
    /// Number behind the last record seen in this file: the next file's name.
    end_seq: u64,
    /// What lies ahead is no record.
    broken: bool,
}

impl SegmentReader {
    /// Starts behind record `after_seq` (0: at the beginning). The directory may not exist yet. If the writer lost
    /// numbers that the caller had seen (the machine crashed), reading starts at what is written next.
    pub fn open(directory: &Path, after_seq: u64) -> Result<Self, SegmentError> {
        let mut reader =
            Self { directory: directory.to_owned(), open: None, expected: after_seq + 1, held: None };
        let found = reader.list()?;
        let wanted = found.iter().rev().find(|first| **first <= reader.expected).or(found.first());
        let Some(first) = wanted else {
            reader.expected = 1;
            return Ok(reader);
        };
        reader.enter(*first)?;
        reader.skip(after_seq, found.last() == Some(first))?;
        Ok(reader)
    }

    /// The next entry, or none if there is nothing new by now.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, SegmentError> {
        if let Some(record) = self.held.take() {
            return Ok(Some(Entry::Record(record)));
        }
        loop {
            let Some(record) = self.next_record()? else { return Ok(None) };
            if record.seq < self.expected {
                continue;
            }
            let lost = record.seq - self.expected;
            self.expected = record.seq + 1;
            if lost == 0 {
                return Ok(Some(Entry::Record(record)));
            }
            self.held = Some(record);
            return Ok(Some(Entry::Gap { lost }));
        }
    }

    /// The number to pass to [`SegmentReader::open`] for going on from here.
    pub fn after_seq(&self) -> u64 {
        match &self.held {
            Some(record) => record.seq - 1,
            None => self.expected - 1,
        }
    }

    /// Past what the caller has seen. In the newest file the end may come first: see [`SegmentReader::open`].
    fn skip(&mut self, after_seq: u64, newest: bool) -> Result<(), SegmentError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        loop {
            match open.next_record().map_err(SegmentError::new("read", &self.directory))? {
                Some(record) if record.seq > after_seq => {
                    open.step_back(&record);
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    if newest {
                        self.expected = self.expected.min(open.end_seq);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn next_record(&mut self) -> Result<Option<Record>, SegmentError> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(record) =
                    open.next_record().map_err(SegmentError::new("read", &self.directory))?
            {
                return Ok(Some(record));
            }
            let Some(next) = self.find_next()? else { return Ok(None) };
            // The file may have grown between the look into it and the look for the next one; once there is a next
            // one it grows no more.
            if let Some(open) = &mut self.open
                && let Some(record) =
                    open.next_record().map_err(SegmentError::new("read", &self.directory))?
            {
                return Ok(Some(record));
            }
            if !self.enter(next)? {
                self.open = None;
            }
        }
    }

    /// The file to go on with, if there is one beyond the open one.
    fn find_next(&self) -> Result<Option<u64>, SegmentError> {
        let Some(open) = &self.open else {
            return Ok(self.list()?.first().copied());
        };
        if open.end_seq > open.first && segment_path(&self.directory, open.end_seq).exists() {
            return Ok(Some(open.end_seq));
        }
        let ours = open.file.metadata().map_err(SegmentError::new("inspect", &self.directory))?;
        // A removed file, or one with a broken record in it, has no known successor.
        if ours.nlink() > 0 && !open.broken {
            return Ok(None);
        }
        Ok(self.list()?.into_iter().find(|first| *first > open.first))
    }

    /// False if the file has just been removed.
    fn enter(&mut self, first: u64) -> Result<bool, SegmentError> {
        let path = segment_path(&self.directory, first);
        match File::open(&path) {
            Ok(file) => {
                let chunk = Vec::new();
                self.open =
                    Some(Open { file, first, offset: 0, chunk, taken: 0, end_seq: first, broken: false });
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(SegmentError::new("open", path)(cause)),
        }
    }

    fn list(&self) -> Result<Vec<u64>, SegmentError> {
        match segments(&self.directory) {
            Err(error) if error.cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }
}

// === impl Open ===

impl Open {
    fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            match self.decode() {
                Decoded::Record(record, taken) => {
                    self.taken += taken;
                    self.end_seq = record.seq + 1;
                    self.broken = false;
                    return Ok(Some(record));
                }
                Decoded::Broken => {
                    // Looked at afresh next time: half a batch is cut off and written over.
                    self.broken = true;
                    self.forget_chunk();
                    return Ok(None);
                }
                Decoded::Short => {
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The head of the file counts as short until it is there.
    fn decode(&mut self) -> Decoded {
        if self.offset == 0 && self.taken < FILE_HEAD_BYTES {
            if self.chunk.len() < FILE_HEAD_BYTES {
                return Decoded::Short;
            }
            if self.chunk[..MAGIC.len()] != MAGIC {
                return Decoded::Broken;
            }
            self.taken = FILE_HEAD_BYTES;
        }
        decode(&self.chunk[self.taken..])
    }

    fn forget_chunk(&mut self) {
        self.offset += self.taken as u64;
        self.taken = 0;
        self.chunk = Vec::new();
    }

    /// Reads on from the first byte that was not taken; false if the file has no more than the chunk.
    fn fill(&mut self) -> io::Result<bool> {
        let start = self.offset + self.taken as u64;
        let have = self.chunk.len() - self.taken;
        if self.file.metadata()?.len() <= start + have as u64 {
            // Nothing new: keep no buffer while idle. What was short is read again later.
            self.forget_chunk();
            return Ok(false);
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < chunk.len() {
            match self.file.read_at(&mut chunk[filled..], start + filled as u64)? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        chunk.truncate(filled);
        (self.chunk, self.offset, self.taken) = (chunk, start, 0);
        Ok(filled > have)
    }

    fn step_back(&mut self, record: &Record) {
        self.taken -= RECORD_HEAD_BYTES + record.data.len();
        self.end_seq = record.seq;
    }
}

//! Reads one file forwards, record by record, while it may still grow.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use super::{
    Decoded, FILE_HEAD_BYTES, MAGIC, Origin, POSITION_BYTES, POSITIONS_MAX, Record, array_at, decode, u32_at,
    u64_at,
};

const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    /// Where `chunk` begins in the file, and what of it has been taken.
    offset: u64,
    chunk: Vec<u8>,
    taken: usize,
}

impl Scanner {
    /// Opens a file and reads its head. `InvalidData` if this is no file of ours.
    pub(super) fn open(path: &Path, first: u64) -> io::Result<(Self, HashMap<Origin, u64>)> {
        let file = File::open(path)?;
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not a journal file");
        let mut head = [0; FILE_HEAD_BYTES];
        file.read_exact_at(&mut head, 0).map_err(|_| invalid())?;
        let count = u32_at(&head, 16) as usize;
        if head[..8] != MAGIC || u64_at(&head, 8) != first || count > POSITIONS_MAX {
            return Err(invalid());
        }
        let mut positions = vec![0; count * POSITION_BYTES];
        file.read_exact_at(&mut positions, FILE_HEAD_BYTES as u64).map_err(|_| invalid())?;
        if crc32fast::hash(&positions) != u32_at(&head, 20) {
            return Err(invalid());
        }
        let position = |bytes: &[u8]| (array_at(bytes, 0), u64_at(bytes, 16));
        let positions = positions.chunks_exact(POSITION_BYTES).map(position);
        let offset = (FILE_HEAD_BYTES + count * POSITION_BYTES) as u64;
        Ok((Self { file, offset, chunk: Vec::new(), taken: 0 }, positions.collect()))
    }

    /// The next whole record, or none by now. A broken one is looked at afresh each time: it may be torn only yet.
    pub(super) fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            match decode(&self.chunk[self.taken..]) {
                Decoded::Record(record, bytes) => {
                    self.taken += bytes;
                    return Ok(Some(record));
                }
                Decoded::Short(needed) => {
                    if !self.fill(needed)? {
                        return Ok(None);
                    }
                }
                Decoded::Broken => {
                    self.forget_chunk();
                    return Ok(None);
                }
            }
        }
    }

    /// The next record will be this one again.
    pub(super) fn step_back(&mut self, record: &Record) {
        self.taken -= super::RECORD_HEAD_BYTES + record.payload.len();
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.taken as u64
    }

    /// Whether the file has lost its name.
    pub(super) fn removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    fn forget_chunk(&mut self) {
        self.offset = self.position();
        self.taken = 0;
        self.chunk = Vec::new();
    }

    /// Reads from the first byte that was not taken; false if the file has not so many.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        let start = self.position();
        if self.file.metadata()?.len() < start + needed as u64 {
            // Nothing new: an idle reader keeps no buffer.
            self.forget_chunk();
            return Ok(false);
        }
        let mut chunk = vec![0; needed.max(CHUNK_BYTES)];
        let mut filled = 0;
        while filled < chunk.len() {
            match self.file.read_at(&mut chunk[filled..], start + filled as u64)? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        chunk.truncate(filled);
        (self.chunk, self.offset, self.taken) = (chunk, start, 0);
        Ok(filled >= needed)
    }
}

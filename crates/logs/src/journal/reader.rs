//! The reading side: any number of readers, each with its own place, while the writer goes on.
//!
//! At the end of a file the next one's name is known: it is the number of the next record. A reader that was away for
//! so long that its file is gone goes on with the oldest there is, and says how many records it missed.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Record, files, path, scan::Scanner};

/// Files may rotate away while we look for one; each look finds a newer one.
const LOOKS_MAX: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Record(Record),
    /// So many records are no longer kept.
    Lost(u64),
}

#[derive(Debug)]
pub(crate) struct JournalReader {
    directory: PathBuf,
    open: Option<(u64, Scanner)>,
    /// Number of the next record.
    next_id: u64,
}

impl JournalReader {
    /// Starts behind record `after`; an `after` that the journal has not reached means its end.
    pub(crate) fn open(directory: &Path, after: u64) -> io::Result<Self> {
        let mut reader = Self { directory: directory.to_owned(), open: None, next_id: after + 1 };
        for _ in 0..LOOKS_MAX {
            let found = files(directory)?;
            let wanted = found.iter().rev().find(|first| **first <= reader.next_id).or(found.first());
            let Some(first) = wanted.copied() else {
                reader.next_id = 1;
                return Ok(reader);
            };
            if reader.enter(first)? {
                reader.skip(first, found.last() == Some(&first))?;
                return Ok(reader);
            }
        }
        Err(io::Error::other("the journal rotates faster than it can be opened"))
    }

    /// Starts with the oldest record there is, without calling what came before it lost.
    pub(crate) fn open_oldest(directory: &Path) -> io::Result<Self> {
        let oldest = files(directory)?.first().copied().unwrap_or(1);
        Self::open(directory, oldest.saturating_sub(1))
    }

    /// The next item, or none by now.
    pub(crate) fn next_item(&mut self) -> io::Result<Option<Item>> {
        for _ in 0..LOOKS_MAX {
            if let Some(item) = self.read_on()? {
                return Ok(Some(item));
            }
            let Some(next) = self.find_next()? else { return Ok(None) };
            // The file may have grown after we looked into it; now that there is a next one it grows no more.
            if let Some(item) = self.read_on()? {
                return Ok(Some(item));
            }
            if !self.enter(next)? {
                self.open = None;
            }
        }
        Ok(None)
    }

    /// Of the last record that was returned, or lost.
    pub(crate) fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    fn read_on(&mut self) -> io::Result<Option<Item>> {
        let Some((_, scanner)) = &mut self.open else { return Ok(None) };
        while let Some(record) = scanner.next_record()? {
            if record.id > self.next_id {
                let lost = record.id - self.next_id;
                scanner.step_back(&record);
                self.next_id = record.id;
                return Ok(Some(Item::Lost(lost)));
            }
            if record.id == self.next_id {
                self.next_id += 1;
                return Ok(Some(Item::Record(record)));
            }
        }
        Ok(None)
    }

    fn find_next(&self) -> io::Result<Option<u64>> {
        let Some((first, scanner)) = &self.open else { return Ok(files(&self.directory)?.first().copied()) };
        if self.next_id > *first && path(&self.directory, self.next_id).exists() {
            return Ok(Some(self.next_id));
        }
        if !scanner.removed()? {
            return Ok(None);
        }
        Ok(files(&self.directory)?.into_iter().find(|other| other > first))
    }

    /// False if the file has just been removed.
    fn enter(&mut self, first: u64) -> io::Result<bool> {
        match Scanner::open(&path(&self.directory, first), first) {
            Ok((scanner, _)) => {
                self.open = Some((first, scanner));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Past what the caller has seen.
    fn skip(&mut self, first: u64, newest: bool) -> io::Result<()> {
        let Some((_, scanner)) = &mut self.open else { return Ok(()) };
        let mut end = first;
        while let Some(record) = scanner.next_record()? {
            if record.id >= self.next_id {
                scanner.step_back(&record);
                return Ok(());
            }
            end = record.id + 1;
        }
        if newest {
            self.next_id = self.next_id.min(end);
        }
        Ok(())
    }
}

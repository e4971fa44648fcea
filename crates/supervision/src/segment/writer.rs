//! The writing side: batches in memory, one `write` a batch, files rotated and the oldest removed.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    Decoded, FILE_HEAD_BYTES, MAGIC, NewRecord, RECORD_BYTES_MAX, RECORD_HEAD_BYTES, SegmentError, decode,
    encode,
    names::{segment_path, segments},
};

/// A segment is at least this large, so that one holds several records at their limit.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// A batch that grows beyond this is written without waiting for [`SegmentWriter::flush`].
const BATCH_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Clone)]
pub struct SegmentConfig {
    pub directory: PathBuf,
    /// Usually 1 MiB; raised to 64 KiB, lowered to a quarter of the total.
    pub segment_bytes_max: u64,
    /// All segments together; the oldest go first. The newest one is always kept.
    pub total_bytes_max: u64,
    pub access: Access,
}

/// Who may read besides the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Directory and files are given to this uid (the writer is root).
    Uid(u32),
    /// Files are readable for their group; the directory stays as the caller made it.
    Group,
}

/// Appends records. One writer at a time is the caller's promise, unless it asks for that ([`SegmentWriter::open_alone`]).
#[derive(Debug)]
pub struct SegmentWriter {
    config: SegmentConfig,
    /// Number of the name and size of each file, oldest first; the last is `file`.
    segments: VecDeque<(u64, u64)>,
    file: File,
    batch: Vec<u8>,
    /// Number behind the last record of the batch.
    batched_seq: u64,
    /// Number behind the last record that is in a file: the name of the next file.
    written_seq: u64,
    /// Of the next record.
    next_seq: u64,
    /// Of the directory, for as long as we write; the kernel lets go of it with the process.
    _alone: Option<File>,
}

impl SegmentWriter {
    /// The same for several processes that would all write: none while another one does.
    pub fn open_alone(config: SegmentConfig) -> Result<Option<Self>, SegmentError> {
        let directory = &config.directory;
        std::fs::create_dir_all(directory).map_err(SegmentError::new("create", directory))?;
        let lock = File::open(directory).map_err(SegmentError::new("open", directory))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { _alone: Some(lock), ..Self::open(config)? })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(SegmentError::new("lock", directory)(cause)),
        }
    }

    /// Goes on behind the last whole record that is there; a torn end is cut off.
    pub fn open(config: SegmentConfig) -> Result<Self, SegmentError> {
        let config = bounded(config);
        let directory = config.directory.clone();
        std::fs::create_dir_all(&directory).map_err(SegmentError::new("create", &directory))?;
        if let Access::Uid(uid) = config.access {
            give_directory(&directory, uid).map_err(SegmentError::new("give away", &directory))?;
        }
        let mut kept = VecDeque::new();
        let found = segments(&directory)?;
        for first in &found {
            let path = segment_path(&directory, *first);
            let bytes = std::fs::metadata(&path).map_err(SegmentError::new("inspect", &path))?.len();
            kept.push_back((*first, bytes));
        }
        let (file, next_seq) = match kept.back_mut() {
            Some((first, bytes)) => {
                let (file, next_seq, end) = recover(&config, *first)?;
                *bytes = end;
                (file, next_seq)
            }
            None => {
                kept.push_back((1, FILE_HEAD_BYTES as u64));
                (create(&config, 1)?, 1)
            }
        };
        Ok(Self {
            config,
            segments: kept,
            file,
            batch: Vec::new(),
            batched_seq: next_seq,
            written_seq: next_seq,
            next_seq,
            _alone: None,
        })
    }

    /// Puts a record into the batch and returns its number. Data beyond [`RECORD_BYTES_MAX`] is cut off.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<u64, SegmentError> {
        let bytes = RECORD_HEAD_BYTES + record.data.len().min(RECORD_BYTES_MAX);
        let file_bytes = self.segments.back().map_or(0, |(_, bytes)| *bytes);
        let full = file_bytes + (self.batch.len() + bytes) as u64 > self.config.segment_bytes_max;
        let seq = self.next_seq;
        self.next_seq += 1;
        if full || self.batch.len() + bytes > BATCH_BYTES_MAX {
            self.write_batch()?;
        }
        if full && self.written_seq > self.segments.back().map_or(0, |(first, _)| *first) {
            self.rotate()?;
        }
        encode(seq, record, &mut self.batch);
        self.batched_seq = seq + 1;
        Ok(seq)
    }

    /// Counts records that the caller had to drop: the reader will report them.
    pub fn lost(&mut self, count: u64) {
        self.next_seq += count;
    }

    /// Makes everything that was appended visible to readers. What can't be written is lost, counted, and the error
    /// is returned; the writer stays usable.
    pub fn flush(&mut self) -> Result<(), SegmentError> {
        self.write_batch()
    }

    /// The number that the next record will have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn write_batch(&mut self) -> Result<(), SegmentError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (first, bytes) = self.segments.back_mut().expect("there is always a newest segment");
        let result = self.file.write_all_at(&self.batch, *bytes);
        let batch_bytes = self.batch.len() as u64;
        self.batch.clear();
        if let Err(cause) = result {
            // Readers never see half a batch as more than a torn end; cutting it off keeps the file tidy.
            let path = segment_path(&self.config.directory, *first);
            return match self.file.set_len(*bytes) {
                Ok(()) => Err(SegmentError::new("append to", path)(cause)),
                Err(cause) => Err(SegmentError::new("truncate", path)(cause)),
            };
        }
        *bytes += batch_bytes;
        self.written_seq = self.batched_seq;
        self.shed()
    }

    /// The batch is empty here.
    fn rotate(&mut self) -> Result<(), SegmentError> {
        self.file = create(&self.config, self.written_seq)?;
        self.segments.push_back((self.written_seq, FILE_HEAD_BYTES as u64));
        self.shed()
    }

    /// Removes the oldest files until the rest fits.
    fn shed(&mut self) -> Result<(), SegmentError> {
        let mut total: u64 = self.segments.iter().map(|(_, bytes)| bytes).sum();
        while total > self.config.total_bytes_max && self.segments.len() > 1 {
            let Some((first, bytes)) = self.segments.pop_front() else { break };
            total -= bytes;
            let path = segment_path(&self.config.directory, first);
            match std::fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(SegmentError::new("remove", path)(cause));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn bounded(mut config: SegmentConfig) -> SegmentConfig {
    let quarter = config.total_bytes_max / 4;
    config.segment_bytes_max = config.segment_bytes_max.min(quarter).max(SEGMENT_BYTES_MIN);
    config
}

fn give_directory(directory: &Path, uid: u32) -> io::Result<()> {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o500))?;
    std::os::unix::fs::chown(directory, Some(uid), None)
}

/// A fresh file with its head. One that a crash left behind without a record is made anew.
fn create(config: &SegmentConfig, first: u64) -> Result<File, SegmentError> {
    let path = segment_path(&config.directory, first);
    let mode = if config.access == Access::Group { 0o640 } else { 0o400 };
    let make = || -> io::Result<File> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(mode).open(&path)?;
        if let Access::Uid(uid) = config.access {
            std::os::unix::fs::fchown(&file, Some(uid), None)?;
        }
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&first.to_le_bytes());
        file.write_all_at(&head, 0)?;
        Ok(file)
    };
    make().map_err(SegmentError::new("create", &path))
}

/// Opens the newest file, cuts a torn end off, and returns it with the next number and its size.
fn recover(config: &SegmentConfig, first: u64) -> Result<(File, u64, u64), SegmentError> {
    let path = segment_path(&config.directory, first);
    let error = |operation| SegmentError::new(operation, &path);
    let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(error("open"))?;
    let mut bytes = Vec::new();
    // A file grows beyond its bound by one batch at most.
    let bound = config.segment_bytes_max + (BATCH_BYTES_MAX + RECORD_BYTES_MAX) as u64;
    Read::by_ref(&mut file).take(bound).read_to_end(&mut bytes).map_err(error("read"))?;
    if bytes.len() < FILE_HEAD_BYTES || bytes[..MAGIC.len()] != MAGIC {
        return Ok((create(config, first)?, first, FILE_HEAD_BYTES as u64));
    }
    let (mut end, mut next_seq) = (FILE_HEAD_BYTES, first);
    while let Decoded::Record(record, taken) = decode(&bytes[end..]) {
        end += taken;
        next_seq = record.seq + 1;
    }
    file.set_len(end as u64).map_err(error("truncate"))?;
    Ok((file, next_seq, end as u64))
}

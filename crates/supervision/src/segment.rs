//! Log segments: an append-only, bounded, sequence-numbered record of output that one process writes and another
//! reads, with nothing but files between them.
//!
//! A directory holds files named by a sequence number, `00000000000000000001.seg`: every record in the file has that
//! number or a higher one, and the next file's name is the number behind the file's last record. Numbers start at 1.
//! A number that never appears was lost (the disk was full, or the oldest file had to go), and the reader says how
//! many. Only the newest file is ever appended to.
//!
//! ```text
//! file:    "RENGALG1" · u64 number of the name · record · record · ...                    all integers little-endian
//! record:  u32 crc32 of what follows · u32 data bytes · u64 seq · i64 µs since 1970 · u8 stream · u8 flags ·
//!          u16 zero · 16 bytes tag · data
//! ```
//!
//! There is no fsync: a crash of the writer loses nothing that it has flushed; a crash of the machine may cost the
//! newest records, which the reader then never sees torn, thanks to the checksum.

mod names;
mod reader;
mod writer;

pub use reader::{Entry, SegmentReader};
pub use writer::{Access, SegmentConfig, SegmentWriter};

use std::path::PathBuf;

/// Data of one record (a log line's limit).
pub const RECORD_BYTES_MAX: usize = renga_model::limits::LOG_LINE_BYTES_MAX;
pub const RECORD_HEAD_BYTES: usize = 44;
pub(crate) const FILE_HEAD_BYTES: usize = 16;
pub(crate) const MAGIC: [u8; 8] = *b"RENGALG1";
/// Bytes that the checksum covers besides the data: the head without the checksum itself.
const CRC_BYTES: usize = 4;

/// A tag of zeros, for writers that need none.
pub const NO_TAG: [u8; 16] = [0; 16];

#[derive(Debug, thiserror::Error)]
#[error("could not {operation} {}", path.display())]
pub struct SegmentError {
    pub operation: &'static str,
    pub path: PathBuf,
    #[source]
    pub cause: std::io::Error,
}

impl SegmentError {
    pub(crate) fn new(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self { operation, path, cause }
    }
}

/// Which output of a process, or whatever else a writer makes of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    Other(u8),
}

impl Stream {
    pub const fn code(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Other(code) => code,
        }
    }
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Stdout,
            2 => Self::Stderr,
            other => Self::Other(other),
        }
    }
}

/// How a record's data ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// With a newline, which is not part of the data.
    Complete,
    /// At the size limit or the end of the stream: the next record of the stream goes on with the line, if one comes.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub at_us: i64,
    pub stream: Stream,
    pub end: LineEnd,
    pub tag: [u8; 16],
    pub data: Vec<u8>,
}

/// What the caller of [`SegmentWriter::append`] says of a record; the number is the writer's.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    pub at_us: i64,
    pub stream: Stream,
    pub end: LineEnd,
    pub tag: [u8; 16],
    pub data: &'a [u8],
}

// === one record in bytes ===

pub(crate) fn encode(seq: u64, record: &NewRecord<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let data = &record.data[..record.data.len().min(RECORD_BYTES_MAX)];
    let bytes = u32::try_from(data.len()).expect("cut to the limit above");
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&record.at_us.to_le_bytes());
    out.push(record.stream.code());
    out.push(u8::from(record.end == LineEnd::Complete));
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&record.tag);
    out.extend_from_slice(data);
    let crc = crc32fast::hash(&out[start + CRC_BYTES..]);
    out[start..start + CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// The record and the bytes that it took.
    Record(Record, usize),
    /// The bytes end before the record does.
    Short,
    /// This is no record.
    Broken,
}

pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() < RECORD_HEAD_BYTES {
        return Decoded::Short;
    }
    let data_bytes = u32_at(bytes, 4) as usize;
    if data_bytes > RECORD_BYTES_MAX {
        return Decoded::Broken;
    }
    let total = RECORD_HEAD_BYTES + data_bytes;
    if bytes.len() < total {
        return Decoded::Short;
    }
    if crc32fast::hash(&bytes[CRC_BYTES..total]) != u32_at(bytes, 0) {
        return Decoded::Broken;
    }
    let mut tag = NO_TAG;
    tag.copy_from_slice(&bytes[28..RECORD_HEAD_BYTES]);
    let record = Record {
        seq: u64_at(bytes, 8),
        at_us: u64_at(bytes, 16).cast_signed(),
        stream: Stream::from_code(bytes[24]),
        end: if bytes[25] & 1 == 1 { LineEnd::Complete } else { LineEnd::Cut },
        tag,
        data: bytes[RECORD_HEAD_BYTES..total].to_vec(),
    };
    Decoded::Record(record, total)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;

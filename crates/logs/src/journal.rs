//! A journal: numbered records of several origins in bounded, append-only files.
//!
//! A directory holds at most two files, each named by the number of its first record, `00000000000000000001.log`. Only
//! the newer one grows; when it is full the older one goes. Numbers start at 1, have no holes, and never go back.
//!
//! ```text
//! file:      "RENGAJL1" · u64 first · u32 positions · u32 crc32 of them · position · ... · record · record · ...
//! position:  16 bytes origin · u64 its last number                                         all integers little-endian
//! record:    u32 crc32 of what follows · u32 payload bytes · u64 number · u64 origin's number · 16 bytes origin ·
//!            u8 kind · 3 zeros · payload
//! ```
//!
//! A record and its origin's number are one: both are there or neither. The positions at a file's head carry the
//! memory over when the records themselves go. A file is made beside its name and renamed, so its head is whole.

mod reader;
mod scan;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

pub(crate) use reader::{Item, JournalReader};
pub(crate) use writer::{JournalWriter, NewRecord, Rotation};

/// Who a record came from: a dyno's id, or one of the names below.
pub(crate) type Origin = [u8; 16];
/// Has no numbers: lines of the platform.
pub(crate) const PLATFORM: Origin = [0; 16];
/// The router's segments.
pub(crate) const ROUTER: Origin = *b"the-router------";
/// Numbered steps of the engine.
pub(crate) const STEPS: Origin = *b"engine-s-steps--";

/// Lines of the platform that were said with a change.
pub(crate) const OUTBOX: Origin = *b"the-outbox------";

const MAGIC: [u8; 8] = *b"RENGAJL1";
const FILE_HEAD_BYTES: usize = 24;
const POSITION_BYTES: usize = 24;
/// Origins that a head remembers; a log of one app never has so many at one time.
const POSITIONS_MAX: usize = 10_000;
const RECORD_HEAD_BYTES: usize = 44;
/// The payload of one record (a step's text is the longest).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
const SUFFIX: &str = ".log";
const DIGITS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    /// The last record of an output.
    Finish,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) seq: u64,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn exists(directory: &Path) -> bool {
    files(directory).is_ok_and(|files| !files.is_empty())
}

// === names ===

fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:0DIGITS$}{SUFFIX}"))
}

/// The files' first numbers, lowest first. A directory that is not there has none.
fn files(directory: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(parse_name));
    }
    found.sort_unstable();
    Ok(found)
}

fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == DIGITS)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

// === one record in bytes ===

fn encode(record: &NewRecord<'_>, id: u64, out: &mut Vec<u8>) {
    let payload = &record.payload[..record.payload.len().min(PAYLOAD_BYTES_MAX)];
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u32::try_from(payload.len()).expect("cut to the limit above").to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&record.seq.to_le_bytes());
    out.extend_from_slice(&record.origin);
    out.extend_from_slice(&[u8::from(record.kind == Kind::Finish), 0, 0, 0]);
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

#[derive(Debug, PartialEq, Eq)]
enum Decoded {
    /// The record and its bytes.
    Record(Record, usize),
    /// So many bytes are needed to know more.
    Short(usize),
    Broken,
}

fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() < RECORD_HEAD_BYTES {
        return Decoded::Short(RECORD_HEAD_BYTES);
    }
    let payload_bytes = u32_at(bytes, 4) as usize;
    if payload_bytes > PAYLOAD_BYTES_MAX {
        return Decoded::Broken;
    }
    let total = RECORD_HEAD_BYTES + payload_bytes;
    if bytes.len() < total {
        return Decoded::Short(total);
    }
    if crc32fast::hash(&bytes[4..total]) != u32_at(bytes, 0) {
        return Decoded::Broken;
    }
    let record = Record {
        id: u64_at(bytes, 8),
        seq: u64_at(bytes, 16),
        origin: array_at(bytes, 24),
        kind: if bytes[40] == 0 { Kind::Data } else { Kind::Finish },
        payload: bytes[RECORD_HEAD_BYTES..total].to_vec(),
    };
    Decoded::Record(record, total)
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests;

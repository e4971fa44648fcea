//! Output that nobody is attached to: into the log's segments, as lines. The dyno does not wait for the log. Only a flood
//! of which nothing is kept is read no faster than 16 MiB a second: reading and writing it as fast as the machine can
//! would take two cores from everybody, for nothing.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use renga_supervision::{
    Access, LineEnd, NO_TAG, NewRecord, SegmentConfig, SegmentWriter, Stream, SupervisorSpec,
};

use crate::{
    detach::note,
    error::SupervisorError,
    lines::Lines,
    poll::{Asked, Poll, Read, read_some},
    rate::Rate,
};

const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;
/// Read of one stream in one turn.
const CHUNK_BYTES: usize = 64 * 1024;
/// After a full chunk of a flood: 64 KiB in 4 ms are 16 MiB a second.
const FLOOD_PAUSE: Duration = Duration::from_millis(4);
/// How soon a held line is tried again when nothing else comes.
const HELD_LOOK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Logged {
    sink: Sink,
    sources: Vec<Source>,
    chunk: Vec<u8>,
}

/// Where lines go.
#[derive(Debug)]
struct Sink {
    writer: SegmentWriter,
    /// An error is told once, not once a line.
    failing: bool,
    rate: Option<Rate>,
    /// The last line that came too fast. It is written when there is room again, or at the end: behind it the reader
    /// sees how many are missing.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    at_us: i64,
    stream: Stream,
    end: LineEnd,
    data: Vec<u8>,
    /// Lines dropped before it.
    lost: u64,
}

#[derive(Debug)]
struct Source {
    /// None after its end.
    fd: Option<OwnedFd>,
    stream: Stream,
    lines: Lines,
    /// Lines of a terminal end with a carriage return besides.
    terminal: bool,
    asked: Option<Asked>,
    /// Not read before.
    rests_until: Option<Instant>,
}

impl Logged {
    pub(crate) fn open(spec: &SupervisorSpec) -> Result<Self, SupervisorError> {
        let writer = SegmentWriter::open(SegmentConfig {
            directory: renga_supervision::DynoDirectory::new(&spec.directory).log(),
            segment_bytes_max: SEGMENT_BYTES_MAX,
            total_bytes_max: spec.log_bytes_max,
            access: Access::Uid(spec.reader_uid),
        })?;
        let rate = spec.log_bytes_per_s.map(|rate| Rate::new(rate, spec.log_bytes_max, Instant::now()));
        let sink = Sink { writer, failing: false, rate, held: None };
        Ok(Self { sink, sources: Vec::new(), chunk: vec![0; CHUNK_BYTES] })
    }

    pub(crate) fn add(&mut self, fd: OwnedFd, stream: Stream, terminal: bool) {
        self.sources.push(Source {
            fd: Some(fd),
            stream,
            lines: Lines::default(),
            terminal,
            asked: None,
            rests_until: None,
        });
    }

    pub(crate) fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        let now = Instant::now();
        for source in &mut self.sources {
            source.rests_until = source.rests_until.filter(|until| now < *until);
            source.asked = match source.rests_until {
                Some(until) => {
                    poll.until(until);
                    None
                }
                None => source.fd.as_ref().map(|fd| poll.readable(fd)),
            };
        }
        if self.sink.held.is_some() {
            poll.until(Instant::now() + HELD_LOOK);
        }
    }

    /// One turn: what can be read is read, and written in one go.
    pub(crate) fn turn(&mut self, ready: &crate::poll::Ready) {
        for index in 0..self.sources.len() {
            if self.sources[index].asked.is_some_and(|asked| ready.at(asked)) {
                self.read(index);
            }
        }
        self.sink.let_go(Instant::now());
        self.sink.flush();
    }

    /// All that was written before the end, and the lines that have no newline.
    pub(crate) fn finish(&mut self) {
        for index in 0..self.sources.len() {
            while self.read(index) {}
            self.end(index);
        }
        self.sink.write_held();
        self.sink.flush();
    }

    /// Whether there may be more to read at once.
    fn read(&mut self, index: usize) -> bool {
        let source = &mut self.sources[index];
        let Some(fd) = &source.fd else { return false };
        let bytes = match read_some(fd, &mut self.chunk) {
            Read::Bytes(bytes) => bytes,
            Read::Nothing => return false,
            Read::End => {
                self.end(index);
                return false;
            }
        };
        let (at_us, now) = (Timestamp::now().as_microsecond(), Instant::now());
        let (stream, terminal, sink) = (source.stream, source.terminal, &mut self.sink);
        source.lines.feed(&self.chunk[..bytes], |data, end| {
            sink.put(&NewRecord { at_us, stream, end, tag: NO_TAG, data: trimmed(data, end, terminal) }, now);
        });
        if bytes == self.chunk.len() && sink.rate.as_ref().is_some_and(|rate| rate.is_closed(now)) {
            source.rests_until = Some(now + FLOOD_PAUSE);
        }
        true
    }

    fn end(&mut self, index: usize) {
        let source = &mut self.sources[index];
        source.fd = None;
        let (at_us, now) = (Timestamp::now().as_microsecond(), Instant::now());
        let (sink, stream) = (&mut self.sink, source.stream);
        source.lines.finish(|data, end| sink.put(&NewRecord { at_us, stream, end, tag: NO_TAG, data }, now));
    }
}

// === impl Sink ===

impl Sink {
    fn put(&mut self, record: &NewRecord<'_>, now: Instant) {
        if self.rate.as_mut().is_some_and(|rate| !rate.take(record.data.len(), now)) {
            self.hold(record);
        } else {
            self.write_held();
            self.append(record);
        }
    }

    fn hold(&mut self, record: &NewRecord<'_>) {
        let before = self.held.take();
        let lost = before.as_ref().map_or(0, |held| held.lost + 1);
        // The buffer of the one before serves again.
        let mut data = before.map(|held| held.data).unwrap_or_default();
        data.clear();
        data.extend_from_slice(record.data);
        self.held = Some(Held { at_us: record.at_us, stream: record.stream, end: record.end, data, lost });
    }

    /// Writes the held line if there is room for it now.
    fn let_go(&mut self, now: Instant) {
        let (Some(held), Some(rate)) = (&self.held, &mut self.rate) else { return };
        if rate.take(held.data.len(), now) {
            self.write_held();
        }
    }

    fn write_held(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.writer.lost(held.lost);
        let Held { at_us, stream, end, data, .. } = &held;
        self.append(&NewRecord { at_us: *at_us, stream: *stream, end: *end, tag: NO_TAG, data });
    }

    /// What can't be kept is lost and counted by the writer; the dyno goes on.
    fn append(&mut self, record: &NewRecord<'_>) {
        if let Err(error) = self.writer.append(record) {
            tell(&mut self.failing, error);
        }
    }

    fn flush(&mut self) {
        match self.writer.flush() {
            Ok(()) => self.failing = false,
            Err(error) => tell(&mut self.failing, error),
        }
    }
}

fn tell(failing: &mut bool, error: renga_supervision::SegmentError) {
    if !std::mem::replace(failing, true) {
        note(&SupervisorError::from(error).chain());
    }
}

fn trimmed(data: &[u8], end: LineEnd, terminal: bool) -> &[u8] {
    match data.strip_suffix(b"\r") {
        Some(line) if terminal && end == LineEnd::Complete => line,
        _ => data,
    }
}

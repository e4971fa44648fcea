//! Output that nobody is attached to: into the log's segments, as lines, without ever making the dyno wait.

use std::os::fd::OwnedFd;

use jiff::Timestamp;
use renga_supervision::{
    Access, LineEnd, NO_TAG, NewRecord, SegmentConfig, SegmentWriter, Stream, SupervisorSpec,
};

use crate::{
    detach::note,
    error::SupervisorError,
    lines::Lines,
    poll::{Asked, Poll, Read, read_some},
};

const SEGMENT_BYTES_MAX: u64 = 1024 * 1024;
/// Read of one stream in one turn.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Logged {
    writer: SegmentWriter,
    sources: Vec<Source>,
    chunk: Vec<u8>,
    /// An error is told once, not once a line.
    failing: bool,
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
}

impl Logged {
    pub(crate) fn open(spec: &SupervisorSpec) -> Result<Self, SupervisorError> {
        let writer = SegmentWriter::open(SegmentConfig {
            directory: renga_supervision::DynoDirectory::new(&spec.directory).log(),
            segment_bytes_max: SEGMENT_BYTES_MAX,
            total_bytes_max: spec.log_bytes_max,
            access: Access::Uid(spec.reader_uid),
        })?;
        Ok(Self { writer, sources: Vec::new(), chunk: vec![0; CHUNK_BYTES], failing: false })
    }

    pub(crate) fn add(&mut self, fd: OwnedFd, stream: Stream, terminal: bool) {
        self.sources.push(Source { fd: Some(fd), stream, lines: Lines::default(), terminal, asked: None });
    }

    pub(crate) fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        for source in &mut self.sources {
            source.asked = source.fd.as_ref().map(|fd| poll.readable(fd));
        }
    }

    /// One turn: what can be read is read, and written in one go.
    pub(crate) fn turn(&mut self, ready: &crate::poll::Ready) {
        for index in 0..self.sources.len() {
            if self.sources[index].asked.is_some_and(|asked| ready.at(asked)) {
                self.read(index);
            }
        }
        self.flush();
    }

    /// All that was written before the end, and the lines that have no newline.
    pub(crate) fn finish(&mut self) {
        for index in 0..self.sources.len() {
            while self.read(index) {}
            self.end(index);
        }
        self.flush();
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
        let at_us = Timestamp::now().as_microsecond();
        let (stream, terminal) = (source.stream, source.terminal);
        let (writer, failing) = (&mut self.writer, &mut self.failing);
        source.lines.feed(&self.chunk[..bytes], |data, end| {
            append(writer, failing, at_us, stream, trimmed(data, end, terminal), end);
        });
        true
    }

    fn end(&mut self, index: usize) {
        let source = &mut self.sources[index];
        source.fd = None;
        let at_us = Timestamp::now().as_microsecond();
        let (writer, failing, stream) = (&mut self.writer, &mut self.failing, source.stream);
        source.lines.finish(|data, end| append(writer, failing, at_us, stream, data, end));
    }

    fn flush(&mut self) {
        match self.writer.flush() {
            Ok(()) => self.failing = false,
            Err(error) => tell(&mut self.failing, error),
        }
    }
}

/// What can't be kept is lost and counted by the writer; the dyno goes on.
fn append(
    writer: &mut SegmentWriter,
    failing: &mut bool,
    at_us: i64,
    stream: Stream,
    data: &[u8],
    end: LineEnd,
) {
    if let Err(error) = writer.append(&NewRecord { at_us, stream, end, tag: NO_TAG, data }) {
        tell(failing, error);
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

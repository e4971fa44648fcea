//! HTTP/1 as we read it: bytes in, facts out. Nothing in here waits, sends or knows of apps.
//!
//! What clients send is read strictly, because what two readers understand differently is how requests are smuggled:
//! CRLF only, single spaces, no folded lines, one length, `chunked` or nothing. What dynos send is read as browsers
//! would: a bare LF ends a line, too.

pub(crate) mod chunks;
pub(crate) mod fields;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod scan;

/// How a body is delimited on the wire.
#[derive(Debug)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// Bytes that are still to come.
    Length(u64),
    Chunked(chunks::Decoder),
    /// Until the connection ends: answers only.
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As `Via` and the log name it.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2.0",
        }
    }
}

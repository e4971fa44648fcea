//! A connection to a dyno: its socket, and what has been read of it and not yet taken.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::{buffer::Buffer, pool::Peer};

/// Whether idle or in use.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) stream: TcpStream,
    pub(crate) input: Buffer,
    /// How long the dyno keeps it open while idle, if it said so.
    pub(crate) keep_alive: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(peer: Peer, stream: TcpStream) -> Self {
        Self { peer, stream, input: Buffer::default(), keep_alive: None }
    }

    /// Whether the other side has closed it, or said something unasked, while it was idle. Costs a system call only
    /// if the kernel has told of something.
    pub(crate) fn is_stale(&self) -> bool {
        let mut probe = [0];
        match self.stream.try_read(&mut probe) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            // Its end, its failure, or bytes that belong to no answer.
            _ => true,
        }
    }
}

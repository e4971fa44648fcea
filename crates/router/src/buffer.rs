//! Bytes on their way: a window over a block of memory that a thread's shelf lends while there is something in it.
//!
//! A connection that waits holds no block, so that ten thousand idle ones cost what their sockets cost.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One block: what one read takes at most, and what a client that does not read may hold.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;
/// Blocks that a thread keeps for the next one who needs one.
const SHELF_BLOCKS_MAX: usize = 128;

/// A thread's spare blocks.
#[derive(Debug, Default)]
pub(crate) struct Shelf(RefCell<Vec<Vec<u8>>>);

/// What has been written to it and not yet taken. All of `bytes` is initialized; `start..end` is what counts.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Shelf {
    fn lend(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; BLOCK_BYTES])
    }

    fn take_back(&self, block: Vec<u8>) {
        let mut blocks = self.0.borrow_mut();
        if block.len() == BLOCK_BYTES && blocks.len() < SHELF_BLOCKS_MAX {
            blocks.push(block);
        }
    }
}

impl Buffer {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that fit behind what is there.
    pub(crate) fn room(&self) -> usize {
        self.bytes.len() - self.end
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "more was taken than is there");
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The first `bytes` of a buffer from which was only taken, once more.
    pub(crate) fn rewind(&mut self, bytes: usize) {
        (self.start, self.end) = (0, bytes.min(self.bytes.len()));
    }

    /// Gets a block, if there is none.
    pub(crate) fn prepare(&mut self, shelf: &Shelf) {
        if self.bytes.is_empty() {
            self.bytes = shelf.lend();
        }
    }

    /// Gives the block back, if nothing is in it.
    pub(crate) fn release(&mut self, shelf: &Shelf) {
        if self.is_empty() && !self.bytes.is_empty() {
            self.clear();
            shelf.take_back(std::mem::take(&mut self.bytes));
        }
    }

    /// Appends, growing as needed: the caller knows that `bytes` is bounded.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.bytes.len() {
            self.bytes.resize(end.next_power_of_two().max(1024), 0);
        }
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Appends as much as there is room for. How much that was.
    pub(crate) fn push_some(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.push(&bytes[..taken]);
        taken
    }

    /// Moves what is there to the front, so that all the room is behind it.
    pub(crate) fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
    }

    /// Room for at least one more byte, in a buffer that may hold `max` bytes. False: it is full.
    pub(crate) fn make_room(&mut self, max: usize) -> bool {
        if self.room() > 0 {
            return true;
        }
        if self.start > 0 {
            self.compact();
            return true;
        }
        let size = (self.bytes.len() * 2).max(BLOCK_BYTES).min(max);
        if size <= self.bytes.len() {
            return false;
        }
        self.bytes.resize(size, 0);
        true
    }

    /// Reads once, at most `limit` bytes. `Ok(0)`: the other side has ended, or there was no room.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        limit: u64,
    ) -> Poll<io::Result<usize>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(self.room());
        let mut read = ReadBuf::new(&mut self.bytes[self.end..self.end + limit]);
        ready!(Pin::new(from).poll_read(cx, &mut read))?;
        let bytes = read.filled().len();
        self.end += bytes;
        Poll::Ready(Ok(bytes))
    }

    /// Writes until it is empty.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, self.unread()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(written);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_from_the_shelf_and_go_back_when_empty() {
        let shelf = Shelf::default();
        let mut buffer = Buffer::default();
        buffer.prepare(&shelf);
        buffer.push(b"hello");
        buffer.release(&shelf);
        assert_eq!((buffer.unread(), shelf.0.borrow().len()), (&b"hello"[..], 0));
        buffer.consume(2);
        assert_eq!(buffer.unread(), b"llo");
        buffer.consume(3);
        buffer.rewind(5);
        assert_eq!(buffer.unread(), b"hello");
        buffer.clear();
        buffer.release(&shelf);
        assert_eq!((buffer.room(), shelf.0.borrow().len()), (0, 1));
    }

    #[test]
    fn a_buffer_grows_to_its_bound_and_no_further() {
        let mut buffer = Buffer::default();
        let max = BLOCK_BYTES * 3;
        while buffer.make_room(max) {
            let room = vec![b'x'; buffer.room()];
            buffer.push(&room);
        }
        assert_eq!(buffer.len(), max);
        buffer.consume(1);
        assert!(buffer.make_room(max));
        assert_eq!((buffer.len(), buffer.room()), (max - 1, 1));
    }
}

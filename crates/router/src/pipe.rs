//! After `101 Switching Protocols`: bytes, both ways, until one side ends it or nothing has moved for the idle window.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    buffer::{Buffer, Shelf},
    client_io::ClientIo,
    codes::Code,
    dyno_io::Connection,
    exchange::Exchange,
    watch::Watch,
};

/// One direction. Its bytes are in a buffer of whoever read them first.
struct Way<'a> {
    buffer: &'a mut Buffer,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The one side has ended, the other is still to be told.
    Ending,
    Ended,
}

/// `to_dyno` is what the client has sent behind its head, `to_client` our 101.
pub(crate) async fn run(
    mut exchange: Exchange,
    client: &mut ClientIo,
    to_dyno: &mut Buffer,
    to_client: &mut Buffer,
    dyno: Connection,
) {
    exchange.stand_apart();
    let thread = exchange.thread.clone();
    let window = thread.shared.config.limits.idle_timeout;
    let Connection { mut stream, mut input, .. } = dyno;
    // Behind the head of 101 come the first words of the new protocol.
    exchange.note_bytes(input.len() as u64);
    to_client.push(input.unread());
    input.clear();
    input.release(&thread.shelf);
    let (mut up, mut down) = (Way::new(to_dyno), Way::new(to_client));
    let (mut watch, mut moved, mut bytes) = (Watch::default(), Instant::now(), 0);
    let silent = poll_fn(|cx| {
        let before = (up.buffer.len(), down.buffer.len());
        let up_bytes = up.poll(cx, &thread.shelf, client, &mut stream);
        let down_bytes = down.poll(cx, &thread.shelf, &mut stream, client);
        bytes += down_bytes;
        if up_bytes + down_bytes > 0 || before != (up.buffer.len(), down.buffer.len()) {
            moved = Instant::now();
        }
        if up.state == State::Ended && down.state == State::Ended {
            return Poll::Ready(false);
        }
        watch.poll(cx, moved + window).map(|()| true)
    })
    .await;
    exchange.note_bytes(bytes);
    // A reset is an end like another: the protocol inside knows what was lost.
    if silent { exchange.fail(Code::H15) } else { exchange.finish() }
}

impl<'a> Way<'a> {
    fn new(buffer: &'a mut Buffer) -> Self {
        Self { buffer, state: State::Open }
    }

    /// Moves what can be moved now. How many bytes came in.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        shelf: &Shelf,
        from: &mut (impl AsyncRead + AsyncWrite + Unpin),
        to: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> u64 {
        let mut bytes = 0;
        while let Poll::Ready(result) = self.step(cx, shelf, from, to) {
            match result {
                Ok(read) => bytes += read as u64,
                // Who cannot be written to is not read for either.
                Err(_) => self.state = State::Ended,
            }
            if self.state == State::Ended {
                break;
            }
        }
        self.buffer.release(shelf);
        bytes
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        shelf: &Shelf,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<usize>> {
        if self.state == State::Ended {
            return Poll::Pending;
        }
        if !self.buffer.is_empty() {
            ready!(self.buffer.poll_drain(cx, to))?;
            ready!(Pin::new(&mut *to).poll_flush(cx))?;
        }
        if self.state == State::Ending {
            ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
            self.state = State::Ended;
            return Poll::Ready(Ok(0));
        }
        self.buffer.prepare(shelf);
        match ready!(self.buffer.poll_fill(cx, from, u64::MAX)) {
            Ok(bytes) if bytes > 0 => Poll::Ready(Ok(bytes)),
            _ended => {
                self.state = State::Ending;
                Poll::Ready(Ok(0))
            }
        }
    }
}

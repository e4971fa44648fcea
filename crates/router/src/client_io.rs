//! A client's socket, plain or TLS, with a limit on how long it may take nothing that we write.
//!
//! A client that stops reading would hold its answer, and the dyno behind it, for ever. When a write has waited for
//! the idle window the socket fails, and the mark tells the request's end that the client stalled (H28).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(crate) struct ClientIo {
    stream: Stream,
    write_timeout: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    stalled: Arc<AtomicBool>,
}

impl ClientIo {
    pub(crate) fn new(stream: Stream, write_timeout: Duration, stalled: Arc<AtomicBool>) -> Self {
        Self { stream, write_timeout, waiting: None, stalled }
    }

    /// Whether the other side has torn the connection down. Costs a system call.
    pub(crate) fn is_broken(&self) -> bool {
        !matches!(self.tcp().take_error(), Ok(None))
    }

    /// From here on the end of the socket is a reset, unless it is told otherwise: what has been sent must not look
    /// whole.
    pub(crate) fn end_by_reset(&self, reset: bool) {
        if let Err(error) = SockRef::from(self.tcp()).set_linger(reset.then_some(Duration::ZERO)) {
            tracing::debug!(%error, "could not choose how a client's socket ends");
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Passes a write's result on; one that has waited too long fails.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let timeout = self.write_timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

macro_rules! on_stream {
    ($this:expr, $stream:ident => $call:expr) => {
        match &mut $this.stream {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = on_stream!(self, stream => stream.poll_write(cx, bytes));
        self.watch(cx, result)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = on_stream!(self, stream => stream.poll_flush(cx));
        self.watch(cx, result)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = on_stream!(self, stream => stream.poll_shutdown(cx));
        self.watch(cx, result)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = on_stream!(self, stream => stream.poll_write_vectored(cx, slices));
        self.watch(cx, result)
    }
    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

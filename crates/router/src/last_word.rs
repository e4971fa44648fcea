//! A client that has said its last word: it may still listen, or have gone, and TCP tells both by the same sign.
//!
//! ```text
//! end of its sending ──before the answer──> asked: of "HTTP/1.1 " a byte goes out ahead ──reset──> gone
//!        │                                    └──no reset──> it listens; later, it is asked again
//!        └──within the answer──> the answer goes on ──reset, or nothing to send for a pause──> gone
//! ```
//!
//! Whatever the answer will be, it begins with these bytes. Whoever listens has them a little early; the kernel of
//! whoever has gone answers them with a reset. Nobody is asked who has not ended, so this costs others nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWrite,
    time::{Sleep, sleep},
};

use crate::client_io::ClientIo;

/// How every answer to an HTTP/1 client begins, our own pages and answers before the answer included.
const BEGINNING: &[u8] = b"HTTP/1.1 ";
/// How often a reset is looked for; and how long after the first byte the second one goes out. The others take twice as
/// long each, so that nine of them last for thirteen seconds.
const LOOK: Duration = Duration::from_millis(100);
/// Who ends within an answer and has nothing to read for so long has gone, most likely: nothing can be sent to it that
/// would not be taken for a part of the answer.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct LastWord {
    /// Of [`BEGINNING`], in front of a head that is not written yet.
    said: usize,
    /// When the next of them goes out, and how long after it another one.
    due: Instant,
    pause: Duration,
    /// It came before the answer had begun.
    early: bool,
    /// When something last went to the client.
    moved: Instant,
    look: Pin<Box<Sleep>>,
}

impl LastWord {
    pub(crate) fn new(early: bool) -> Self {
        let now = Instant::now();
        Self { said: 0, due: now, pause: LOOK, early, moved: now, look: Box::pin(sleep(LOOK)) }
    }

    /// Ready when the client has gone. `waits`: there is nothing to send. `before_head`: and what comes next is a head.
    pub(crate) fn poll_gone(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut ClientIo,
        waits: bool,
        before_head: bool,
    ) -> Poll<()> {
        loop {
            if waits && before_head && self.poll_begin(cx, io).is_err() {
                return Poll::Ready(());
            }
            let idle = !self.early && waits && self.moved.elapsed() >= PAUSE;
            if idle || io.is_broken() {
                return Poll::Ready(());
            }
            std::task::ready!(self.look.as_mut().poll(cx));
            self.look.as_mut().reset(tokio::time::Instant::now() + LOOK);
        }
    }

    fn poll_begin(&mut self, cx: &mut Context<'_>, io: &mut ClientIo) -> io::Result<()> {
        let now = Instant::now();
        let Some(next) = BEGINNING.get(self.said..=self.said).filter(|_| now >= self.due) else {
            return Ok(());
        };
        if let Poll::Ready(written) = Pin::new(&mut *io).poll_write(cx, next) {
            self.said += written?;
            (self.due, self.pause) = (now + self.pause, self.pause.saturating_mul(2));
        }
        match Pin::new(io).poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    /// Something goes to the client. How much of its head has been sent already.
    pub(crate) fn send(&mut self) -> usize {
        self.moved = Instant::now();
        std::mem::take(&mut self.said)
    }
}

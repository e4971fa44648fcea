//! A request's body on its way to the dyno, and whose turn it is while it travels.
//!
//! ```text
//! Moving ──asked, nothing there──> Waiting (for the client: H28 after the idle window)
//!   ^  └──────────end─────────> Ended      │
//!   └───────────bytes──────────────────────┘
//! ```
//!
//! `Moving` and `Ended`: it is the dyno's turn, and the first-byte limit (H12) runs from the last byte that went over.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

use crate::codes::{CAUSE_CHUNK, Code};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Moving(Instant),
    Waiting(Instant),
    Ended(Instant),
}

#[derive(Debug)]
pub(crate) struct Upload {
    turn: Cell<Turn>,
    /// The client broke off or sent what is not HTTP.
    failed: Cell<Option<Code>>,
    /// The turn has passed to the dyno.
    pub(crate) passed: Notify,
}

/// What hyper sends to the dyno.
pub(crate) enum RequestBody {
    Empty,
    Client { incoming: Incoming, upload: Rc<Upload> },
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self { turn: Cell::new(Turn::Moving(now)), failed: Cell::new(None), passed: Notify::new() })
    }

    pub(crate) fn turn(&self) -> Turn {
        self.turn.get()
    }

    pub(crate) fn failed(&self) -> Option<Code> {
        self.failed.get()
    }

    fn set(&self, turn: Turn) {
        let before = self.turn.replace(turn);
        if matches!(before, Turn::Waiting(_)) || matches!(turn, Turn::Ended(_)) {
            self.passed.notify_one();
        }
    }

    fn wait(&self) {
        if !matches!(self.turn.get(), Turn::Waiting(_)) {
            self.turn.set(Turn::Waiting(Instant::now()));
        }
    }

    fn fail(&self, error: &hyper::Error) {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        let malformed = cause.is_some_and(|cause| {
            matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        });
        self.failed.set(Some(if malformed { Code::H26(CAUSE_CHUNK) } else { Code::H27 }));
    }
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, upload: &Rc<Upload>) -> Self {
        if incoming.is_end_stream() {
            upload.set(Turn::Ended(Instant::now()));
            return Self::Empty;
        }
        Self::Client { incoming, upload: upload.clone() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Client { incoming, upload } = &mut *self else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        if polled.is_pending() {
            upload.wait();
        }
        let frame = ready!(polled);
        match &frame {
            Some(Ok(_)) if incoming.is_end_stream() => upload.set(Turn::Ended(Instant::now())),
            Some(Ok(_)) => upload.set(Turn::Moving(Instant::now())),
            Some(Err(error)) => upload.fail(error),
            None => upload.set(Turn::Ended(Instant::now())),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}

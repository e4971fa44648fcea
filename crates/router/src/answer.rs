//! The body of an answer on its way to the client: a page of ours, or the dyno's, frame by frame.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::{codes::Code, exchange::Exchange, pool::Connection, upload::Turn};

pub(crate) enum Answer {
    Page(Full<Bytes>),
    Relay(Box<Relay>),
}

/// A dyno's body. The connection goes back to the pool when the body has been read to its end.
pub(crate) struct Relay {
    incoming: Incoming,
    exchange: Exchange,
    connection: Option<Connection>,
    moved: Instant,
    /// Runs while the dyno says nothing.
    idle: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the dyno's answer broke off")]
    Dyno(#[source] hyper::Error),
    #[error("the dyno fell silent in its answer")]
    Idle,
}

// === impl Answer ===

impl Answer {
    pub(crate) fn page(page: Bytes) -> Self {
        Self::Page(Full::new(page))
    }

    pub(crate) fn empty() -> Self {
        Self::page(Bytes::new())
    }

    pub(crate) fn relay(incoming: Incoming, exchange: Exchange, connection: Connection) -> Self {
        let mut relay =
            Relay { incoming, exchange, connection: Some(connection), moved: Instant::now(), idle: None };
        if relay.incoming.is_end_stream() {
            relay.complete();
        }
        Self::Relay(Box::new(relay))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match self.get_mut() {
            Self::Page(page) => Pin::new(page)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Relay(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_end_stream(),
            Self::Relay(relay) => relay.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => page.size_hint(),
            Self::Relay(relay) => relay.incoming.size_hint(),
        }
    }
}

// === impl Relay ===

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.moved = Instant::now();
                self.exchange.note_bytes(frame.data_ref().map_or(0, |data| data.len() as u64));
                if self.incoming.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.exchange.fail(self.exchange.upload.failed().unwrap_or(Code::H18));
                Poll::Ready(Some(Err(RelayError::Dyno(error))))
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn complete(&mut self) {
        if let Some(connection) = self.connection.take() {
            if !self.exchange.dyno_left() {
                self.exchange.thread.pool.put(connection);
            }
            self.exchange.finish();
        }
    }

    /// The window is rolling: bytes of either side move its end, which is looked at when the timer runs out.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let window = self.exchange.thread.shared.config.limits.idle_timeout;
        let moved = match self.exchange.upload.turn() {
            Turn::Moving(at) | Turn::Waiting(at) | Turn::Ended(at) => at.max(self.moved),
        };
        let idle =
            self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((moved + window).into())));
        while idle.as_mut().poll(cx).is_ready() {
            if moved.elapsed() >= window {
                self.exchange.fail(Code::H15);
                return Poll::Ready(Some(Err(RelayError::Idle)));
            }
            // It lasts: no reason to hold the table that it began with.
            self.exchange.stand_apart();
            idle.as_mut().reset((moved + window).into());
        }
        Poll::Pending
    }
}

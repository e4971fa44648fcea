//! `100 Continue`: said whole, or not at all, and nothing in between.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is still to be said of it.
#[derive(Debug, Default)]
pub(crate) struct Interim(&'static [u8]);

impl Interim {
    pub(crate) fn new(due: bool) -> Self {
        Self(if due { CONTINUE } else { b"" })
    }

    /// It is of no use any more. What has begun is said to its end all the same.
    pub(crate) fn withdraw(&mut self) {
        if self.0.len() == CONTINUE.len() {
            self.0 = b"";
        }
    }

    /// Says what is left.
    pub(crate) fn poll_say(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, self.0))?;
            self.0 = &self.0[written..];
            if self.0.is_empty() {
                return Pin::new(io).poll_flush(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Before anything else goes out: says what is left, if it has begun.
    pub(crate) fn poll_clear(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        if self.0.len() == CONTINUE.len() { Poll::Ready(Ok(())) } else { self.poll_say(cx, io) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A client that has room for `room` bytes at first; what it reads in all when an answer comes then.
    async fn through(room: usize) -> String {
        let (mut router, mut client) = tokio::io::duplex(room);
        let mut interim = Interim::new(true);
        let said = poll_fn(|cx| Poll::Ready(interim.poll_say(cx, &mut router))).await;
        assert_eq!(said.is_ready(), room >= CONTINUE.len());
        let answer = async {
            interim.withdraw();
            poll_fn(|cx| interim.poll_clear(cx, &mut router)).await.unwrap();
            router.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            drop(router);
        };
        let mut text = String::new();
        let (_, read) = tokio::join!(answer, client.read_to_string(&mut text));
        read.unwrap();
        text
    }

    #[tokio::test]
    async fn an_answer_does_not_cut_it() {
        for room in 1..CONTINUE.len() + 5 {
            assert_eq!(through(room).await, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "{room}");
        }
    }

    #[tokio::test]
    async fn an_answer_takes_its_place_if_it_has_not_begun() {
        let (mut router, _client) = tokio::io::duplex(1);
        let mut interim = Interim::new(true);
        // Something else goes out first, and takes nothing away.
        assert!(poll_fn(|cx| interim.poll_clear(cx, &mut router)).await.is_ok());
        interim.withdraw();
        assert!(poll_fn(|cx| interim.poll_say(cx, &mut router)).await.is_ok());
        assert!(poll_fn(|cx| Interim::new(false).poll_say(cx, &mut router)).await.is_ok());
    }
}

//! A process's output as a response body. Dropping the body (the client has gone) ends the process.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::{process::ChildStdout, sync::OwnedSemaphorePermit, task::AbortHandle, time::Sleep};
use tokio_util::io::ReaderStream;

use crate::{
    command::{GitProcess, read_at_most},
    push::PushToken,
};

const CHUNK_BYTES: usize = 64 * 1024;
/// After its output has ended, a process has this long to go.
const EXIT_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an abandoned push may clean up after itself.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(2);
const STDERR_BYTES_MAX: u64 = 4 * 1024;

/// The body of every answer of this crate.
#[derive(Debug)]
pub struct Body(Content);

#[derive(Debug)]
enum Content {
    Full(Option<Bytes>),
    Process(Box<Running>),
}

/// All that lives as long as the request.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) operation: &'static str,
    /// The process and its output; none once that has ended.
    pub(crate) process: Option<(GitProcess, ReaderStream<ChildStdout>)>,
    pub(crate) deadline: Pin<Box<Sleep>>,
    pub(crate) input: AbortHandle,
    /// Held, not read: they are given back with the body.
    pub(crate) _token: Option<PushToken>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Body {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self(Content::Full(Some(bytes)))
    }
    pub(crate) fn process(running: Running) -> Self {
        Self(Content::Process(Box::new(running)))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            Content::Full(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Content::Process(running) => {
                running.poll(context).map(|chunk| chunk.map(|data| data.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Content::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Process(_) => SizeHint::default(),
        }
    }
}

impl Running {
    pub(crate) fn chunks(stdout: ChildStdout) -> ReaderStream<ChildStdout> {
        ReaderStream::with_capacity(stdout, CHUNK_BYTES)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            self.abandon();
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let Some((_, stdout)) = &mut self.process else { return Poll::Ready(None) };
        let chunk = ready!(futures_core::Stream::poll_next(Pin::new(stdout), context));
        if chunk.is_none()
            && let Some((process, _)) = self.process.take()
        {
            process.tasks().clone().spawn(finish(self.operation, process));
        }
        Poll::Ready(chunk)
    }

    /// A receive-pack whose input ends removes its quarantine by itself; one that gets a signal, or finds its output
    /// closed, leaves it behind. So it may settle first. (Once it waits for the hook there is no quarantine.)
    fn abandon(&mut self) {
        self.input.abort();
        let Some((process, mut stdout)) = self.process.take() else { return };
        if self._token.is_none() {
            return;
        }
        process.spawn_with(|process| async move {
            let drain = async { while Chunk(&mut stdout).await.is_some_and(|chunk| chunk.is_ok()) {} };
            if tokio::time::timeout(SETTLE_TIME_MAX, drain).await.is_ok() {
                finish("receive-pack", process).await;
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The next chunk of a stream.
struct Chunk<'a>(&'a mut ReaderStream<ChildStdout>);

impl Future for Chunk<'_> {
    type Output = Option<io::Result<Bytes>>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        futures_core::Stream::poll_next(Pin::new(&mut *self.0), context)
    }
}

/// Reaps the process and tells the operator what it complained about; the client has been told by git itself.
async fn finish(operation: &'static str, mut process: GitProcess) {
    let stderr = process.stderr.take();
    let end = async {
        let complaint = read_at_most(stderr, STDERR_BYTES_MAX).await?;
        Ok::<_, io::Error>((complaint, process.wait().await?))
    };
    match tokio::time::timeout(EXIT_TIME_MAX, end).await {
        Ok(Ok((_, status))) if status.success() => {}
        Ok(Ok((complaint, status))) => {
            let complaint = String::from_utf8_lossy(&complaint);
            tracing::info!(%status, stderr = complaint.trim(), "git {operation} ended with an error");
        }
        Ok(Err(error)) => tracing::warn!(error = %error, "could not wait for git {operation}"),
        Err(_) => tracing::warn!("git {operation} did not end after its output"),
    }
}

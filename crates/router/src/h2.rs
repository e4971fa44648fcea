//! A client's connection that speaks HTTP/2: many requests at once, each a task of its own, all of them HTTP/1.1 to the
//! dynos.
//!
//! ```text
//! handshake ──> serving ──idle too long, order to stop──> going away ──last stream ended──> closed
//!                  └──> a task per stream: intake ──> carry
//! ```
//!
//! The frames are the `h2` crate's. What a client can make us hold is bounded by the windows and counts below; the
//! crate ends connections that reset streams faster than they use them, or flood us with frames that carry nothing.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ::h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use ::http::Request;
use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::{
    answer::{Page, Passing, Wrap},
    buffer::Buffer,
    carry::{Outcome, carry},
    client::ClientSide,
    client_io::ClientIo,
    codes::Code,
    config::Limits,
    exchange::Door,
    h1::Stopping,
    http::{
        Version,
        request::{BadRequest, Field, Head},
    },
    intake::{self, Denial, Intake},
    thread::Thread,
    transfer::push_body,
    watch::Watch,
};

/// Requests of one connection at a time.
const STREAMS_MAX: u32 = 128;
/// What a client may send of one request, and on one connection, before a dyno takes it.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Of one answer's bytes, as handed to the connection and not yet written.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that the client has reset while they waited to be looked at, and that we have reset because of it.
const RESETS_PENDING_MAX: usize = 20;
const RESETS_OURS_MAX: usize = 256;
/// What ends when it was told to go away may take this long.
const FAREWELL: Duration = Duration::from_secs(5);
/// What a chunk has before and behind its data, at most.
const CHUNK_FRAME_BYTES: usize = 32;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn builder(limits: &Limits) -> Builder {
    let mut builder = ::h2::server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(Some(RESETS_OURS_MAX))
        .max_header_list_size(u32::try_from(limits.request_head_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// Streams of a connection, and since when there are none.
struct Open {
    count: Cell<usize>,
    since: Cell<Instant>,
}

/// One of them.
struct Place(Rc<Open>);

impl Place {
    fn take(open: &Rc<Open>) -> Self {
        open.count.set(open.count.get() + 1);
        Self(open.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.since.set(Instant::now());
    }
}

/// Serves until the connection ends.
pub(crate) async fn serve(thread: Rc<Thread>, io: Prefixed, door: Rc<Door>) {
    let limits = &thread.shared.config.limits;
    let handshake = builder(limits).handshake::<_, Bytes>(io);
    let Ok(Ok(mut connection)) = timeout(limits.handshake_timeout, handshake).await else { return };
    let open = Rc::new(Open { count: Cell::new(0), since: Cell::new(Instant::now()) });
    let (mut watch, mut leaving) = (Watch::default(), None);
    let mut stop = pin!(Stopping::new(thread.clone()));
    loop {
        // None: it has been idle for long, or the router stops; the second time, it has had its time to end.
        let next = poll_fn(|cx| -> Poll<Option<Accepted>> {
            if let Poll::Ready(next) = connection.poll_accept(cx) {
                return Poll::Ready(Some(next));
            }
            if leaving.is_none() && stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let idle_since = if open.count.get() > 0 { Instant::now() } else { open.since.get() };
            let allowed = if leaving.is_some() { FAREWELL } else { limits.header_read_timeout };
            watch.poll(cx, idle_since + allowed).map(|()| None)
        });
        match next.await {
            Some(Some(Ok((request, respond)))) => {
                let (thread, door, place) = (thread.clone(), door.clone(), Place::take(&open));
                thread.clients.clone().spawn_local(async move {
                    let cut = thread.cut.clone();
                    cut.run_until_cancelled(stream(thread, door, request, respond, place)).await;
                });
            }
            Some(Some(Err(error))) => {
                tracing::debug!(%error, "a client's HTTP/2 connection failed");
                return;
            }
            Some(None) => return,
            None if leaving.is_some() => return,
            None => {
                leaving = Some(());
                open.since.set(Instant::now());
                connection.graceful_shutdown();
            }
        }
    }
}

/// A request with the means to answer it; none when the connection has ended.
type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), ::h2::Error>>;

// === one request ===

async fn stream(
    thread: Rc<Thread>,
    door: Rc<Door>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    _place: Place,
) {
    let (parts, body) = request.into_parts();
    let mut client = H2::new(thread.clone(), door.clone(), body, respond);
    let fields =
        parts.headers.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() });
    let fields: Vec<Field<'_>> = fields.collect();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let head = Head {
        method: parts.method.as_str(),
        path: path.into(),
        authority: parts.uri.authority().map(|authority| authority.as_str()),
        version: Version::Http2,
        body_follows: !client.body.is_end_stream(),
        fields: &fields,
    };
    let limits = thread.shared.config.limits.request().head;
    let taken = match parts.uri.scheme_str() {
        _ if !head.fits(&limits) => Err(Denial::bad(BadRequest::TooLong)),
        Some("http" | "https") => intake::take(&thread, &door, &head),
        _ => Err(Denial::bad(BadRequest::Malformed)),
    };
    drop(fields);
    match taken {
        Ok(intake) => client.carry(intake).await,
        Err(denial) => client.page(&denial.page, denial.is_head),
    }
}

pub(crate) struct H2 {
    thread: Rc<Thread>,
    door: Rc<Door>,
    body: RecvStream,
    /// Came from the client, and has not gone to the dyno.
    arrived: Bytes,
    /// The body has no length: the dyno gets chunks.
    chunked: bool,
    body_ended: bool,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    out: Buffer,
    /// The end of the answer has been sent.
    finished: bool,
}

impl H2 {
    fn new(thread: Rc<Thread>, door: Rc<Door>, body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self {
            thread,
            door,
            body,
            arrived: Bytes::new(),
            chunked: false,
            body_ended: false,
            respond,
            send: None,
            out: Buffer::default(),
            finished: false,
        }
    }

    async fn carry(&mut self, intake: Intake) {
        let Intake { mut exchange, mut outgoing, framing, .. } = intake;
        self.body_ended = !outgoing.has_body;
        self.chunked = matches!(framing, crate::http::Framing::Chunked(_));
        let is_head = outgoing.is_head;
        let mut watch = Watch::default();
        match carry(&mut exchange, &mut outgoing, self, &mut watch).await {
            Outcome::Answered { .. } => {}
            Outcome::Page { page, .. } => self.page(&page, is_head),
            // No stream leaves HTTP: none was asked for.
            Outcome::Broken | Outcome::Switched(_) => self.reset(),
        }
    }

    fn reset(&mut self) {
        match &mut self.send {
            Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Answers with a page of ours: small enough to be left to the connection.
    fn page(&mut self, page: &Page, is_head: bool) {
        let ends = is_head || page.body.is_empty();
        let Ok(mut send) =
            self.respond.send_response(page.response(self.thread.shared.config.clock.now()), ends)
        else {
            return;
        };
        if !ends && send.send_data(page.body.clone(), true).is_err() {
            tracing::debug!("a client left before its page");
        }
    }

    fn failed(&self) -> Code {
        if self.door.stalled.load(Ordering::Relaxed) { Code::H28 } else { Code::H27 }
    }
}

impl ClientSide for H2 {
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer) -> Poll<Result<bool, Code>> {
        loop {
            if !self.arrived.is_empty() {
                let room = into.room().saturating_sub(CHUNK_FRAME_BYTES).max(1);
                let bytes = self.arrived.len().min(room);
                let wrap = if self.chunked { Wrap::Chunked } else { Wrap::Raw };
                push_body(into, wrap, &self.arrived[..bytes]);
                self.arrived.advance(bytes);
                // The dyno has taken it: the client may send as much again.
                let released = self.body.flow_control().release_capacity(bytes);
                return Poll::Ready(released.map(|()| true).map_err(|_| self.failed()));
            }
            if self.body_ended {
                return Poll::Ready(Ok(false));
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(bytes)) => self.arrived = bytes,
                Some(Err(_)) => return Poll::Ready(Err(self.failed())),
                None => {
                    self.body_ended = true;
                    if self.chunked {
                        into.push(LAST_CHUNK);
                        return Poll::Ready(Ok(true));
                    }
                }
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(|_| ())
    }

    fn inform(&mut self, passing: &Passing<'_>) {
        if passing.head.status != 100 && self.respond.send_informational(passing.response()).is_err() {
            tracing::debug!("a client left before its answer");
        }
    }

    fn begin(&mut self, passing: &Passing<'_>, ends: bool) -> Result<Wrap, Code> {
        let sent = self.respond.send_response(passing.response(), ends);
        self.send = Some(sent.map_err(|_| self.failed())?);
        self.finished = ends;
        Ok(Wrap::Raw)
    }

    fn retract(&mut self) -> bool {
        // The head is with the connection.
        false
    }

    fn out(&mut self) -> &mut Buffer {
        &mut self.out
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, last: bool) -> Poll<Result<(), Code>> {
        let failed = self.failed();
        let Some(send) = &mut self.send else { return Poll::Ready(Err(failed)) };
        while !self.out.is_empty() {
            send.reserve_capacity(self.out.len());
            while send.capacity() == 0 {
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    _gone => return Poll::Ready(Err(failed)),
                }
            }
            let bytes = send.capacity().min(self.out.len());
            let data = Bytes::copy_from_slice(&self.out.unread()[..bytes]);
            self.out.consume(bytes);
            self.finished = last && self.out.is_empty();
            if send.send_data(data, self.finished).is_err() {
                return Poll::Ready(Err(failed));
            }
        }
        self.out.release(&self.thread.shelf);
        if last && !self.finished {
            self.finished = true;
            return Poll::Ready(send.send_data(Bytes::new(), true).map_err(|_| failed));
        }
        Poll::Ready(Ok(()))
    }
}

// === the socket ===

/// A client's socket of which the first bytes have been read already.
pub(crate) struct Prefixed {
    prefix: Buffer,
    io: ClientIo,
}

impl Prefixed {
    pub(crate) fn new(prefix: Buffer, io: ClientIo) -> Self {
        Self { prefix, io }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let bytes = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix.unread()[..bytes]);
        self.prefix.consume(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

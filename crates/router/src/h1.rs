//! A client's connection that speaks HTTP/1: one request after the other, until one of both closes it.
//!
//! ```text
//! wait for a head ──whole──> take ──intake──> carry ──answered──> (wait again, or close)
//!        │                     └──denial──> page ──────────────────────^
//!        ├──idle too long, gone, order to stop──> closed
//!        └──HTTP/2's preface──> h2
//! ```

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::AsyncWrite;

use crate::{
    answer::{Page, Passing, Wrap},
    buffer::{BLOCK_BYTES, Buffer},
    carry::{Outcome, carry},
    client::ClientSide,
    client_io::ClientIo,
    codes::{CAUSE_CHUNK, Code},
    exchange::Door,
    http::{
        Framing, Version,
        chunks::{BadChunk, Step},
        request,
        scan::Scan,
    },
    intake::{self, Denial, Intake},
    interim::Interim,
    last_word::LastWord,
    pages, pipe,
    thread::Thread,
    transfer::push_body,
    watch::Watch,
};

/// What an HTTP/2 client that knows us says first, as HTTP/1 reads it: a head.
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What a chunk has before and behind its data, at most.
const CHUNK_FRAME_BYTES: usize = 32;
/// A client that we leave in the middle of its request may go on sending, so that it comes to read why: closed at once,
/// its kernel would throw our answer away. It is left when it pauses for this long, has sent this much more, or when the
/// time for a next head would be over. Nothing of it is kept.
const LINGER_PAUSE: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What comes next on the connection.
enum Next {
    /// A head of this length stands in the input.
    Head(usize),
    Http2,
    Bad,
    End,
}

pub(crate) struct H1 {
    thread: Rc<Thread>,
    door: Rc<Door>,
    io: ClientIo,
    /// Read and not yet taken: the beginning of a head, or of a body.
    input: Buffer,
    out: Buffer,
    scan: Scan,
    /// No request has come yet. Behind one, HTTP/2 does not begin: proxies in front would not see it.
    fresh: bool,
    /// Of the request that is being carried.
    framing: Framing,
    version: Version,
    keep_alive: bool,
    is_head: bool,
    /// Something of the answer may be on its way.
    answer_sent: bool,
    interim: Interim,
    /// The last chunk has gone to the dyno.
    body_ended: bool,
    /// The answer's head has been written, at least into `out`.
    begun: bool,
    /// Its end is the connection's end: broken off, it must not look whole.
    until_close: bool,
    /// The client has ended its side.
    last_word: Option<Box<LastWord>>,
}

/// Serves until the connection ends. What is left then, if the client turns out to speak HTTP/2.
pub(crate) async fn serve(thread: Rc<Thread>, io: ClientIo, door: Rc<Door>) -> Option<(ClientIo, Buffer)> {
    let mut connection = H1::new(thread.clone(), io, door);
    let mut watch = Watch::default();
    let mut stop = pin!(Stopping::new(thread.clone()));
    loop {
        match connection.next(&mut watch, stop.as_mut()).await {
            Next::Head(length) => {
                if !connection.request(length, &mut watch).await {
                    return None;
                }
            }
            Next::Http2 => return Some((connection.io, connection.input)),
            Next::Bad => {
                let page = Page::html(400, pages::bad_request());
                connection.deny(Denial { page, close: true, is_head: false }).await;
                return None;
            }
            Next::End => return None,
        }
    }
}

impl H1 {
    fn new(thread: Rc<Thread>, io: ClientIo, door: Rc<Door>) -> Self {
        Self {
            thread,
            door,
            io,
            input: Buffer::default(),
            out: Buffer::default(),
            scan: Scan::default(),
            fresh: true,
            framing: Framing::Empty,
            version: Version::Http11,
            keep_alive: true,
            is_head: false,
            answer_sent: false,
            interim: Interim::default(),
            body_ended: true,
            begun: false,
            until_close: false,
            last_word: None,
        }
    }

    // === between requests ===

    async fn next(&mut self, watch: &mut Watch, mut stop: Pin<&mut Stopping>) -> Next {
        self.scan = Scan::default();
        let limits = self.thread.shared.config.limits.request().head;
        let bytes_max = self.thread.shared.config.limits.request_head_bytes_max;
        let deadline = Instant::now() + self.thread.shared.config.limits.header_read_timeout;
        poll_fn(|cx| {
            loop {
                if !self.input.is_empty() {
                    match self.scan.find(self.input.unread(), &limits) {
                        Ok(Some(length)) if self.fresh && &self.input.unread()[..length] == PREFACE_HEAD => {
                            return Poll::Ready(Next::Http2);
                        }
                        Ok(Some(length)) => return Poll::Ready(Next::Head(length)),
                        Ok(None) if self.is_hopeless() => return Poll::Ready(Next::Bad),
                        Ok(None) => {}
                        Err(_overrun) => return Poll::Ready(Next::Bad),
                    }
                }
                self.input.prepare(&self.thread.shelf);
                if !self.input.make_room(bytes_max) {
                    return Poll::Ready(Next::Bad);
                }
                match self.input.poll_fill(cx, &mut self.io, u64::MAX) {
                    Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                    Poll::Ready(_ended) => return Poll::Ready(Next::End),
                    Poll::Pending => break,
                }
            }
            self.input.release(&self.thread.shelf);
            let stopped = stop.as_mut().poll(cx).is_ready() && self.input.is_empty();
            let over = stopped || watch.poll(cx, deadline).is_ready();
            if over { Poll::Ready(Next::End) } else { Poll::Pending }
        })
        .await
    }

    /// The line that has come is of no HTTP: there is no reason to wait for more.
    fn is_hopeless(&self) -> bool {
        let line = self.scan.first_line(self.input.unread());
        line.is_some_and(|line| !request::may_begin(line))
    }

    /// Serves one request. False: the connection is done with.
    async fn request(&mut self, length: usize, watch: &mut Watch) -> bool {
        self.fresh = false;
        let taken = request::parse(
            &self.input.unread()[..length],
            &self.thread.shared.config.limits.request(),
            |head| intake::take(&self.thread, &self.door, &head),
        );
        self.input.consume(length);
        match taken {
            Ok(Ok(intake)) => self.carry(intake, watch).await,
            Ok(Err(denial)) => self.deny(denial).await,
            Err(bad) => self.deny(Denial::bad(bad)).await,
        }
    }

    async fn carry(&mut self, intake: Intake, watch: &mut Watch) -> bool {
        let Intake { mut exchange, mut outgoing, framing, keep_alive, version, expects_continue } = intake;
        self.body_ended = !outgoing.has_body;
        self.interim = Interim::new(expects_continue && outgoing.has_body);
        (self.framing, self.version, self.keep_alive) = (framing, version, keep_alive);
        self.is_head = outgoing.is_head;
        (self.begun, self.last_word) = (false, None);
        match carry(&mut exchange, &mut outgoing, self, watch).await {
            Outcome::Answered { ended: true } => {
                self.input.release(&self.thread.shelf);
                self.keep_alive || self.close(false).await
            }
            Outcome::Answered { ended: false } => self.close(true).await,
            Outcome::Page { page, ended } => {
                let close = !ended || !self.keep_alive;
                self.deny(Denial { page, close, is_head: self.is_head }).await
            }
            Outcome::Broken => false,
            Outcome::Switched(connection) => {
                self.skip_said();
                pipe::run(exchange, &mut self.io, &mut self.input, &mut self.out, connection).await;
                false
            }
        }
    }

    /// Answers with a page of ours.
    async fn deny(&mut self, denial: Denial) -> bool {
        let close = denial.close || self.thread.closing.is_cancelled();
        let now = self.thread.shared.config.clock.now();
        denial.page.write(&mut self.out, now, close, denial.is_head);
        let sent = poll_fn(|cx| self.poll_send(cx, true)).await;
        sent.is_ok() && (!close || self.close(denial.close).await)
    }

    /// Ends our side; if the client may still be sending, takes it for a moment. Always false.
    async fn close(&mut self, linger: bool) -> bool {
        if self.until_close {
            self.io.end_by_reset(false);
        }
        let io = &mut self.io;
        if poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await.is_err() || !linger {
            return false;
        }
        let end = Instant::now() + self.thread.shared.config.limits.header_read_timeout;
        let (mut watch, mut pause) = (Watch::default(), Instant::now() + LINGER_PAUSE);
        let mut left = LINGER_BYTES_MAX;
        // Whether it ended or its time did, we have done what we could.
        poll_fn(|cx| {
            while let Poll::Ready(taken) = self.poll_discard(cx) {
                let now = Instant::now();
                left = left.saturating_sub(taken);
                if taken == 0 || left == 0 || now >= end {
                    return Poll::Ready(());
                }
                pause = now + LINGER_PAUSE;
            }
            watch.poll(cx, pause.min(end))
        })
        .await;
        false
    }

    /// Reads what nobody wants. How much that was: nothing, at the end.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.input.clear();
        self.input.prepare(&self.thread.shelf);
        let taken = self.input.poll_fill(cx, &mut self.io, u64::MAX).map(|read| read.unwrap_or(0));
        self.input.clear();
        self.input.release(&self.thread.shelf);
        taken
    }

    // === a body ===

    fn failed(&self) -> Code {
        if self.door.stalled.load(Ordering::Relaxed) { Code::H28 } else { Code::H27 }
    }

    /// The request is whole, though perhaps not all of it has been taken.
    fn is_whole(&self) -> bool {
        match &self.framing {
            _ if self.body_ended => true,
            Framing::Length(left) => self.input.len() as u64 >= *left,
            // Taking it will show.
            _ => true,
        }
    }

    /// What has been sent ahead of a head is not sent again.
    fn skip_said(&mut self) {
        if let Some(last_word) = &mut self.last_word {
            self.out.consume(last_word.send());
        }
    }

    fn poll_length(&mut self, cx: &mut Context<'_>, into: &mut Buffer) -> Poll<Result<bool, Code>> {
        let Framing::Length(left) = &mut self.framing else { return Poll::Ready(Ok(false)) };
        let bytes = if self.input.is_empty() {
            // Nothing to be done to it: from socket to socket.
            match ready!(into.poll_fill(cx, &mut self.io, *left)) {
                Ok(bytes) if bytes > 0 => bytes,
                _ended => return Poll::Ready(Err(self.failed())),
            }
        } else {
            let there = self.input.unread();
            let bytes =
                into.push_some(&there[..usize::try_from(*left).unwrap_or(usize::MAX).min(there.len())]);
            self.input.consume(bytes);
            bytes
        };
        *left -= bytes as u64;
        Poll::Ready(Ok(true))
    }

    fn poll_chunks(&mut self, cx: &mut Context<'_>, into: &mut Buffer) -> Poll<Result<bool, Code>> {
        loop {
            if self.input.is_empty() {
                self.input.prepare(&self.thread.shelf);
                match self.input.poll_fill(cx, &mut self.io, u64::MAX) {
                    Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                    Poll::Ready(_ended) => return Poll::Ready(Err(self.failed())),
                    Poll::Pending => {
                        self.input.release(&self.thread.shelf);
                        return Poll::Pending;
                    }
                }
            }
            let Framing::Chunked(decoder) = &mut self.framing else { return Poll::Ready(Ok(false)) };
            let room = into.room().saturating_sub(CHUNK_FRAME_BYTES).max(1);
            let there = self.input.unread();
            let there = &there[..there.len().min(room)];
            let Step { skip, data } = decoder.step(there).map_err(|BadChunk| Code::H26(CAUSE_CHUNK))?;
            push_body(into, Wrap::Chunked, &there[skip..skip + data]);
            self.input.consume(skip + data);
            if decoder.is_end() {
                self.body_ended = true;
                into.push(LAST_CHUNK);
            }
            if data > 0 || self.body_ended {
                return Poll::Ready(Ok(true));
            }
        }
    }
}

impl ClientSide for H1 {
    fn poll_body(&mut self, cx: &mut Context<'_>, into: &mut Buffer) -> Poll<Result<bool, Code>> {
        if self.body_ended {
            return Poll::Ready(Ok(false));
        }
        if ready!(self.interim.poll_say(cx, &mut self.io)).is_err() {
            return Poll::Ready(Err(self.failed()));
        }
        match self.framing {
            Framing::Chunked(_) => self.poll_chunks(cx, into),
            _ => {
                let polled = self.poll_length(cx, into);
                self.body_ended = !matches!(self.framing, Framing::Length(1..));
                polled
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What it sends meanwhile is its next request. One block of it is enough to know that it is there.
        while self.last_word.is_none() && self.input.len() < BLOCK_BYTES {
            self.input.prepare(&self.thread.shelf);
            if !self.input.make_room(BLOCK_BYTES) {
                break;
            }
            match self.input.poll_fill(cx, &mut self.io, u64::MAX) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                Poll::Ready(Ok(_ended)) if self.is_whole() => {
                    // Nobody waits for a word to go on who has nothing more to say.
                    self.interim.withdraw();
                    self.last_word = Some(Box::new(LastWord::new(!self.begun)));
                }
                Poll::Ready(_gone) => return Poll::Ready(()),
                Poll::Pending => {
                    self.input.release(&self.thread.shelf);
                    break;
                }
            }
        }
        let Some(last_word) = &mut self.last_word else { return Poll::Pending };
        last_word.poll_gone(cx, &mut self.io, self.out.is_empty(), !self.begun)
    }

    fn inform(&mut self, passing: &Passing<'_>) {
        // A client that does not read hears less of what is not the answer, and holds no more than this.
        if self.version == Version::Http11 && self.out.len() < BLOCK_BYTES {
            passing.write(&mut self.out, self.version, Wrap::Raw, false);
        }
    }

    fn begin(&mut self, passing: &Passing<'_>, ends: bool) -> Result<Wrap, Code> {
        let framed = ends || self.is_head || passing.length().is_some();
        let wrap = if framed || self.version == Version::Http10 { Wrap::Raw } else { Wrap::Chunked };
        // A client of before chunks reads to the end of the connection.
        self.until_close = !framed && wrap == Wrap::Raw && !passing.switch;
        if self.until_close {
            self.io.end_by_reset(true);
        }
        self.keep_alive &= !self.until_close && !self.thread.closing.is_cancelled();
        // The answer says whether to go on.
        self.interim.withdraw();
        // What is still there of an answer before the answer may have gone out in part.
        self.answer_sent = !self.out.is_empty();
        self.begun = true;
        self.out.prepare(&self.thread.shelf);
        passing.write(&mut self.out, self.version, wrap, !self.keep_alive && !passing.switch);
        Ok(wrap)
    }

    fn retract(&mut self) -> bool {
        if !self.answer_sent {
            self.out.clear();
        }
        !self.answer_sent
    }

    fn out(&mut self) -> &mut Buffer {
        &mut self.out
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _last: bool) -> Poll<Result<(), Code>> {
        if ready!(self.interim.poll_clear(cx, &mut self.io)).is_err() {
            return Poll::Ready(Err(self.failed()));
        }
        self.answer_sent = true;
        self.skip_said();
        let sent = match ready!(self.out.poll_drain(cx, &mut self.io)) {
            Ok(()) => ready!(Pin::new(&mut self.io).poll_flush(cx)),
            Err(error) => Err(error),
        };
        self.out.release(&self.thread.shelf);
        Poll::Ready(sent.map_err(|_| self.failed()))
    }
}

/// The order to stop, and the moment after it in which requests that are on the wire already may come.
pub(crate) struct Stopping {
    wait: Pin<Box<dyn Future<Output = ()>>>,
    over: bool,
}

impl Stopping {
    pub(crate) fn new(thread: Rc<Thread>) -> Self {
        let wait = Box::pin(async move {
            thread.closing.cancelled().await;
            tokio::time::sleep(thread.shared.config.limits.linger).await;
        });
        Self { wait, over: false }
    }
}

impl Future for Stopping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.over {
            ready!(self.wait.as_mut().poll(cx));
            self.over = true;
        }
        Poll::Ready(())
    }
}

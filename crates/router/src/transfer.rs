//! A request to a dyno and its answer back, byte by byte, both at once.
//!
//! ```text
//! client ──poll_body──> outgoing ──write──> dyno          the upload: goes on during both stages
//! dyno ──read──> input ──> a whole head                    stage 1: ask
//! dyno ──read──> (unwrap, wrap) ──> out ──poll_send──> client    stage 2: relay
//! ```
//!
//! Nothing is read before there is room for it, so that the slower side sets the pace and each direction holds one
//! block at most.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Instant,
};

use crate::{
    answer::Wrap,
    buffer::{BLOCK_BYTES, Buffer, Shelf},
    client::ClientSide,
    codes::Code,
    config::Limits,
    dyno_io::Connection,
    exchange::Exchange,
    http::{
        Framing,
        chunks::{BadChunk, Step},
        scan::Scan,
    },
    intake::Outgoing,
    watch::Watch,
};

/// Whose turn it is while the request's body travels.
///
/// ```text
/// Moving ──asked, nothing there──> Waiting (for the client: H28 after the idle window)
///   ^  └──────────end─────────> Ended      │
///   └───────────bytes──────────────────────┘
/// ```
///
/// `Moving` and `Ended`: it is the dyno's turn, and the first-byte limit (H12) runs from the last byte that went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Moving(Instant),
    Waiting(Instant),
    Ended(Instant),
}

/// Why there is no answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Code(Code),
    /// Nothing of the request has left us, or nothing came back of one that may be repeated: it may go out again.
    Again,
}

/// What of the request an answer is judged by.
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    /// It wants to leave HTTP.
    pub(crate) upgrade: bool,
    /// The dyno is to say `100 Continue`, and has said it.
    pub(crate) continues: bool,
    pub(crate) continued: bool,
}

pub(crate) struct Transfer<'a, C> {
    client: &'a mut C,
    dyno: &'a mut Connection,
    outgoing: &'a mut Outgoing,
    shelf: &'a Shelf,
    limits: &'a Limits,
    turn: Turn,
    /// Something of the request has gone out.
    sent: bool,
    /// The dyno takes no more.
    deaf: bool,
    /// Something has come of the answer, and when last.
    heard: bool,
    moved: Instant,
    scan: Scan,
    continued: bool,
}

impl<'a, C: ClientSide> Transfer<'a, C> {
    pub(crate) fn new(
        client: &'a mut C,
        dyno: &'a mut Connection,
        outgoing: &'a mut Outgoing,
        shelf: &'a Shelf,
        limits: &'a Limits,
    ) -> Self {
        let now = Instant::now();
        let turn = if outgoing.has_body { Turn::Moving(now) } else { Turn::Ended(now) };
        Self {
            client,
            dyno,
            outgoing,
            shelf,
            limits,
            turn,
            sent: false,
            deaf: false,
            heard: false,
            moved: now,
            scan: Scan::default(),
            continued: false,
        }
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            is_head: self.outgoing.is_head,
            upgrade: self.outgoing.upgrade,
            continues: self.outgoing.continues,
            continued: self.outgoing.continues && self.continued,
        }
    }

    /// The dyno has said `100 Continue`.
    pub(crate) fn note_continued(&mut self, said: bool) {
        self.continued |= said;
    }

    pub(crate) fn sides(&mut self) -> (&mut C, &mut Connection) {
        (self.client, self.dyno)
    }

    /// The whole request has gone over.
    pub(crate) fn upload_ended(&self) -> bool {
        matches!(self.turn, Turn::Ended(_)) && self.outgoing.bytes.is_empty() && !self.deaf
    }

    /// The client has nothing more to say to this request.
    pub(crate) fn client_ended(&self) -> bool {
        matches!(self.turn, Turn::Ended(_)) && !self.deaf
    }

    // === the upload ===

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Code> {
        loop {
            // What is there goes out in one write, in however small pieces it came.
            let mut more = true;
            while more && self.is_due() {
                more = self.poll_client(cx)?;
            }
            if self.poll_write(cx).is_pending() {
                return Ok(());
            }
            // Everything has gone out. Unless the client was asked and had nothing, nobody would wake us for more.
            if matches!(self.turn, Turn::Ended(_)) || !more {
                self.wait();
                return Ok(());
            }
        }
    }

    /// There is room for more of the client's body.
    fn is_due(&self) -> bool {
        !matches!(self.turn, Turn::Ended(_)) && self.outgoing.bytes.len() < BLOCK_BYTES / 2
    }

    /// Whether bytes of the body have come.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<bool, Code> {
        self.outgoing.bytes.prepare(self.shelf);
        self.outgoing.bytes.compact();
        match self.client.poll_body(cx, &mut self.outgoing.bytes) {
            Poll::Ready(Ok(true)) => {
                self.turn = Turn::Moving(Instant::now());
                return Ok(true);
            }
            Poll::Ready(Ok(false)) => self.turn = Turn::Ended(Instant::now()),
            Poll::Ready(Err(code)) => return Err(code),
            Poll::Pending => {}
        }
        Ok(false)
    }

    /// The dyno has all there is.
    fn wait(&mut self) {
        if matches!(self.turn, Turn::Moving(_)) {
            self.turn = Turn::Waiting(Instant::now());
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.outgoing.bytes.len();
        if before == 0 {
            return Poll::Ready(());
        }
        let written = self.outgoing.bytes.poll_drain(cx, &mut self.dyno.stream);
        self.sent |= self.outgoing.bytes.len() < before;
        if let Poll::Ready(Err(_)) = written {
            // It may have answered before it closed; what it has not read is of no use to anybody.
            self.deaf = true;
            self.turn = Turn::Ended(Instant::now());
        }
        if self.deaf && self.sent {
            self.outgoing.bytes.clear();
        }
        written.map(|_| ())
    }

    // === stage 1 ===

    /// Sends the request until a whole head of an answer has come, and says how long it is. It stands in the dyno's
    /// input.
    pub(crate) async fn ask(&mut self, watch: &mut Watch, reused: bool) -> Result<usize, Stop> {
        poll_fn(|cx| {
            if let Err(code) = self.poll_upload(cx).and_then(|()| self.poll_inform(cx)) {
                return Poll::Ready(Err(Stop::Code(code)));
            }
            if self.deaf && !self.sent {
                return Poll::Ready(Err(if reused { Stop::Again } else { Stop::Code(Code::H13) }));
            }
            if let Poll::Ready(result) = self.poll_head(cx) {
                return Poll::Ready(result.map_err(|code| self.judge(code, reused)));
            }
            if self.client_ended() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Stop::Code(Code::H27)));
            }
            let (deadline, code) = self.overdue();
            watch.poll(cx, deadline).map(|()| Err(Stop::Code(code)))
        })
        .await
    }

    /// Answers before the answer go out as they come.
    fn poll_inform(&mut self, cx: &mut Context<'_>) -> Result<(), Code> {
        if self.client.out().is_empty() {
            return Ok(());
        }
        match self.client.poll_send(cx, false) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// A request that met a dyno which was just closing an idle connection goes out again, if that is harmless.
    fn judge(&self, code: Code, reused: bool) -> Stop {
        if reused && code == Code::H13 && self.outgoing.may_repeat { Stop::Again } else { Stop::Code(code) }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Code>> {
        let limits = self.limits.answer_head();
        loop {
            if !self.dyno.input.is_empty() {
                match self.scan.find(self.dyno.input.unread(), &limits) {
                    Ok(Some(length)) => return Poll::Ready(Ok(length)),
                    Ok(None) => {}
                    Err(overrun) => return Poll::Ready(Err(Code::of_answer(overrun))),
                }
            }
            self.dyno.input.prepare(self.shelf);
            if !self.dyno.input.make_room(self.limits.response_head_bytes_max) {
                return Poll::Ready(Err(Code::H25("HTTP restriction: oversized header")));
            }
            match self.dyno.input.poll_fill(cx, &mut self.dyno.stream, u64::MAX) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    self.heard = true;
                    self.moved = Instant::now();
                }
                Poll::Ready(_ended) => {
                    return Poll::Ready(Err(if self.heard { Code::H18 } else { Code::H13 }));
                }
                Poll::Pending => {
                    self.dyno.input.release(self.shelf);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The head has been dealt with, and another one follows.
    pub(crate) fn next_head(&mut self, length: usize) {
        self.dyno.input.consume(length);
        self.scan = Scan::default();
    }

    /// When the answer is overdue, and by whose fault.
    fn overdue(&self) -> (Instant, Code) {
        if self.heard {
            return (self.moved + self.limits.idle_timeout, Code::H15);
        }
        match self.turn {
            Turn::Waiting(at) => (at + self.limits.idle_timeout, Code::H28),
            Turn::Moving(at) | Turn::Ended(at) => {
                (at.max(self.moved) + self.limits.first_byte_timeout, Code::H12)
            }
        }
    }

    // === stage 2 ===

    /// Passes the body on. The answer's head is in the client's `out`, the dyno's input begins with the body.
    pub(crate) async fn relay(
        &mut self,
        exchange: &mut Exchange,
        watch: &mut Watch,
        mut body: Body,
    ) -> Result<(), Code> {
        poll_fn(|cx| {
            self.poll_upload(cx)?;
            if let Poll::Ready(result) = self.poll_down(cx, exchange, &mut body) {
                return Poll::Ready(result);
            }
            if self.client_ended() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Code::H27));
            }
            let code = if self.client.out().is_empty() { Code::H15 } else { Code::H28 };
            let overdue = watch.poll(cx, self.last_moved() + self.limits.idle_timeout);
            if watch.take_lasted() {
                // It lasts: no reason to hold the table that it began with.
                exchange.stand_apart();
            }
            overdue.map(|()| Err(code))
        })
        .await
    }

    /// The window is rolling: bytes of either side move its end.
    fn last_moved(&self) -> Instant {
        match self.turn {
            Turn::Moving(at) | Turn::Waiting(at) | Turn::Ended(at) => at.max(self.moved),
        }
    }

    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        body: &mut Body,
    ) -> Poll<Result<(), Code>> {
        loop {
            self.take(exchange, body)?;
            if body.ended && self.upload_ended() {
                exchange.part();
            }
            if body.ended || !self.client.out().is_empty() {
                let before = self.client.out().len();
                let sent = self.client.poll_send(cx, body.ended);
                if sent.is_ready() || self.client.out().len() < before {
                    self.moved = Instant::now();
                }
                std::task::ready!(sent)?;
                if body.ended {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            std::task::ready!(self.poll_more(cx, exchange, body))?;
        }
    }

    /// What one read has brought goes to the client in one write, in however small pieces it came.
    fn take(&mut self, exchange: &mut Exchange, body: &mut Body) -> Result<(), Code> {
        while !body.ended && !self.dyno.input.is_empty() {
            let out = self.client.out();
            if !out.is_empty() && out.room() < ROOM_BYTES_MIN {
                break;
            }
            out.prepare(self.shelf);
            let taken = body.take(self.dyno.input.unread(), out)?;
            self.dyno.input.consume(taken.consumed);
            exchange.note_bytes(taken.body as u64);
        }
        Ok(())
    }

    /// Reads from the dyno: straight into what goes to the client, if nothing has to be done to it.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        body: &mut Body,
    ) -> Poll<Result<(), Code>> {
        let direct = body.direct();
        let buffer = if direct.is_some() { self.client.out() } else { &mut self.dyno.input };
        buffer.prepare(self.shelf);
        match buffer.poll_fill(cx, &mut self.dyno.stream, direct.unwrap_or(u64::MAX)) {
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.moved = Instant::now();
                if direct.is_some() {
                    body.passed(bytes as u64);
                    exchange.note_bytes(bytes as u64);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(body.end(self.client.out())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Code::H18)),
            Poll::Pending => {
                buffer.release(self.shelf);
                Poll::Pending
            }
        }
    }
}

/// The body of an answer on its way through: taken off the dyno's framing, put into the client's.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    wrap: Wrap,
    ended: bool,
}

struct Taken {
    /// Of the input.
    consumed: usize,
    /// Of these, bytes of the body.
    body: usize,
}

/// What a chunk has before and behind its data, at most.
const CHUNK_FRAME_BYTES: usize = 20;
/// With less room than this, what is there goes out first.
const ROOM_BYTES_MIN: usize = 256;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Body {
    pub(crate) fn new(framing: Framing, wrap: Wrap) -> Self {
        let ended = matches!(framing, Framing::Empty | Framing::Length(0));
        Self { framing, wrap, ended }
    }

    /// Moves what there is of the body in `input` to `out`, as much as fits.
    fn take(&mut self, input: &[u8], out: &mut Buffer) -> Result<Taken, Code> {
        let room = out.room().saturating_sub(CHUNK_FRAME_BYTES + LAST_CHUNK.len()).max(1);
        let input = &input[..input.len().min(room)];
        match &mut self.framing {
            Framing::Empty => Ok(Taken { consumed: 0, body: 0 }),
            Framing::Length(left) => {
                let bytes = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                push_body(out, self.wrap, &input[..bytes]);
                self.passed(bytes as u64);
                Ok(Taken { consumed: bytes, body: bytes })
            }
            Framing::UntilClose => {
                push_body(out, self.wrap, input);
                Ok(Taken { consumed: input.len(), body: input.len() })
            }
            Framing::Chunked(decoder) => {
                let Step { skip, data } = decoder.step(input).map_err(|BadChunk| Code::H17)?;
                push_body(out, self.wrap, &input[skip..skip + data]);
                if decoder.is_end() {
                    self.finish(out);
                }
                Ok(Taken { consumed: skip + data, body: data })
            }
        }
    }

    /// Whether the dyno's bytes can go to the client as they are, and how many at most.
    fn direct(&self) -> Option<u64> {
        match (self.wrap, &self.framing) {
            (Wrap::Raw, Framing::Length(left)) => Some(*left),
            (Wrap::Raw, Framing::UntilClose) => Some(u64::MAX),
            _ => None,
        }
    }

    fn passed(&mut self, bytes: u64) {
        if let Framing::Length(left) = &mut self.framing {
            *left -= bytes;
            self.ended = *left == 0;
        }
    }

    /// The dyno has closed the connection.
    fn end(&mut self, out: &mut Buffer) -> Result<(), Code> {
        if !matches!(self.framing, Framing::UntilClose) {
            return Err(Code::H18);
        }
        self.finish(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Buffer) {
        self.ended = true;
        if self.wrap == Wrap::Chunked {
            out.push(LAST_CHUNK);
        }
    }
}

/// Bytes of a body as the other side is to get them.
pub(crate) fn push_body(out: &mut Buffer, wrap: Wrap, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if wrap == Wrap::Raw {
        return out.push(bytes);
    }
    push_hex(out, bytes.len());
    out.push(b"\r\n");
    out.push(bytes);
    out.push(b"\r\n");
}

fn push_hex(out: &mut Buffer, mut number: usize) {
    let (mut digits, mut at) = ([0; 16], 16);
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[number % 16];
        number /= 16;
        if number == 0 {
            return out.push(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunks::Decoder;

    fn through(framing: Framing, wrap: Wrap, input: &str, close: bool) -> (String, usize, bool) {
        let (mut body, mut out, mut at) = (Body::new(framing, wrap), Buffer::default(), 0);
        out.prepare(&Shelf::default());
        while at < input.len() && !body.ended {
            at += body.take(&input.as_bytes()[at..], &mut out).unwrap().consumed;
        }
        if close && !body.ended {
            body.end(&mut out).unwrap();
        }
        (String::from_utf8(out.unread().to_vec()).unwrap(), at, body.ended)
    }

    #[test]
    fn bodies_change_their_framing_and_stop_at_their_end() {
        let chunks = || Framing::Chunked(Decoder::new());
        let of = |text: &str, taken, ended| (text.to_owned(), taken, ended);
        assert_eq!(through(Framing::Length(3), Wrap::Raw, "abcdef", false), of("abc", 3, true));
        assert_eq!(through(Framing::UntilClose, Wrap::Raw, "abc", true), of("abc", 3, true));
        assert_eq!(
            through(Framing::UntilClose, Wrap::Chunked, "abc", true),
            of("3\r\nabc\r\n0\r\n\r\n", 3, true)
        );
        let input = "2;x=y\r\nhi\r\n1\r\n!\r\n0\r\nTrailer: 1\r\n\r\nrest";
        assert_eq!(through(chunks(), Wrap::Raw, input, false), of("hi!", input.len() - 4, true));
        let rewrapped = "2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(through(chunks(), Wrap::Chunked, input, false), of(rewrapped, input.len() - 4, true));
        assert_eq!(through(Framing::Empty, Wrap::Raw, "rest", false), of("", 0, true));
    }

    #[test]
    fn sizes_are_hexadecimal() {
        for number in [0, 9, 10, 16, 255, 32_768, usize::MAX] {
            let mut out = Buffer::default();
            push_hex(&mut out, number);
            assert_eq!(out.unread(), format!("{number:x}").as_bytes());
        }
    }
}

//! From a request that may be served to a dyno's answer: wait for a dyno, choose, connect, send, judge what came.
//!
//! **What may be sent again?** A request of which nothing has left us goes to the next dyno, whatever it is. One that
//! was written to a connection that had been idle, and got no byte back, met a dyno that was just closing it: it goes
//! out again on a fresh connection if repeating it is harmless (idempotent, no body). Nothing else is repeated.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rand::Rng;
use renga_model::{DynoId, WebState};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    codes::Code,
    config::Limits,
    dyno_io::{DynoIo, Wire},
    exchange::Exchange,
    head::{CONNECT_TIME, TOTAL_ROUTE_TIME},
    pool::Connection,
    table::App,
    upload::{RequestBody, Turn, Upload},
};

/// Pauses while all dynos are quarantined grow from the first to the second.
const QUARANTINE_PAUSE_MIN: Duration = Duration::from_millis(50);
const QUARANTINE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why there is no answer of a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Code(Code),
    /// The app left the table while the request waited.
    NoSuchApp,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::Code(code)
    }
}

pub(crate) struct Reply {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
}

/// Dynos that this request has tried to connect to, and how the last try ended.
#[derive(Default)]
struct Tried {
    dynos: Vec<DynoId>,
    last: Option<Code>,
}

enum Sent {
    Reply(Reply),
    /// Goes out again, on a fresh connection.
    Again(Request<RequestBody>),
    Failed(Code),
}

pub(crate) async fn deliver(
    exchange: &mut Exchange,
    mut request: Request<RequestBody>,
) -> Result<Reply, Refusal> {
    let mut tried = Tried::default();
    let mut fresh = false;
    loop {
        pick(exchange, &tried).await?;
        let (connection, reused) = match connect(exchange, fresh, may_repeat(&request)).await {
            Ok(connected) => connected,
            Err(code) => {
                quarantine(exchange, code, &mut tried);
                continue;
            }
        };
        stamp(exchange, &mut request);
        match send(exchange, connection, reused, request).await {
            Sent::Reply(reply) => return Ok(reply),
            // A fresh connection is never the reason to send again, so this happens once.
            Sent::Again(again) => (request, fresh) = (again, true),
            Sent::Failed(code) => return Err(code.into()),
        }
    }
}

// === choosing ===

/// Takes a place at a dyno, waiting for one if need be.
async fn pick(exchange: &mut Exchange, tried: &Tried) -> Result<(), Refusal> {
    let mut pause = QUARANTINE_PAUSE_MIN;
    loop {
        if !exchange.renew() {
            return Err(Refusal::NoSuchApp);
        }
        let app = exchange.app().ok_or(Code::H99)?;
        if app.maintenance {
            return Err(Code::H80.into());
        }
        if app.dynos.is_empty() {
            let code = match app.web {
                WebState::Blank => Code::H81,
                WebState::NoWeb => Code::H14,
                WebState::Crashed => Code::H10,
                WebState::Asleep => {
                    exchange.thread.shared.tables.knock();
                    hold(exchange, None, Code::H20).await?;
                    continue;
                }
                WebState::Booting | WebState::Up => {
                    hold(exchange, None, Code::H20).await?;
                    continue;
                }
            };
            return Err(code.into());
        }
        let limits = &exchange.thread.shared.config.limits;
        let now_ms = exchange.thread.shared.tables.now_ms();
        match choose(app, tried, limits, now_ms) {
            Some(index) if exchange.enter_dyno(index) => return Ok(()),
            // The table changed under the choice.
            Some(_) => {}
            None => match tried.last {
                Some(code) => return Err(code.into()),
                None => {
                    hold(exchange, Some(pause), Code::H34).await?;
                    pause = (pause * 2).min(QUARANTINE_PAUSE_MAX);
                }
            },
        }
    }
}

/// A random dyno among those that are neither quarantined nor tried.
fn choose(app: &App, tried: &Tried, limits: &Limits, now_ms: u64) -> Option<usize> {
    if tried.dynos.len() >= limits.connect_attempts_max {
        return None;
    }
    let fits = |index: &usize| {
        let dyno = &app.dynos[*index];
        !dyno.counters.quarantined(now_ms) && !tried.dynos.contains(&dyno.id)
    };
    let first = rand::rng().random_range(0..app.dynos.len());
    if fits(&first) {
        return Some(first);
    }
    let fitting = (0..app.dynos.len()).filter(fits).count();
    if fitting == 0 {
        return None;
    }
    (0..app.dynos.len()).filter(fits).nth(rand::rng().random_range(0..fitting))
}

/// Waits for a change of the table, or for the pause, within what is left of the request's time.
async fn hold(exchange: &Exchange, pause: Option<Duration>, late: Code) -> Result<(), Refusal> {
    let shared = &exchange.thread.shared;
    let _place = Held::enter(&shared.held, shared.config.limits.held_max).ok_or(Code::H11)?;
    let left = shared.config.limits.hold_timeout.saturating_sub(exchange.begun.elapsed());
    if left.is_zero() {
        return Err(late.into());
    }
    let wait = pause.map_or(left, |pause| pause.min(left));
    let mut changes = shared.tables.changes();
    // Looked at after subscribing, so that no change falls between the look and the wait.
    if !exchange.is_current() {
        return Ok(());
    }
    // Whether it was the change or the time, the caller looks again.
    let _either = timeout(wait, changes.changed()).await;
    Ok(())
}

struct Held<'a>(&'a std::sync::atomic::AtomicUsize);

impl<'a> Held<'a> {
    fn enter(held: &'a std::sync::atomic::AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(held);
        (held.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === connecting ===

async fn connect(exchange: &mut Exchange, fresh: bool, may_repeat: bool) -> Result<(Connection, bool), Code> {
    let thread = exchange.thread.clone();
    let limits = &thread.shared.config.limits;
    let peer = exchange.dyno().map(|dyno| (dyno.id, dyno.address)).ok_or(Code::H99)?;
    let idle_max = if may_repeat { None } else { Some(limits.pool_idle_unrepeatable) };
    if !fresh && let Some(connection) = thread.pool.take(peer, idle_max) {
        exchange.note_connected(Duration::ZERO);
        return Ok((connection, true));
    }
    let started = Instant::now();
    let stream = match timeout(limits.connect_timeout, TcpStream::connect(peer.1)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            exchange.connect = Some(started.elapsed());
            return Err(connect_code(&error));
        }
        Err(_elapsed) => {
            exchange.connect = Some(started.elapsed());
            return Err(Code::H19);
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not switch off delays to a dyno");
    }
    let (io, wire) = DynoIo::new(stream);
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits.response_head_bytes_max)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|_| Code::H99)?;
    thread.dynos.spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a dyno's connection failed");
        }
    });
    exchange.note_connected(started.elapsed());
    Ok((Connection { peer, sender, wire, keep_alive: None }, false))
}

/// The dyno's fault, or ours (no file descriptors, no ports)?
fn connect_code(error: &io::Error) -> Code {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable => Code::H21,
        Kind::TimedOut => Code::H19,
        _ => Code::H99,
    }
}

fn quarantine(exchange: &mut Exchange, code: Code, tried: &mut Tried) {
    tried.last = Some(code);
    exchange.note_tried();
    if let Some(dyno) = exchange.dyno() {
        tried.dynos.push(dyno.id);
        if code != Code::H99 {
            let shared = &exchange.thread.shared;
            shared.tables.quarantine(&dyno.counters, shared.config.limits.quarantine);
        }
    }
}

// === sending ===

/// What could only be known now: how long it took to get here.
fn stamp(exchange: &Exchange, request: &mut Request<RequestBody>) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into();
    let headers = request.headers_mut();
    headers.insert(CONNECT_TIME, millis(exchange.connect.unwrap_or_default()));
    headers.insert(TOTAL_ROUTE_TIME, millis(exchange.begun.elapsed()));
}

fn may_repeat(request: &Request<RequestBody>) -> bool {
    request.body().is_empty() && request.method().is_idempotent()
}

async fn send(
    exchange: &mut Exchange,
    mut connection: Connection,
    reused: bool,
    request: Request<RequestBody>,
) -> Sent {
    let copy = (reused && may_repeat(&request)).then(|| Copy::of(&request));
    let read_before = connection.wire.read();
    exchange.note_sent();
    let limits = &exchange.thread.shared.config.limits;
    let outcome = {
        let answered = connection.sender.try_send_request(request);
        tokio::select! {
            biased;
            // The dyno answered, or its connection failed.
            outcome = answered => outcome,
            // Nobody moved for too long.
            code = overdue(&exchange.upload, &connection.wire, read_before, limits) => return Sent::Failed(code),
        }
    };
    let mut failed = match outcome {
        Ok(response) => return Sent::Reply(Reply { response, connection }),
        Err(failed) => failed,
    };
    let silent = connection.wire.read() == read_before;
    match (failed.take_message(), copy) {
        // Nothing has left us.
        (Some(request), _) if reused => Sent::Again(request),
        (None, Some(copy)) if silent && !failed.error().is_parse() => Sent::Again(copy.request()),
        _ => Sent::Failed(exchange.upload.failed().unwrap_or(judge(failed.error(), silent))),
    }
}

fn judge(error: &hyper::Error, silent: bool) -> Code {
    if error.is_parse_too_large() {
        Code::H25("HTTP restriction: oversized header")
    } else if error.is_parse() {
        Code::H17
    } else if silent {
        Code::H13
    } else {
        Code::H18
    }
}

/// Waits until the answer is overdue, and says by whose fault.
async fn overdue(upload: &Upload, wire: &Wire, read_before: u64, limits: &Limits) -> Code {
    let (mut read, mut read_at) = (read_before, Instant::now());
    let started = read_at;
    loop {
        if wire.read() != read {
            (read, read_at) = (wire.read(), Instant::now());
        }
        let (end, code) = if read != read_before {
            (read_at + limits.idle_timeout, Code::H15)
        } else {
            match upload.turn() {
                Turn::Waiting(at) => (at + limits.idle_timeout, Code::H28),
                // The body may have ended long before this dyno was found.
                Turn::Moving(at) | Turn::Ended(at) => {
                    (at.max(started) + limits.first_byte_timeout, Code::H12)
                }
            }
        };
        if end <= Instant::now() {
            return code;
        }
        tokio::select! {
            biased;
            // The turn has passed to the dyno, whose time is shorter.
            () = upload.passed.notified() => {}
            () = tokio::time::sleep_until(end.into()) => {}
        }
    }
}

/// The head of a request without body, for sending it again.
struct Copy(request::Parts);

impl Copy {
    fn of(request: &Request<RequestBody>) -> Self {
        let mut copy = Request::new(());
        *copy.method_mut() = Method::clone(request.method());
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Self(copy.into_parts().0)
    }

    fn request(self) -> Request<RequestBody> {
        Request::from_parts(self.0, RequestBody::Empty)
    }
}

//! From a request that may be served to a connection: wait for a dyno, choose, connect.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rand::Rng;
use renga_model::{DynoId, WebState};
use tokio::{net::TcpStream, time::timeout};

use crate::{codes::Code, config::Limits, dyno_io::Connection, exchange::Exchange, table::App};

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

/// A connection to the dyno that the request is at.
pub(crate) struct Reached {
    pub(crate) connection: Connection,
    /// It has carried requests before.
    pub(crate) reused: bool,
}

/// Dynos that this request has tried to connect to, and how the last try ended.
#[derive(Default)]
pub(crate) struct Tried {
    dynos: Vec<DynoId>,
    last: Option<Code>,
    /// A connection that had been idle has failed: only a new one will do.
    pub(crate) fresh: bool,
}

/// Chooses a dyno and connects to it, and to others while they do not accept.
pub(crate) async fn reach(
    exchange: &mut Exchange,
    tried: &mut Tried,
    may_repeat: bool,
) -> Result<Reached, Refusal> {
    loop {
        pick(exchange, tried).await?;
        match connect(exchange, tried.fresh, may_repeat).await {
            Ok(reached) => return Ok(reached),
            Err(code) => quarantine(exchange, code, tried),
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
        match choose(app, exchange.wanted, tried, limits, now_ms) {
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

/// A dyno among those that are neither quarantined nor tried: the one that the client wants, or a random one.
fn choose(app: &App, wanted: Option<DynoId>, tried: &Tried, limits: &Limits, now_ms: u64) -> Option<usize> {
    if tried.dynos.len() >= limits.connect_attempts_max {
        return None;
    }
    let fits = |index: &usize| {
        let dyno = &app.dynos[*index];
        !dyno.counters.quarantined(now_ms) && !tried.dynos.contains(&dyno.id)
    };
    let wanted = wanted.and_then(|wanted| app.dynos.iter().position(|dyno| dyno.id == wanted));
    if let Some(wanted) = wanted.filter(fits) {
        return Some(wanted);
    }
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

async fn connect(exchange: &mut Exchange, fresh: bool, may_repeat: bool) -> Result<Reached, Code> {
    let thread = exchange.thread.clone();
    let limits = &thread.shared.config.limits;
    let peer = exchange.dyno().map(|dyno| (dyno.id, dyno.address)).ok_or(Code::H99)?;
    let idle_max = if may_repeat { None } else { Some(limits.pool_idle_unrepeatable) };
    let pooled = exchange.app().is_some_and(|app| !app.row.flags.no_keep_alive_to_dyno);
    if pooled
        && !fresh
        && let Some(connection) = thread.pool.take(peer, idle_max)
    {
        exchange.note_connected(Duration::ZERO);
        return Ok(Reached { connection, reused: true });
    }
    let started = Instant::now();
    let connected = timeout(limits.connect_timeout, TcpStream::connect(peer.1)).await;
    thread.counts().dyno_connection(matches!(connected, Ok(Ok(_))));
    let stream = match connected {
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
    exchange.note_connected(started.elapsed());
    Ok(Reached { connection: Connection::new(peer, stream), reused: false })
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

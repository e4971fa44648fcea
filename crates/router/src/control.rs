//! The control socket: the server publishes tables, the router says what it routes by.
//!
//! Frames of JSON both ways ([`crate::frame`]): `{"publish": <table>}`, `{"change": <what leads from one table to the
//! next>}` or `{"in_flight": {"generation": n}}`, answered by `{"routing": {"generation": n, "in_flight": {"<dyno id>":
//! count}}}`, `{"stale": {"seen": n}}`, `{"behind": {"generation": n}}` (it routes by another one than was asked for, or
//! than the change begins with: publish the table) or `{"refused": "..."}`. The last question is the cheap one: it carries
//! no table.
//!
//! `"status"` and `"metrics"` are for operators, and answered by the like.
//!
//! `{"traffic": {"wait_ms": n}}` is answered by `{"traffic": {"waiting": ["<app id>"], "idle_ms": {"<app id>": ms}}}`: as
//! soon as requests wait for an app that sleeps, and when the time is over. It wants a connection of its own.
//!
//! Routers speak to each other by the same socket ([`crate::succession`]): `"succeed"` is answered by `{"succeeded":
//! <table>}` and makes the connection the one that leads, `"drain"` by `"taken"`, as is `{"lines": <lines of requests>}`
//! when they are in the queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use renga_model::{AppId, DynoId, RouteChange, RouteTable};
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    frame::{self, TABLE_BYTES_MAX},
    journal::Lines,
    metrics,
    status::Status,
    succession::Caller,
    table::{Refused, Table},
    thread::Shared,
};

/// Connections at one time: one server, its successor, and somebody who looks.
const CONNECTIONS_MAX: usize = 16;
/// Whoever does not read its answer in this time is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often predecessors that drain are asked for requests that wait for an app which sleeps.
const KNOCK_LOOK: Duration = Duration::from_millis(200);
/// Whoever wants to know of traffic for longer asks again.
pub(crate) const TRAFFIC_WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    Publish(RouteTable),
    Change(RouteChange),
    InFlight { generation: u64 },
    Traffic { wait_ms: u64 },
    Status,
    Metrics,
    Succeed,
    Drain,
    Lines(Lines),
}

/// [`Question`] without taking the table away from its owner.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask<'a> {
    Publish(&'a RouteTable),
    Change(&'a RouteChange),
    #[serde(rename = "publish")]
    Whole(&'a Table),
    InFlight {
        generation: u64,
    },
    Traffic {
        wait_ms: u64,
    },
    Status,
    Metrics,
    Succeed,
    Drain,
    Lines(&'a Lines),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Status(Box<Status>),
    /// For Prometheus.
    Metrics(String),
    Traffic {
        waiting: BTreeSet<AppId>,
        idle_ms: BTreeMap<AppId, u64>,
    },
    Routing {
        generation: u64,
        in_flight: BTreeMap<DynoId, u32>,
    },
    Stale {
        seen: u64,
    },
    Behind {
        generation: u64,
    },
    Succeeded(RouteTable),
    Taken,
    Refused(String),
}

pub(crate) fn socket_path(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

/// Binds under another name first: who can connect finds the right mode already.
pub(crate) fn bind(directory: &Path, gid: Option<u32>) -> io::Result<UnixListener> {
    let (path, draft) = (socket_path(directory), directory.join("control.new"));
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&draft)?;
    let mode = if gid.is_some() { 0o660 } else { 0o600 };
    if gid.is_some() {
        chown(&draft, None, gid)?;
    }
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode))?;
    fs::rename(&draft, &path)?;
    Ok(listener)
}

pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // The router has ended its last request.
            () = stop.cancelled() => break,
            // The server connects.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if tasks.len() < CONNECTIONS_MAX => {
                let answering = answer(stream, shared.clone(), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = answering.await {
                        tracing::warn!(%error, "a control connection broke off");
                    }
                });
            }
            Ok(_) => tracing::warn!("too many control connections"),
            Err(error) => {
                tracing::warn!(%error, "could not accept a control connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Ends between two questions only: who asks may rely on it that what was not answered was not done, unless we died.
async fn answer(mut stream: UnixStream, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    let mut caller = shared.succession.caller();
    loop {
        let bytes = tokio::select! {
            biased;
            // The router has ended its last request.
            () = stop.cancelled() => return Ok(()),
            // There is a successor, and who asks us finds it where it found us.
            () = caller.deposed() => return Ok(()),
            // The next question, or none.
            bytes = frame::read_bytes(&mut stream, TABLE_BYTES_MAX) => bytes?,
        };
        let Some(bytes) = bytes else { return Ok(()) };
        // A large table takes a moment to read.
        let (deciding, mut by) = (shared.clone(), caller.clone());
        let decided = tokio::task::spawn_blocking(move || (decide(&bytes, &deciding, &mut by), by));
        let decided = decided.await.map(|(decided, by)| {
            caller = by;
            decided
        })?;
        let reply = match decided {
            Decided::Now(reply) => reply,
            Decided::Routed(reply, change) => for_all(reply, change.as_ref(), &shared).await,
            Decided::Status(mut status) => {
                if !shared.succession.succeeded.is_cancelled() {
                    status.draining = shared.predecessors.draining().await;
                }
                Reply::Status(status)
            }
            Decided::Succeeded(reply) => {
                // What is being written is on disk before the successor writes.
                drop(shared.succession.saving.lock().await);
                reply
            }
            Decided::Wait(time) => tokio::select! {
                biased;
                // Requests wait, or the time is over, or there is a successor to ask.
                reply = traffic(&shared, time, &mut caller, &stop) => reply,
                // Who asked is gone, or asks before it was answered.
                () = heard(&stream) => return Ok(()),
            },
            Decided::Left => return Ok(()),
        };
        let written = frame::write(&mut stream, &reply, TABLE_BYTES_MAX);
        tokio::time::timeout(WRITE_TIMEOUT, written).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

enum Decided {
    Now(Reply),
    /// Predecessors have their part in it.
    Routed(Reply, Option<RouteChange>),
    Status(Box<Status>),
    Succeeded(Reply),
    /// For requests that find their app asleep.
    Wait(Duration),
    /// Another one leads.
    Left,
}

fn decide(bytes: &[u8], shared: &Shared, caller: &mut Caller) -> Decided {
    let question = match serde_json::from_slice(bytes) {
        Ok(question) => question,
        Err(error) => return Decided::Now(Reply::Refused(error.to_string())),
    };
    let succession = &shared.succession;
    let led = match question {
        Question::Status => return Decided::Status(Box::new(Status::of(shared))),
        Question::Metrics => return Decided::Now(Reply::Metrics(metrics::text::render(shared))),
        Question::Lines(lines) => {
            let taken = shared.journal.take(&lines);
            return Decided::Now(taken.map_or_else(|why| Reply::Refused(why.into()), |()| Reply::Taken));
        }
        Question::Succeed => {
            let table = succession.succeed(caller, &shared.tables);
            shared.journal.let_go();
            tracing::info!(table.generation = table.generation, "a successor has come");
            return Decided::Succeeded(Reply::Succeeded(table));
        }
        question => succession.led_by(caller, || lead(question, shared)),
    };
    led.unwrap_or(Decided::Left)
}

/// What only the server may ask, or the successor in its place.
fn lead(question: Question, shared: &Shared) -> Decided {
    let current = shared.tables.current().generation;
    Decided::Now(match question {
        Question::Traffic { wait_ms } => {
            return Decided::Wait(Duration::from_millis(wait_ms).min(TRAFFIC_WAIT_MAX));
        }
        Question::Publish(table) => {
            return Decided::Routed(taken(table.generation, shared.tables.publish(table), shared), None);
        }
        Question::Change(change) => {
            let kept = shared.predecessors.any().then(|| change.clone());
            return Decided::Routed(taken(change.to, shared.tables.change(change), shared), kept);
        }
        Question::InFlight { generation } if generation == current => {
            let in_flight = shared.tables.in_flight();
            return Decided::Routed(Reply::Routing { generation, in_flight }, None);
        }
        Question::InFlight { generation } if generation < current => Reply::Stale { seen: current },
        Question::InFlight { .. } => Reply::Behind { generation: current },
        // One that leads us itself does not end us: it accepts already.
        Question::Drain if shared.succession.succeeded.is_cancelled() => {
            shared.succession.closing.cancel();
            Reply::Taken
        }
        _ => Reply::Refused("only a successor asks that".to_owned()),
    })
}

/// The answer for us and the predecessors that drain. Once there is a successor, they are its own.
async fn for_all(mut reply: Reply, change: Option<&RouteChange>, shared: &Shared) -> Reply {
    if let Reply::Routing { in_flight, .. } = &mut reply
        && !shared.succession.succeeded.is_cancelled()
        && shared.predecessors.any()
    {
        shared.predecessors.add_in_flight(&shared.tables.current(), change, in_flight).await;
    }
    reply
}

fn taken(generation: u64, taken: Result<(), Refused>, shared: &Shared) -> Reply {
    match taken {
        Ok(()) => Reply::Routing { generation, in_flight: shared.tables.in_flight() },
        Err(Refused::Stale { seen }) => Reply::Stale { seen },
        Err(Refused::Behind { generation }) => Reply::Behind { generation },
    }
}

/// Returns when something comes, or nothing more can.
async fn heard(stream: &UnixStream) {
    // Readiness may be that of bytes which were read already.
    while stream.readable().await.is_ok()
        && stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    {}
}

async fn traffic(shared: &Shared, time: Duration, caller: &mut Caller, stop: &CancellationToken) -> Reply {
    // Subscribed before the look, so that no request falls between them.
    let mut knocks = shared.tables.knocks();
    let own = async { while shared.tables.waiting().is_empty() && knocks.changed().await.is_ok() {} };
    let waits = async {
        tokio::select! {
            () = own => {}
            () = knocked_elsewhere(shared) => {}
            () = caller.deposed() => {}
            () = stop.cancelled() => {}
        }
    };
    // Whether somebody waits or the time is over, the answer is what is true then.
    let _either = tokio::time::timeout(time, waits).await;
    let (mut waiting, mut idle_ms) = (shared.tables.waiting(), shared.tables.idle_ms());
    if !shared.succession.succeeded.is_cancelled() {
        shared.predecessors.add_traffic(&mut waiting, &mut idle_ms).await;
    }
    Reply::Traffic { waiting, idle_ms }
}

/// Returns when a predecessor has requests that wait for an app which sleeps.
async fn knocked_elsewhere(shared: &Shared) {
    while shared.predecessors.any() && !shared.succession.succeeded.is_cancelled() {
        let (mut waiting, mut idle_ms) = (BTreeSet::new(), BTreeMap::new());
        shared.predecessors.add_traffic(&mut waiting, &mut idle_ms).await;
        if !waiting.is_empty() {
            return;
        }
        tokio::time::sleep(KNOCK_LOOK).await;
    }
    std::future::pending::<()>().await;
}

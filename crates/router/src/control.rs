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
    metrics,
    status::Status,
    table::Refused,
    thread::Shared,
};

/// Connections at one time: one server, its successor, and somebody who looks.
const CONNECTIONS_MAX: usize = 16;
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
}

/// [`Question`] without taking the table away from its owner.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask<'a> {
    Publish(&'a RouteTable),
    Change(&'a RouteChange),
    InFlight { generation: u64 },
    Traffic { wait_ms: u64 },
    Status,
    Metrics,
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
                let answering = answer(stream, shared.clone());
                let stop = stop.clone();
                tasks.spawn(async move {
                    if let Some(Err(error)) = stop.run_until_cancelled(answering).await {
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

async fn answer(mut stream: UnixStream, shared: Arc<Shared>) -> io::Result<()> {
    while let Some(bytes) = frame::read_bytes(&mut stream, TABLE_BYTES_MAX).await? {
        // A large table takes a moment to read.
        let deciding = shared.clone();
        let decided = tokio::task::spawn_blocking(move || decide(&bytes, &deciding)).await?;
        let reply = match decided {
            Decided::Now(reply) => reply,
            Decided::Wait(time) => tokio::select! {
                biased;
                // Requests wait, or the time is over.
                reply = traffic(&shared, time) => reply,
                // Who asked is gone, or asks before it was answered.
                () = heard(&stream) => return Ok(()),
            },
        };
        frame::write(&mut stream, &reply, TABLE_BYTES_MAX).await?;
    }
    Ok(())
}

enum Decided {
    Now(Reply),
    /// For requests that find their app asleep.
    Wait(Duration),
}

fn decide(bytes: &[u8], shared: &Shared) -> Decided {
    let current = shared.tables.current().generation;
    Decided::Now(match serde_json::from_slice(bytes) {
        Ok(Question::Traffic { wait_ms }) => {
            return Decided::Wait(Duration::from_millis(wait_ms).min(TRAFFIC_WAIT_MAX));
        }
        Ok(Question::Publish(table)) => taken(table.generation, shared.tables.publish(table), shared),
        Ok(Question::Change(change)) => taken(change.to, shared.tables.change(change), shared),
        Ok(Question::InFlight { generation }) if generation == current => {
            Reply::Routing { generation, in_flight: shared.tables.in_flight() }
        }
        Ok(Question::InFlight { generation }) if generation < current => Reply::Stale { seen: current },
        Ok(Question::InFlight { .. }) => Reply::Behind { generation: current },
        Ok(Question::Status) => Reply::Status(Box::new(Status::of(shared))),
        Ok(Question::Metrics) => Reply::Metrics(metrics::text::render(shared)),
        Err(error) => Reply::Refused(error.to_string()),
    })
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

async fn traffic(shared: &Shared, time: Duration) -> Reply {
    // Subscribed before the look, so that no request falls between them.
    let mut knocks = shared.tables.knocks();
    let waits = async { while shared.tables.waiting().is_empty() && knocks.changed().await.is_ok() {} };
    // Whether somebody waits or the time is over, the answer is what is true then.
    let _either = tokio::time::timeout(time, waits).await;
    Reply::Traffic { waiting: shared.tables.waiting(), idle_ms: shared.tables.idle_ms() }
}

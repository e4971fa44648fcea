//! Following one dyno from its supervisor's start to its exit.
//!
//! ```text
//! launched ──answer──> running ──port answers──> ready
//!     │                   └──────────┬──────────────┘
//!     └──"failed", silence──> exited <── supervisor's end (with or without exit.json)
//! ```
//!
//! The supervisor's end is seen on its pidfd, which works for one that an earlier node started, too. A wish to stop is
//! passed on as soon as the supervisor listens; when it does not obey in time, everything is killed.

use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use renga_model::{Exit, ExitReason};
use renga_supervision::{Control, DynoDirectory, StartAnswer, State};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::{
    io::unix::AsyncFd,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    config::{STARTED_TIMEOUT, STOP_SLACK},
    error::{chain, tell},
    hand::Inner,
    supervisor::{self, Launched},
    table::{Entry, StopOrder},
};

/// Pauses between probes of the port: (how many, how long); the last goes on for ever.
const PROBE_PAUSES: [(u32, Duration); 4] = [
    (20, Duration::from_millis(3)),
    (20, Duration::from_millis(10)),
    (40, Duration::from_millis(25)),
    (u32::MAX, Duration::from_millis(100)),
];
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A supervisor to follow: one that was just launched, or one that an earlier node started.
#[derive(Debug)]
pub(crate) enum Lead {
    Launched(Launched),
    Adopted(OwnedFd),
}

type Handle = AsyncFd<OwnedFd>;

/// Runs until the dyno has exited or the node ends.
pub(crate) async fn follow(inner: Arc<Inner>, entry: Arc<Entry>, lead: Lead) {
    let started = tokio::select! {
        biased;
        () = inner.cancel.cancelled() => return,
        started = start(&inner, &entry, lead) => started,
    };
    let (state, handle) = match started {
        Ok(started) => started,
        Err(why) => return settle(&inner, &entry, Some(why)).await,
    };
    entry.set_started(state.started_at);
    if entry.plan.port.is_none() {
        entry.set_ready();
    }
    inner.note_change();
    if let Some(handle) = handle {
        tokio::select! {
            biased;
            // Dynos outlive the node; the next one adopts them.
            () = inner.cancel.cancelled() => return,
            () = ended(&handle) => {}
            () = obey(&inner, &entry) => ended(&handle).await,
            () = probe(&inner, &entry) => {}
        }
    }
    settle(&inner, &entry, None).await;
}

async fn ended(handle: &Handle) {
    // An error here would be one of the reactor itself; the dyno then counts as ended and is looked at.
    handle.readable().await.map(drop).unwrap_or_else(|error| tracing::error!(%error, "pidfd"));
}

/// What the supervisor says of the start, and a handle of it if it still runs; or why nothing was started.
async fn start(
    inner: &Inner,
    entry: &Entry,
    lead: Lead,
) -> std::result::Result<(State, Option<Handle>), String> {
    let said = async {
        match lead {
            Lead::Launched(launched) => {
                let state = read_answer(launched).await?;
                let pid = Pid::from_raw(state.supervisor_pid).ok_or("its supervisor has no process id")?;
                // Gone already: the dyno was that short.
                let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok();
                Ok((state, handle.map(watchable).transpose()?))
            }
            Lead::Adopted(handle) => {
                let handle = watchable(handle)?;
                Ok((wait_for_state(inner, entry, &handle).await?, Some(handle)))
            }
        }
    };
    match timeout(STARTED_TIMEOUT, said).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("its supervisor did not start it within {STARTED_TIMEOUT:?}")),
    }
}

fn watchable(handle: OwnedFd) -> std::result::Result<Handle, String> {
    crate::sys::watch::readable(handle).map_err(|error| format!("could not watch its supervisor: {error}"))
}

async fn read_answer(launched: Launched) -> std::result::Result<State, String> {
    let Launched { mut starter, answer } = launched;
    let line = supervisor::answer_line(answer).await.map_err(|error| error.to_string())?;
    // The starter has ended before the answer came, unless it is broken; then it must not stay.
    starter.kill().ok();
    starter.wait().map_err(|error| error.to_string())?;
    if line.is_empty() {
        return Err("its supervisor ended without a word".into());
    }
    match serde_json::from_str(&line) {
        Ok(StartAnswer::Started(state)) => Ok(state),
        Ok(StartAnswer::Failed(why)) => Err(why),
        Err(error) => Err(format!("its supervisor's answer is not understood: {error}")),
    }
}

/// Of a supervisor whose answer went to an earlier node.
async fn wait_for_state(inner: &Inner, entry: &Entry, handle: &Handle) -> std::result::Result<State, String> {
    let directory = DynoDirectory::new(inner.paths.dyno(entry.label.id).directory());
    loop {
        if let Ok(Some(state)) = directory.read_state() {
            return Ok(state);
        }
        tokio::select! {
            biased;
            () = ended(handle) => return Err("its supervisor ended before it had started it".into()),
            () = sleep(RETRY_PAUSE) => {}
        }
    }
}

/// Marks the dyno ready when its port answers, and then waits for ever.
async fn probe(inner: &Inner, entry: &Entry) {
    if let Some(address) = entry.plan.port_address() {
        until_answered(address).await;
        entry.set_ready();
        inner.note_change();
    }
    std::future::pending().await
}

async fn until_answered(address: SocketAddr) {
    let pauses = PROBE_PAUSES.into_iter().flat_map(|(count, pause)| (0..count).map(move |_| pause));
    for pause in pauses {
        if let Ok(Ok(_)) = timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await {
            return;
        }
        sleep(pause).await;
    }
}

/// Passes wishes to stop on. Returns when the supervisor has disobeyed and everything of the dyno has been killed.
async fn obey(inner: &Arc<Inner>, entry: &Arc<Entry>) {
    let mut orders = entry.stop.subscribe();
    loop {
        let order = *orders.borrow_and_update();
        let Some(order) = order else {
            if orders.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        };
        let deadline = order.asked_at + order.grace + STOP_SLACK;
        // A frozen process hears no signal.
        thaw(inner, entry).await;
        tokio::select! {
            biased;
            // A newer wish, most likely with a shorter grace.
            changed = orders.changed() => if changed.is_err() { std::future::pending::<()>().await },
            () = ask_to_stop(inner, entry, order, deadline) => {
                tracing::warn!(dyno.id = %entry.label.id, "a supervisor does not stop its dyno; killing both");
                kill_all(inner, entry).await;
                return;
            }
        }
    }
}

/// Asks until it is heard, then waits for the deadline.
async fn ask_to_stop(inner: &Inner, entry: &Entry, order: StopOrder, deadline: Instant) {
    let socket = inner.paths.dyno(entry.label.id).control();
    while Instant::now() < deadline {
        // What is left of the grace: a restarted node or a slow start must not lengthen it.
        let left = order.grace.saturating_sub(order.asked_at.elapsed());
        let grace_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        match supervisor::control(&socket, &Control::Stop { grace_ms }).await {
            Ok(_) => break,
            Err(error) => tracing::debug!(dyno.id = %entry.label.id, %error, "could not ask to stop yet"),
        }
        sleep(RETRY_PAUSE).await;
    }
    tokio::time::sleep_until(deadline).await;
}

async fn thaw(inner: &Arc<Inner>, entry: &Arc<Entry>) {
    let (thawing, entry) = (Arc::clone(inner), Arc::clone(entry));
    let thawed = inner.tasks.spawn_blocking(move || thawing.thaw(&entry)).await;
    thawed.map(tell).map(drop).unwrap_or_else(|error| tracing::error!(%error, "thawing a dyno panicked"));
}

async fn kill_all(inner: &Arc<Inner>, entry: &Arc<Entry>) {
    let (cgroups, id) = (inner.cgroups.clone(), entry.label.id);
    let killed = inner.tasks.spawn_blocking(move || cgroups.kill_all(id)).await;
    killed.map(tell).map(drop).unwrap_or_else(|error| tracing::error!(%error, "killing a dyno panicked"));
}

/// Of a dyno of which nothing is to be packed or read.
async fn release(inner: &Arc<Inner>, entry: &Arc<Entry>) {
    let (freed, entry) = (Arc::clone(inner), Arc::clone(entry));
    let released = inner.tasks.spawn_blocking(move || freed.release(&entry)).await;
    released.map(tell).map(drop).unwrap_or_else(|error| tracing::error!(%error, "freeing a dyno panicked"));
}

/// Records how the dyno ended. Its supervisor has, or has never begun.
async fn settle(inner: &Arc<Inner>, entry: &Arc<Entry>, failed: Option<String>) {
    let directory = DynoDirectory::new(inner.paths.dyno(entry.label.id).directory());
    let written = directory.read_exit().unwrap_or_else(|error| {
        tracing::warn!(dyno.id = %entry.label.id, "{}", chain(&error));
        None
    });
    match (written, failed) {
        (Some(exit), _) => match entry.evicted.get() {
            Some(why) => {
                release(inner, entry).await;
                inner.record_exit(entry, Exit { reason: ExitReason::NoRoom(why.clone()), ..exit });
            }
            None => inner.record_exit(entry, exit),
        },
        (None, Some(why)) => {
            tracing::warn!(dyno.id = %entry.label.id, "a dyno could not be started: {why}");
            release(inner, entry).await;
            inner.end(entry, ExitReason::NotStarted(why));
        }
        (None, None) => {
            tracing::warn!(dyno.id = %entry.label.id, "a supervisor is gone without a word");
            kill_all(inner, entry).await;
            inner.end(entry, ExitReason::SupervisorLost);
        }
    }
}

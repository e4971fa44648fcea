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

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    process::{Child, ChildStdout},
    sync::Arc,
    time::Duration,
};

use renga_model::ExitReason;
use renga_supervision::{Control, DynoDirectory, StartAnswer, State};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    config::{STARTED_TIMEOUT, STOP_SLACK},
    error::{Doing, Result, chain, tell},
    hand::Inner,
    supervisor,
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

/// What is held of a supervisor.
pub(crate) struct Followed {
    handle: AsyncFd<OwnedFd>,
    /// Ours to reap, unless an earlier node started it.
    child: Option<Child>,
    answer: Option<ChildStdout>,
}

impl Followed {
    pub(crate) fn launched(launched: supervisor::Launched) -> Result<Self> {
        let handle = watchable(launched.handle)?;
        Ok(Self { handle, child: Some(launched.child), answer: Some(launched.answer) })
    }
    pub(crate) fn adopted(handle: OwnedFd) -> Result<Self> {
        Ok(Self { handle: watchable(handle)?, child: None, answer: None })
    }
    async fn ended(&self) {
        // An error here would be one of the reactor itself; the dyno then counts as ended and is looked at.
        self.handle.readable().await.map(drop).unwrap_or_else(|error| tracing::error!(%error, "pidfd"));
    }
    fn kill(&self) {
        // It may have ended by now.
        pidfd_send_signal(self.handle.get_ref(), Signal::KILL).ok();
    }
}

fn watchable(handle: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    AsyncFd::register_with_interest(handle, Interest::READABLE).doing("watch", "a supervisor")
}

/// Runs until the dyno has exited or the node ends.
pub(crate) async fn follow(inner: Arc<Inner>, entry: Arc<Entry>, mut followed: Followed) {
    let started = tokio::select! {
        biased;
        () = inner.cancel.cancelled() => return,
        started = start(&entry, &inner, &mut followed) => started,
    };
    match started {
        Ok(state) => {
            entry.set_started(state.started_at);
            if entry.plan.port.is_none() {
                entry.set_ready();
            }
            inner.note_change();
        }
        Err(why) => {
            followed.kill();
            return settle(&inner, &entry, followed, Some(why)).await;
        }
    }
    tokio::select! {
        biased;
        // Dynos outlive the node; the next one adopts them.
        () = inner.cancel.cancelled() => return,
        () = followed.ended() => {}
        () = obey(&inner, &entry, &followed) => {}
        () = probe(&inner, &entry) => {}
    }
    settle(&inner, &entry, followed, None).await;
}

/// The supervisor's word that the process runs, or why it does not.
async fn start(entry: &Entry, inner: &Inner, followed: &mut Followed) -> std::result::Result<State, String> {
    let answer = followed.answer.take();
    let said = async {
        match answer {
            Some(stdout) => read_answer(stdout).await,
            None => wait_for_state(entry, inner, followed).await,
        }
    };
    match timeout(STARTED_TIMEOUT, said).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("its supervisor did not start it within {STARTED_TIMEOUT:?}")),
    }
}

async fn read_answer(stdout: ChildStdout) -> std::result::Result<State, String> {
    let line = supervisor::answer_line(stdout).await.map_err(|error| error.to_string())?;
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
async fn wait_for_state(
    entry: &Entry,
    inner: &Inner,
    followed: &Followed,
) -> std::result::Result<State, String> {
    let directory = DynoDirectory::new(inner.paths.dyno(entry.label.id).directory());
    loop {
        if let Ok(Some(state)) = directory.read_state() {
            return Ok(state);
        }
        tokio::select! {
            biased;
            () = followed.ended() => return Err("its supervisor ended before it had started it".into()),
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
async fn obey(inner: &Arc<Inner>, entry: &Arc<Entry>, followed: &Followed) {
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
        tokio::select! {
            biased;
            // A newer wish, most likely with a shorter grace.
            changed = orders.changed() => if changed.is_err() { std::future::pending::<()>().await },
            () = ask_to_stop(inner, entry, order, deadline) => {
                tracing::warn!(dyno.id = %entry.label.id, "a supervisor does not stop its dyno; killing both");
                followed.kill();
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

async fn kill_all(inner: &Arc<Inner>, entry: &Arc<Entry>) {
    let (cgroups, id) = (inner.cgroups.clone(), entry.label.id);
    let killed = inner.tasks.spawn_blocking(move || cgroups.kill_all(id)).await;
    killed.map(tell).map(drop).unwrap_or_else(|error| tracing::error!(%error, "killing a dyno panicked"));
}

/// Waits for the supervisor's end and records how the dyno ended.
async fn settle(inner: &Arc<Inner>, entry: &Arc<Entry>, followed: Followed, failed: Option<String>) {
    followed.ended().await;
    reap(followed.child);
    let directory = DynoDirectory::new(inner.paths.dyno(entry.label.id).directory());
    let written = directory.read_exit().unwrap_or_else(|error| {
        tracing::warn!(dyno.id = %entry.label.id, "{}", chain(&error));
        None
    });
    match (written, failed) {
        (Some(exit), _) => inner.record_exit(entry, exit),
        (None, Some(why)) => {
            tracing::warn!(dyno.id = %entry.label.id, "a dyno could not be started: {why}");
            kill_all(inner, entry).await;
            inner.end(entry, ExitReason::NotStarted(why));
        }
        (None, None) => {
            tracing::warn!(dyno.id = %entry.label.id, "a supervisor is gone without a word");
            kill_all(inner, entry).await;
            inner.end(entry, ExitReason::SupervisorLost);
        }
    }
}

/// It has ended: this does not wait.
fn reap(child: Option<Child>) {
    if let Some(Err(error)) = child.map(|mut child| child.wait().map(drop).or_else(not_ours)) {
        tracing::warn!(%error, "could not reap a supervisor");
    }
}

/// Somebody else in this process may have reaped it (a test's signal handler).
fn not_ours(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ECHILD) { Ok(()) } else { Err(error) }
}

//! One role under `renga up`: started, started again, ended; taken over from a predecessor that an older program had
//! started.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use renga_router::Listeners;
use rustix::process::{
    Pid, Signal, WaitOptions, getpriority_process, kill_process, setpriority_process, waitpid,
};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{FIRST_START_MAX, role_answers};
use crate::{layout::Layout, roles::SOCKETS_FLAG, sockets};

/// A role that dies is started again after this, doubled each time that it did not live long.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(2);
const LIVED_LONG: Duration = Duration::from_secs(10);
/// What all roles together may take to drain and end.
const STOP_TIMEOUT: Duration = Duration::from_secs(28);
/// How often a process that another program has started is looked at, and a role that begins.
const LOOK: Duration = Duration::from_millis(10);

pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nice: i32,
    /// May listen on ports below 1024, and nothing else that root may.
    pub(super) low_ports: bool,
    /// Our child, started before we became this program.
    pub(super) predecessor: Option<i32>,
    /// The same, of routers that end their last requests.
    pub(super) draining: Vec<i32>,
}

pub(super) struct Shared {
    /// Where this program lay when it began: what lies there later is newer.
    pub(super) program: PathBuf,
    pub(super) flags: Vec<String>,
    pub(super) layout: Layout,
    pub(super) listeners: Listeners,
    ready: CancellationToken,
    pub(super) stop: CancellationToken,
    pids: Mutex<BTreeMap<&'static str, i32>>,
    draining: Mutex<BTreeSet<i32>>,
}

impl Shared {
    pub(super) fn new(
        program: PathBuf,
        flags: Vec<String>,
        layout: Layout,
        listeners: Listeners,
        ready: CancellationToken,
        stop: CancellationToken,
    ) -> Self {
        Self {
            program,
            flags,
            layout,
            listeners,
            ready,
            stop,
            pids: Mutex::default(),
            draining: Mutex::default(),
        }
    }

    /// Of the roles that run.
    pub(super) fn pids(&self) -> BTreeMap<String, i32> {
        lock(&self.pids).iter().map(|(name, pid)| ((*name).to_owned(), *pid)).collect()
    }

    /// Of routers that end their last requests.
    pub(super) fn draining(&self) -> Vec<i32> {
        lock(&self.draining).iter().copied().collect()
    }

    fn note(&self, role: &Role, child: &Child) {
        if let Some(pid) = child.id() {
            lock(&self.pids).insert(role.name, pid.cast_signed());
        }
    }

    /// Once it has been waited for, its number may be anybody's.
    fn forget(&self, role: &Role) {
        lock(&self.pids).remove(role.name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one role for ever, until `stop`; says by `answers` that it does its work. One that can't begin before the
/// platform was ready is an error.
pub(super) async fn keep(
    role: Role,
    shared: Arc<Shared>,
    begins: CancellationToken,
    answers: CancellationToken,
) -> Result<()> {
    let stop = &shared.stop;
    stop.run_until_cancelled(begins.cancelled()).await;
    let mut leaving = JoinSet::new();
    for pid in role.draining.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        leaving.spawn(see_off(Leaving::Found(pid), shared.clone()));
    }
    let mut elder = role.predecessor.and_then(Pid::from_raw);
    if !hands_over(&role, &shared).await {
        end_elder(&role, &shared, &mut elder).await;
    }
    let (mut pause, begun) = (RESTART_FIRST / 2, Instant::now());
    while !stop.is_cancelled() {
        let started = Instant::now();
        let (mut child, link) = start(&role, &shared)?;
        shared.note(&role, &child);
        let status = match run(&role, &shared, &mut child, link, &mut elder, &answers).await? {
            Ended::Stopped => {
                let (ended, ()) = tokio::join!(end(&role, child), end_elder(&role, &shared, &mut elder));
                ended?;
                break;
            }
            Ended::Leaves => {
                tracing::info!(role.name = role.name, "{} drains; starting its successor", role.name);
                shared.forget(&role);
                leaving.spawn(see_off(Leaving::Child(child), shared.clone()));
                continue;
            }
            Ended::Gone(status) => status,
        };
        shared.forget(&role);
        if !shared.ready.is_cancelled() && begun.elapsed() > FIRST_START_MAX {
            bail!("renga {} could not start ({status}); its own words above say why", role.name);
        }
        tracing::error!(role.name = role.name, "{} ended ({status}); starting it again", role.name);
        pause = if started.elapsed() > LIVED_LONG { RESTART_FIRST } else { RESTART_MAX.min(pause * 2) };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    end_elder(&role, &shared, &mut elder).await;
    while leaving.join_next().await.is_some() {}
    Ok(())
}

enum Ended {
    /// By `stop`: it has not been told yet.
    Stopped,
    /// It was told by somebody else, and accepts no more.
    Leaves,
    Gone(ExitStatus),
}

/// Until it ends by itself, or `stop`. When it answers, the one before it is ended.
async fn run(
    role: &Role,
    shared: &Shared,
    child: &mut Child,
    link: Option<OwnedFd>,
    elder: &mut Option<Pid>,
    answers: &CancellationToken,
) -> Result<Ended> {
    let pid = child.id();
    let watch = async {
        while !answers.is_cancelled() || elder.is_some() {
            if child_answers(role, shared, pid).await {
                end_elder(role, shared, elder).await;
                answers.cancel();
            }
            tokio::time::sleep(LOOK).await;
        }
        std::future::pending::<()>().await;
    };
    let left = async {
        match link {
            Some(link) => sockets::left(link).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => Ok(Ended::Stopped),
        status = child.wait() => Ok(Ended::Gone(status?)),
        said = left => said.map(|()| Ended::Leaves),
        () = watch => Ok(Ended::Stopped),
    }
}

/// Two routers may be there at once, and only one of them is this child.
async fn child_answers(role: &Role, shared: &Shared, pid: Option<u32>) -> bool {
    if role.name != "router" {
        return role_answers(&shared.layout, role.name);
    }
    let listening = renga_router::listening(&shared.layout.router_control()).await;
    listening.is_ok_and(|listening| Some(listening.pid.cast_unsigned()) == pid)
}

/// Whether the predecessor goes on until its successor serves.
async fn hands_over(role: &Role, shared: &Shared) -> bool {
    let Some(pid) = role.predecessor.filter(|_| role.name == "router") else { return false };
    let listening = renga_router::listening(&shared.layout.router_control()).await;
    listening.is_ok_and(|listening| listening.hands_over && listening.pid == pid)
}

/// The child, and where a router says that it leaves.
fn start(role: &Role, shared: &Shared) -> Result<(Child, Option<OwnedFd>)> {
    let mut link = None;
    let mut command = as_role(role, &shared.program);
    command.arg(role.name).args(&shared.flags).arg("--end-with-parent").stdin(Stdio::null());
    if role.name == "router" {
        let sockets::Handed { theirs, ours } = sockets::send(&shared.listeners, sockets::Word::default())?;
        command.arg(SOCKETS_FLAG).stdin(theirs);
        link = Some(ours);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(false);
    let child = match role.nice {
        0 => command.spawn(),
        nice => at_priority(nice, || command.spawn()),
    };
    Ok((child.with_context(|| format!("could not start {}", role.name))?, link))
}

/// The program, by that user. A capability outlives the change of user only where somebody sets it up in between, which
/// util-linux does.
fn as_role(role: &Role, program: &Path) -> std::process::Command {
    if role.uid != 0 && role.low_ports {
        let mut command = std::process::Command::new("setpriv");
        command.arg(format!("--reuid={}", role.uid)).arg(format!("--regid={}", role.gid));
        command.args(["--clear-groups", "--inh-caps=-all,+net_bind_service"]);
        command.args(["--ambient-caps=-all,+net_bind_service", "--"]).arg(program);
        return command;
    }
    let mut command = std::process::Command::new(program);
    if role.uid != 0 {
        command.uid(role.uid).gid(role.gid);
    }
    command
}

/// A child has the priority of the thread that makes it, and a user who is not root could not raise it later. Where
/// even we may not (a container without CAP_SYS_NICE), the child is an ordinary process.
fn at_priority<T>(nice: i32, spawn: impl FnOnce() -> T) -> T {
    let usual = getpriority_process(None).unwrap_or(0);
    if let Err(error) = setpriority_process(None, nice) {
        tracing::debug!(%error, "could not raise the priority");
    }
    let made = spawn();
    setpriority_process(None, usual).ok();
    made
}

async fn end(role: &Role, mut child: Child) -> Result<()> {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        kill_process(pid, Signal::TERM).ok();
    }
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!(role.name = role.name, "{} did not end in time; killed", role.name);
        child.kill().await?;
    }
    Ok(())
}

/// The same for a child that another program has started in our place.
async fn end_elder(role: &Role, shared: &Shared, elder: &mut Option<Pid>) {
    let Some(pid) = *elder else { return };
    // It is our child, so nobody else can have its number until we have waited for it.
    kill_process(pid, Signal::TERM).ok();
    wait_for(role.name, pid).await;
    *elder = None;
    if role.name == "server" {
        std::fs::remove_file(shared.layout.endpoints()).ok();
    }
}

async fn wait_for(name: &str, pid: Pid) {
    let (asked, mut killed) = (Instant::now(), false);
    while let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
        if asked.elapsed() > STOP_TIMEOUT && !killed {
            killed = true;
            tracing::warn!(role.name = name, "the old {name} did not end in time; killed");
            kill_process(pid, Signal::KILL).ok();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A router that accepts no more and ends its last requests.
enum Leaving {
    Child(Child),
    /// Started by the program that we were.
    Found(Pid),
}

fn see_off(leaving: Leaving, shared: Arc<Shared>) -> impl Future<Output = ()> {
    let pid = match &leaving {
        Leaving::Child(child) => child.id().map_or(0, u32::cast_signed),
        Leaving::Found(pid) => pid.as_raw_nonzero().get(),
    };
    // Told to a program that takes over, from this moment on.
    lock(&shared.draining).insert(pid);
    async move {
        wait_until_gone(leaving).await;
        lock(&shared.draining).remove(&pid);
    }
}

async fn wait_until_gone(leaving: Leaving) {
    match leaving {
        Leaving::Found(pid) => wait_for("router", pid).await,
        Leaving::Child(mut child) => {
            if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                tracing::warn!("a router that drains did not end in time; killed");
                child.kill().await.ok();
            }
        }
    }
}

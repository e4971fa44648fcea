//! One role under `renga up`: started, started again, ended; taken over from a predecessor that an older program had
//! started.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use renga_router::Listeners;
use rustix::process::{
    Pid, Signal, WaitOptions, getpriority_process, kill_process, setpriority_process, waitpid,
};
use tokio::process::{Child, Command};
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
        Self { program, flags, layout, listeners, ready, stop, pids: Mutex::default() }
    }

    /// Of the roles that run.
    pub(super) fn pids(&self) -> BTreeMap<String, i32> {
        self.lock().iter().map(|(name, pid)| ((*name).to_owned(), *pid)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, i32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, role: &Role, child: &Child) {
        if let Some(pid) = child.id() {
            self.lock().insert(role.name, pid.cast_signed());
        }
    }

    /// Once it has been waited for, its number may be anybody's.
    fn forget(&self, role: &Role) {
        self.lock().remove(role.name);
    }
}

/// Runs one role for ever, until `stop`; says by `answers` that it does its work. One that can't begin before the
/// platform was ready is an error.
pub(super) async fn keep(
    role: Role,
    shared: std::sync::Arc<Shared>,
    begins: CancellationToken,
    answers: CancellationToken,
) -> Result<()> {
    let stop = &shared.stop;
    stop.run_until_cancelled(begins.cancelled()).await;
    end_predecessor(&role, &shared).await;
    let (mut pause, begun) = (RESTART_FIRST / 2, Instant::now());
    while !stop.is_cancelled() {
        let started = Instant::now();
        let mut child = start(&role, &shared)?;
        shared.note(&role, &child);
        let Some(status) = run(&role, &shared, &mut child, &answers).await? else {
            return end(&role, child).await;
        };
        shared.forget(&role);
        if !shared.ready.is_cancelled() && begun.elapsed() > FIRST_START_MAX {
            bail!("renga {} could not start ({status}); its own words above say why", role.name);
        }
        tracing::error!(role.name = role.name, "{} ended ({status}); starting it again", role.name);
        pause = if started.elapsed() > LIVED_LONG { RESTART_FIRST } else { RESTART_MAX.min(pause * 2) };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

/// Until it ends by itself, or `stop` (none).
async fn run(
    role: &Role,
    shared: &Shared,
    child: &mut Child,
    answers: &CancellationToken,
) -> Result<Option<ExitStatus>> {
    let watch = async {
        while !answers.is_cancelled() {
            if role_answers(&shared.layout, role.name) {
                answers.cancel();
            }
            tokio::time::sleep(LOOK).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => Ok(None),
        status = child.wait() => Ok(Some(status?)),
        () = watch => Ok(None),
    }
}

fn start(role: &Role, shared: &Shared) -> Result<Child> {
    let mut command = as_role(role, &shared.program);
    command.arg(role.name).args(&shared.flags).arg("--end-with-parent").stdin(Stdio::null());
    if role.name == "router" {
        command.arg(SOCKETS_FLAG).stdin(sockets::send(&shared.listeners, sockets::Word::default())?);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(false);
    let child = match role.nice {
        0 => command.spawn(),
        nice => at_priority(nice, || command.spawn()),
    };
    child.with_context(|| format!("could not start {}", role.name))
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
async fn end_predecessor(role: &Role, shared: &Shared) {
    let Some(pid) = role.predecessor.and_then(Pid::from_raw) else { return };
    let (asked, mut killed) = (Instant::now(), false);
    // It is our child, so nobody else can have its number until we have waited for it.
    kill_process(pid, Signal::TERM).ok();
    while let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG) {
        if asked.elapsed() > STOP_TIMEOUT && !killed {
            killed = true;
            tracing::warn!(role.name = role.name, "the old {} did not end in time; killed", role.name);
            kill_process(pid, Signal::KILL).ok();
        }
        tokio::time::sleep(LOOK).await;
    }
    if role.name == "server" {
        std::fs::remove_file(shared.layout.endpoints()).ok();
    }
}

//! `renga up`: all three roles from one command. It makes the data directory, starts node, server and router as their
//! own users, starts again what dies, and ends them all when it is told to. Dynos outlive it.
//!
//! ```text
//! start ──all three answer──> ready ──one dies──> it is started again
//!   └──one keeps ending for five seconds──> the others are stopped, and `renga up` fails
//! ```

use std::{
    os::unix::{net::UnixStream, process::CommandExt as _},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, instance::Instance, layout::Layout};

/// A role that dies is started again after this, doubled each time that it did not live long.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(2);
const LIVED_LONG: Duration = Duration::from_secs(10);
/// A role that ends before the platform was ever ready is tried again for so long: a predecessor may still hold a port
/// or the ledger's lock.
const FIRST_START_MAX: Duration = Duration::from_secs(5);
/// What all roles together may take to drain and end.
const STOP_TIMEOUT: Duration = Duration::from_secs(28);

struct Role {
    name: &'static str,
    uid: u32,
    gid: u32,
}

pub(crate) async fn run(config: &Config, flags: &[String]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga up needs root: it makes mounts, cgroups and networks for dynos. Try: sudo renga up");
    }
    std::fs::create_dir_all(&config.data_dir).context("could not make the data directory")?;
    let instance = Instance::load_or_choose(&config.data_dir)?;
    let layout = Layout::new(&config.data_dir);
    layout.make(&instance)?;
    std::fs::remove_file(layout.endpoints()).ok();
    let roles = [
        Role { name: "node", uid: 0, gid: 0 },
        Role { name: "router", uid: instance.router_uid, gid: instance.group() },
        Role { name: "server", uid: instance.server_uid, gid: instance.group() },
    ];
    let stop = CancellationToken::new();
    let ready = tell_when_ready(&layout, config, stop.clone());
    let mut keepers = JoinSet::new();
    for role in roles {
        keepers.spawn(keep(role, flags.to_vec(), ready.clone(), stop.clone()));
    }
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let failed = tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        // A keeper ends by itself only if its role could not even be started.
        Some(ended) = keepers.join_next() => ended?,
    };
    match &failed {
        Ok(()) => tracing::info!("stopping; dynos go on"),
        Err(_) => tracing::info!("stopping what has started"),
    }
    stop.cancel();
    while let Some(ended) = keepers.join_next().await {
        ended??;
    }
    std::fs::remove_file(layout.endpoints()).ok();
    failed
}

/// Runs one role for ever, until `stop`. One that can't begin before the platform was `ready` is an error.
async fn keep(
    role: Role,
    flags: Vec<String>,
    ready: CancellationToken,
    stop: CancellationToken,
) -> Result<()> {
    let (mut pause, begun) = (RESTART_FIRST / 2, Instant::now());
    while !stop.is_cancelled() {
        let started = Instant::now();
        let mut child = start(&role, &flags)?;
        let status = tokio::select! {
            biased;
            () = stop.cancelled() => return end(&role, child).await,
            status = child.wait() => status?,
        };
        if !ready.is_cancelled() && begun.elapsed() > FIRST_START_MAX {
            bail!("renga {} could not start ({status}); its own words above say why", role.name);
        }
        tracing::error!(role.name = role.name, "{} ended ({status}); starting it again", role.name);
        pause = if started.elapsed() > LIVED_LONG { RESTART_FIRST } else { RESTART_MAX.min(pause * 2) };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    Ok(())
}

fn start(role: &Role, flags: &[String]) -> Result<Child> {
    let us = std::env::current_exe().context("could not find this program")?;
    let mut command = std::process::Command::new(us);
    command.arg(role.name).args(flags).arg("--end-with-parent").stdin(Stdio::null());
    if role.uid != 0 {
        command.uid(role.uid).gid(role.gid);
    }
    let mut command = Command::from(command);
    command.kill_on_drop(false);
    command.spawn().with_context(|| format!("could not start {}", role.name))
}

async fn end(role: &Role, mut child: Child) -> Result<()> {
    if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        tracing::warn!(role.name = role.name, "{} did not end in time; killed", role.name);
        child.kill().await?;
    }
    Ok(())
}

/// Prints where everything is, once the server has said so and the others answer; then the token is cancelled.
fn tell_when_ready(layout: &Layout, config: &Config, stop: CancellationToken) -> CancellationToken {
    let (layout, data_dir, ready) = (layout.clone(), config.data_dir.clone(), CancellationToken::new());
    let told = ready.clone();
    let wait = async move {
        loop {
            let text = tokio::fs::read_to_string(layout.endpoints()).await.unwrap_or_default();
            let answers = [layout.node_socket(), layout.router_control()]
                .iter()
                .all(|s| UnixStream::connect(s).is_ok());
            if answers && let Ok(endpoints) = serde_json::from_str::<crate::endpoints::Endpoints>(&text) {
                tracing::info!(
                    "ready: API {}, apps at {} (NAME.{}). Next: renga exec --data-dir {} -- heroku create",
                    endpoints.api,
                    endpoints.router_tls,
                    endpoints.domain,
                    data_dir.display()
                );
                return told.cancel();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with `stop`, and nothing is lost with it")]
    tokio::spawn(async move { stop.run_until_cancelled(wait).await });
    ready
}

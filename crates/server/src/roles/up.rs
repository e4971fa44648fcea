//! `renga up`: all three roles from one command. It makes the data directory, starts node, server and router as their
//! own users, starts again what dies, and ends them all when it is told to. Dynos outlive it.

use std::{
    os::unix::process::CommandExt as _,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use crate::{config::Config, instance::Instance, layout::Layout};

/// A role that dies is started again after this, doubled each time that it did not live long.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(2);
const LIVED_LONG: Duration = Duration::from_secs(10);
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
    let stop = tokio_util::sync::CancellationToken::new();
    let keepers =
        roles.map(|role| tokio_util::task::AbortOnDropHandle::new(keep(role, flags.to_vec(), stop.clone())));
    tell_when_ready(&layout, config, stop.clone());
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopping; dynos go on");
    stop.cancel();
    for keeper in keepers {
        keeper.await??;
    }
    std::fs::remove_file(layout.endpoints()).ok();
    Ok(())
}

/// Runs one role for ever, until `stop`.
fn keep(
    role: Role,
    flags: Vec<String>,
    stop: tokio_util::sync::CancellationToken,
) -> tokio::task::JoinHandle<Result<()>> {
    #[expect(clippy::disallowed_methods, reason = "its handle is awaited at the end of `run`")]
    tokio::spawn(async move {
        let mut pause = RESTART_FIRST / 2;
        while !stop.is_cancelled() {
            let started = Instant::now();
            let mut child = start(&role, &flags)?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return end(&role, child).await,
                status = child.wait() => tracing::error!(role.name = role.name, "{} ended ({}); starting it again", role.name, status?),
            }
            pause = if started.elapsed() > LIVED_LONG { RESTART_FIRST } else { RESTART_MAX.min(pause * 2) };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    })
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

/// Prints where everything is, once the server has said so.
fn tell_when_ready(layout: &Layout, config: &Config, stop: tokio_util::sync::CancellationToken) {
    let (file, data_dir) = (layout.endpoints(), config.data_dir.clone());
    let wait = async move {
        loop {
            let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
            if let Ok(endpoints) = serde_json::from_str::<crate::endpoints::Endpoints>(&text) {
                tracing::info!(
                    "ready: API {}, apps at {} (NAME.{}). Next: renga exec --data-dir {} -- heroku create",
                    endpoints.api,
                    endpoints.router_tls,
                    endpoints.domain,
                    data_dir.display()
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "it ends with `stop`, and nothing is lost with it")]
    tokio::spawn(async move { stop.run_until_cancelled(wait).await });
}

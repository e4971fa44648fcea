//! `renga up`: all three roles from one command. It makes the data directory, holds the router's listening sockets,
//! starts node, server and router as their own users, starts again what dies, and ends them all when it is told to.
//! Dynos outlive it.
//!
//! ```text
//! start ──all three answer──> ready ──one dies──> it is started again
//!   └──one keeps ending for five seconds──> the others are stopped, and `renga up` fails
//!
//! SIGUSR2 (`renga upgrade`): becomes the program that now lies where it came from, with the sockets and the processes;
//! then node, server and router are replaced, each when the one before it answers
//!
//! the router: its successor starts beside it, and when that one answers, it drains. One that is told to end (SIGTERM)
//! says that it leaves, and its successor starts at once
//! ```

mod role;

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};
use renga_router::{Listeners, RouterError};
use serde::{Deserialize, Serialize};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::role::{Role, Shared};
use super::{SOCKETS_FLAG, router};
use crate::{config::Config, instance::Instance, layout::Layout, sockets};

/// A role that ends before the platform was ever ready is tried again for so long: a predecessor may still hold a port
/// or the ledger's lock.
const FIRST_START_MAX: Duration = Duration::from_secs(5);
/// A newer program says within this time whether it understands the command line that we have.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// The router's turn comes before that of dynos that take all the processors: it has little to do for each request, and
/// every app waits for it.
pub(crate) const ROUTER_NICE: i32 = -15;

/// What `renga upgrade` may know of a running `renga up`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Up {
    pub(crate) pid: i32,
    pub(crate) program: PathBuf,
    /// How often another program has taken over, completely.
    pub(crate) takeovers: u64,
}

pub(crate) async fn run(config: &Config, flags: &[String], sockets_come: bool) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga up needs root: it makes mounts, cgroups and networks for dynos. Try: sudo renga up");
    }
    let program = std::env::current_exe().context("could not find this program")?;
    std::fs::create_dir_all(&config.data_dir).context("could not make the data directory")?;
    let instance = Instance::load_or_choose(&config.data_dir)?;
    let layout = Layout::new(&config.data_dir);
    layout.make(&instance)?;
    let (listeners, word) = match sockets_come {
        true => {
            let (mut listeners, word) = sockets::receive()?;
            // The predecessor may have begun with fewer processors. That it is none the wider is no reason to fail.
            if let Err(failed) = listeners.widen(router::hand_config(config, &layout, &instance).threads) {
                tracing::warn!("the router has fewer sockets than threads: {:#}", Error::new(failed));
            }
            (listeners, word)
        }
        false => {
            std::fs::remove_file(layout.endpoints()).ok();
            std::fs::remove_file(layout.router_addresses()).ok();
            (bind(config, &layout, &instance).await?, sockets::Word::default())
        }
    };
    let stop = CancellationToken::new();
    let ready = tell_when_ready(&layout, config, stop.clone());
    let shared = Arc::new(Shared::new(program, flags.to_vec(), layout, listeners, ready, stop));
    let mut keepers = JoinSet::new();
    let taken_over = start_all(&shared, config, &instance, &word, &mut keepers);
    let over = watch(&shared, taken_over, word.takeovers, &mut keepers).await;
    match &over {
        Ok(()) => tracing::info!("stopping; dynos go on"),
        Err(_) => tracing::info!("stopping what has started"),
    }
    shared.stop.cancel();
    while let Some(ended) = keepers.join_next().await {
        ended??;
    }
    std::fs::remove_file(shared.layout.endpoints()).ok();
    std::fs::remove_file(shared.layout.up()).ok();
    over
}

/// The sockets are ours, and outlive any router. A predecessor may still have them for a moment.
async fn bind(config: &Config, layout: &Layout, instance: &Instance) -> Result<Listeners> {
    let (config, begun) = (router::hand_config(config, layout, instance), Instant::now());
    loop {
        let free = is_free(config.http).and_then(|()| is_free(config.tls));
        match free.and_then(|()| Listeners::bind(&config)) {
            Ok(listeners) => return Ok(listeners),
            Err(taken) if begun.elapsed() > FIRST_START_MAX => {
                return Err(
                    Error::new(taken).context("is another platform running? (port 0 picks a free one)")
                );
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Root's sockets may share a port with others of root's, so two platforms would share one without a word: a socket
/// that does not share finds out.
fn is_free(address: SocketAddr) -> Result<(), RouterError> {
    match address.port() {
        0 => Ok(()),
        _ => TcpListener::bind(address).map(drop).map_err(|cause| RouterError::Bind { address, cause }),
    }
}

/// All at once, or, where predecessors run, one after another. The token is cancelled when the last one answers.
fn start_all(
    shared: &Arc<Shared>,
    config: &Config,
    instance: &Instance,
    word: &sockets::Word,
    keepers: &mut JoinSet<Result<()>>,
) -> CancellationToken {
    let predecessors = &word.roles;
    let (server, router, group) = (instance.server_uid, instance.router_uid, instance.group());
    // The router last: when it is back, everything that it may need is.
    let roles = [("node", 0, 0), ("server", server, group), ("router", router, group)];
    let mut turn = CancellationToken::new();
    turn.cancel();
    for (name, uid, gid) in roles {
        let answers = CancellationToken::new();
        let nice = if name == "router" { ROUTER_NICE } else { 0 };
        let low_ports = name == "server" && config.server_on_low_port();
        let predecessor = predecessors.get(name).copied();
        let draining = if name == "router" { word.draining.clone() } else { Vec::new() };
        let role = Role { name, uid, gid, nice, low_ports, predecessor, draining };
        let begins = if predecessors.is_empty() { CancellationToken::new() } else { turn };
        if predecessors.is_empty() {
            begins.cancel();
        }
        keepers.spawn(role::keep(role, shared.clone(), begins, answers.clone()));
        turn = answers;
    }
    turn
}

/// Until the end. A keeper ends by itself only if its role could not even be started.
async fn watch(
    shared: &Shared,
    taken_over: CancellationToken,
    takeovers: u64,
    keepers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut next = signal(SignalKind::user_defined2())?;
    let mut told = false;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            Some(ended) = keepers.join_next() => return ended?,
            () = taken_over.cancelled(), if !told => {
                told = true;
                let up = Up { pid: std::process::id().cast_signed(), program: shared.program.clone(), takeovers };
                write(&shared.layout.up(), &up)?;
            }
            _ = next.recv() => match told {
                true => {
                    let failed = take_over(shared, takeovers + 1).await;
                    tracing::error!("{} does not take over, all goes on as it was: {failed:#}", shared.program.display());
                }
                false => tracing::warn!("the last start or upgrade is not through yet; SIGUSR2 is ignored"),
            },
        }
    }
}

fn write(path: &Path, up: &Up) -> Result<()> {
    let fresh = path.with_extension("json.new");
    std::fs::write(&fresh, serde_json::to_vec(up)?)?;
    std::fs::rename(&fresh, path).with_context(|| format!("could not write {}", path.display()))
}

/// Becomes the program that lies where we came from. It returns only if that failed.
async fn take_over(shared: &Shared, takeovers: u64) -> Error {
    if let Err(refused) = check(shared).await {
        return refused;
    }
    // From here on nothing waits: no role can end, or be started, in between.
    let (roles, draining) = (shared.pids(), shared.draining());
    let word = sockets::Word { roles, draining, takeovers, ..Default::default() };
    let handed = sockets::send(&shared.listeners, word).and_then(|handed| {
        rustix::stdio::dup2_stdin(&handed.theirs).context("could not hand the sockets over")
    });
    if let Err(failed) = handed {
        return failed;
    }
    tracing::info!("{} takes over", shared.program.display());
    let mut next = std::process::Command::new(&shared.program);
    Error::new(next.arg("up").args(&shared.flags).arg(SOCKETS_FLAG).exec())
}

async fn check(shared: &Shared) -> Result<()> {
    let mut check = Command::new(&shared.program);
    check.arg("up").args(&shared.flags).args([SOCKETS_FLAG, "--check"]).kill_on_drop(true);
    let checked =
        tokio::time::timeout(CHECK_TIMEOUT, check.output()).await.context("it does not answer")??;
    if !checked.status.success() {
        bail!("{}", String::from_utf8_lossy(&checked.stderr).trim());
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
            let answers = ["node", "router"].iter().all(|role| role_answers(&layout, role));
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

/// Whether a role does its work. The server writes its file last, and takes it away when it stops.
pub(crate) fn role_answers(layout: &Layout, role: &str) -> bool {
    match role {
        "node" => UnixStream::connect(layout.node_socket()).is_ok(),
        "router" => UnixStream::connect(layout.router_control()).is_ok(),
        _ => layout.endpoints().exists(),
    }
}

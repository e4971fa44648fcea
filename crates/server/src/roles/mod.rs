//! The roles of the one binary, each a composition and nothing else.

pub(crate) mod node;
pub(crate) mod router;
pub(crate) mod server;
pub(crate) mod up;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
    /// Parse the configuration, report every mistake, and exit (64 if there are any)
    #[arg(long)]
    pub(crate) check: bool,
    /// More of the operator's log
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// End when the process that started this one does (`renga up` passes it)
    #[arg(long, hide = true)]
    pub(crate) end_with_parent: bool,
    /// The router's listening sockets come on standard input (`renga up` passes it)
    #[arg(long, hide = true)]
    pub(crate) sockets: bool,
}

/// As it stands on a command line.
pub(crate) const SOCKETS_FLAG: &str = "--sockets";

/// Cancelled by SIGTERM and SIGINT.
pub(crate) fn stop_signal() -> Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stop = token.clone();
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process")]
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}

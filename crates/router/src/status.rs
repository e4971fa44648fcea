//! How the router is, for its operator.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::{
    control::{Ask, Reply},
    frame::{self, TABLE_BYTES_MAX},
    journal::Lines,
    thread::Shared,
};

/// Apps and dynos that are named, at most.
const NAMED_MAX: usize = 10;
/// A router that does not answer in this time is not well.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub uptime_s: u64,
    /// Of the table that is routed by.
    pub generation: u64,
    pub table_age_s: u64,
    pub apps: u64,
    pub dynos: u64,
    /// Connections of clients that are open, and those to dynos that wait for a request.
    pub clients: u64,
    pub idle_to_dynos: u64,
    /// Since the start.
    pub requests: u64,
    pub in_flight: u64,
    /// Waiting for a dyno.
    pub held: u64,
    /// The apps with the most requests under way.
    pub busiest: Vec<Busy>,
    /// Dynos that did not accept a connection and are passed over for a moment.
    pub dynos_quarantined: u64,
    /// Some of them: `app web.1`.
    pub quarantined: Vec<String>,
    pub certificates: u64,
    pub log_lines_lost: u64,
    /// Where metrics are told over HTTP.
    pub metrics: Option<SocketAddr>,
    /// Predecessors, which accept no more and end their requests.
    #[serde(default)]
    pub draining: Vec<Draining>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    pub in_flight: u64,
    pub held: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    pub app: String,
    pub in_flight: u64,
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        let (table, now_ms, sums) = (shared.tables.current(), shared.tables.now_ms(), shared.metrics.sums());
        let in_flight = table.apps.iter().map(|app| (u64::from(app.counters.in_flight()), &app.row.name));
        let mut busy: Vec<_> = in_flight.filter(|(count, _)| *count > 0).collect();
        busy.sort_unstable_by(|a, b| (b.0, a.1).cmp(&(a.0, b.1)));
        let named = busy.iter().take(NAMED_MAX);
        let quarantined = table.apps.iter().flat_map(|app| app.dynos.iter().map(move |dyno| (app, dyno)));
        let quarantined: Vec<_> = quarantined.filter(|(_, dyno)| dyno.counters.quarantined(now_ms)).collect();
        Self {
            uptime_s: now_ms / 1_000,
            generation: table.generation,
            table_age_s: now_ms.saturating_sub(table.made_ms) / 1_000,
            apps: table.apps.iter().count() as u64,
            dynos: table.apps.iter().map(|app| app.dynos.len() as u64).sum(),
            clients: sums.clients_open,
            idle_to_dynos: sums.idle_to_dynos,
            requests: sums.service.iter().sum(),
            in_flight: busy.iter().map(|(count, _)| count).sum(),
            held: shared.held.load(std::sync::atomic::Ordering::Relaxed) as u64,
            busiest: named
                .map(|(in_flight, app)| Busy { app: app.to_string(), in_flight: *in_flight })
                .collect(),
            dynos_quarantined: quarantined.len() as u64,
            quarantined: quarantined
                .iter()
                .take(NAMED_MAX)
                .map(|(app, dyno)| format!("{} {}", app.row.name, dyno.name))
                .collect(),
            certificates: shared.certificates.in_memory() as u64,
            log_lines_lost: shared.journal.lost.load(std::sync::atomic::Ordering::Relaxed),
            metrics: shared.metrics_address.get().copied(),
            draining: Vec::new(),
        }
    }
}

// === asked from another process ===

/// How the router behind this control socket is.
pub async fn status_of(socket: &Path) -> io::Result<Status> {
    match ask(socket, &Ask::Status).await? {
        Reply::Status(status) => Ok(*status),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Who listens on a control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    pub pid: i32,
    /// It lets a successor begin beside it.
    pub hands_over: bool,
}

/// Answered by a router that is ready, or one of before.
pub async fn listening(socket: &Path) -> io::Result<Listening> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let pid = stream.peer_cred()?.pid().ok_or(io::ErrorKind::InvalidData)?;
        // No lines are nothing to take, and another question to those who know none of successors.
        frame::write(&mut stream, &Ask::Lines(&Lines::default()), TABLE_BYTES_MAX).await?;
        let hands_over = matches!(frame::read(&mut stream, TABLE_BYTES_MAX).await?, Reply::Taken);
        Ok(Listening { pid, hands_over })
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Its metrics, in the text format of Prometheus.
pub async fn metrics_of(socket: &Path) -> io::Result<String> {
    match ask(socket, &Ask::Metrics).await? {
        Reply::Metrics(text) => Ok(text),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn ask(socket: &Path, ask: &Ask<'_>) -> io::Result<Reply> {
    let answered = async {
        let mut stream = UnixStream::connect(socket).await?;
        frame::write(&mut stream, ask, TABLE_BYTES_MAX).await?;
        frame::read(&mut stream, TABLE_BYTES_MAX).await
    };
    tokio::time::timeout(ANSWER_TIMEOUT, answered).await.map_err(|_| io::ErrorKind::TimedOut)?
}

//! The router as a whole: prepared, started, stopped.
//!
//! ```text
//! bind ──> prepare (table from disk, journal, control socket) ──> serving threads ──stop──> draining ──> ended
//!             │ another router runs: its table                       │    └──a thread died──> failed ──────^
//!             └─────────────────────────────────────────────────> it drains
//! ```
//!
//! How one router follows another is drawn in [`crate::succession`].

use std::{
    fs, io,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    rc::Rc,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};

use renga_model::RouteTable;
use renga_supervision::{Access, SegmentConfig};
use tokio::{runtime, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    certificates::Certificates,
    config::Config,
    control, door,
    journal::{self, Journal, Queue, StartError},
    listen::{Addresses, Listeners},
    metrics::{self, Metrics},
    persist,
    predecessors::Predecessors,
    succession::Succession,
    table::Tables,
    thread::{Shared, Thread},
};

/// Bytes of one log segment.
const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// After the drain's time, what was cut off gets this long to write its lines.
const FORCED_GRACE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    #[error("could not listen on {address}")]
    Bind {
        address: std::net::SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("could not prepare {what}")]
    Prepare {
        what: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("could not open the journal")]
    Journal(#[source] renga_supervision::SegmentError),
    #[error("a serving thread ended by itself")]
    ThreadDied,
}

/// A router that serves. Dropping it stops it without a drain; [`Router::stop`] is the orderly way.
#[derive(Debug)]
pub struct Router {
    addresses: Addresses,
    closing: CancellationToken,
    succession: Arc<Succession>,
    /// The table is written for the last time, and then the background tasks end, when the last request has.
    saved: CancellationToken,
    keeper: TaskTracker,
    ended: CancellationToken,
    died: CancellationToken,
    background: TaskTracker,
    threads: Vec<JoinHandle<()>>,
    journal: Queue,
    scribe: JoinHandle<()>,
}

/// Serves on `listeners` until `shutdown`, or until a successor serves; drains, and returns. `ready` is told the real
/// addresses when clients and the server may connect, `leaving` is called before the drain.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
    ready: impl FnOnce(Addresses),
    leaving: impl FnOnce(),
) -> Result<(), RouterError> {
    let router = Router::start(config, listeners).await?;
    ready(router.addresses());
    tokio::select! {
        biased;
        // The order to stop.
        () = shutdown.cancelled() => {}
        // A successor serves.
        () = router.closing.cancelled() => {}
        // A panic outside of a request: whoever started us starts us again.
        () = router.died.cancelled() => {}
    }
    if !router.died.is_cancelled() {
        leaving();
    }
    router.stop().await
}

impl Router {
    /// Serves on sockets that are bound already. If another router runs in the directory, takes over from it.
    pub async fn start(mut config: Config, listeners: Listeners) -> Result<Self, RouterError> {
        let addresses = listeners.addresses()?;
        let (closing, ended, died) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        // A thread without a socket would have nothing to do, and end: there may be more processors by now than when
        // the sockets were bound.
        let threads = config.threads.clamp(1, listeners.per_port().max(1));
        config.threads = threads;
        let (journal, scribe) = open_journal(&config)?;
        let (shared, control, on_disk) = prepare(config, threads, journal.clone(), closing.clone()).await?;
        let background = TaskTracker::new();
        background.spawn(control::serve(control, shared.clone(), ended.clone()));
        let (saved, keeper) = (CancellationToken::new(), TaskTracker::new());
        keeper.spawn(persist::keep(shared.clone(), on_disk, saved.clone()));
        keeper.close();
        if let Some(address) = shared.config.metrics {
            let (shared, ended) = (shared.clone(), ended.clone());
            background.spawn(async move {
                let succeeded = shared.succession.succeeded.clone();
                succeeded.run_until_cancelled(metrics::serve::serve(address, shared, ended)).await;
            });
        }
        background.close();
        let succession = shared.succession.clone();
        let mut router = Self {
            addresses,
            closing,
            succession,
            ended,
            saved,
            keeper,
            died,
            background,
            threads: Vec::new(),
            journal,
            scribe,
        };
        for (index, sockets) in shares(listeners, threads).into_iter().enumerate() {
            let thread = router.spawn(index, sockets, shared.clone())?;
            router.threads.push(thread);
        }
        shared.predecessors.drain().await;
        Ok(router)
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Accepts no more, lets requests end within the drain's time, and returns when all is written.
    pub async fn stop(mut self) -> Result<(), RouterError> {
        let died = self.died.is_cancelled();
        self.closing.cancel();
        let (threads, scribe) = (std::mem::take(&mut self.threads), self.scribe);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|t| t.join().is_ok())).await;
        // The last table is on disk before a successor can find nobody here.
        self.succession.retire();
        self.saved.cancel();
        self.keeper.wait().await;
        self.ended.cancel();
        self.background.wait().await;
        self.journal.end();
        let written = tokio::task::spawn_blocking(move || scribe.join().is_ok()).await;
        let whole = joined.unwrap_or(false) && written.unwrap_or(false);
        if died || !whole { Err(RouterError::ThreadDied) } else { Ok(()) }
    }

    fn spawn(
        &self,
        index: usize,
        sockets: Vec<TcpListener>,
        shared: Arc<Shared>,
    ) -> Result<JoinHandle<()>, RouterError> {
        let closing = self.closing.clone();
        let died = self.died.clone().drop_guard();
        let body = move || {
            if let Err(error) = serve(index, sockets, shared, closing.clone()) {
                tracing::error!(%error, "a serving thread could not start");
            }
            // Ending is right after the order to stop, and a death otherwise.
            if closing.is_cancelled() {
                died.disarm();
            }
        };
        std::thread::Builder::new()
            .name(format!("router-{index}"))
            .spawn(body)
            .map_err(|cause| RouterError::Prepare { what: "a serving thread", cause })
    }
}

// === preparation ===

fn open_journal(config: &Config) -> Result<(Queue, JoinHandle<()>), RouterError> {
    let prepare = |cause| RouterError::Prepare { what: "the log directory", cause };
    let directory = config.directory.join("log");
    fs::create_dir_all(&directory).map_err(prepare)?;
    // With the group's bit, files get the directory's group: the server reads them.
    let mode = if config.control_gid.is_some() { 0o2750 } else { 0o700 };
    if config.control_gid.is_some() {
        chown(&directory, None, config.control_gid).map_err(prepare)?;
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).map_err(prepare)?;
    let segments = SegmentConfig {
        directory,
        segment_bytes_max: SEGMENT_BYTES_MAX,
        total_bytes_max: config.limits.log_bytes_max,
        access: Access::Group,
    };
    journal::start(segments, control::socket_path(&config.directory)).map_err(|error| match error {
        StartError::Segments(cause) => RouterError::Journal(cause),
        StartError::Thread(cause) => RouterError::Prepare { what: "the journal's thread", cause },
    })
}

/// What may fail comes before the control socket: until that is ours, a predecessor is none. Besides it, the version of
/// the table that is on disk.
async fn prepare(
    config: Config,
    threads: usize,
    journal: Queue,
    closing: CancellationToken,
) -> Result<(Arc<Shared>, tokio::net::UnixListener, u64), RouterError> {
    let because = |what| move |cause| RouterError::Prepare { what, cause };
    let certificates = Certificates::new(&config).map_err(because("the certificates"))?;
    let predecessors =
        Predecessors::find(&config.directory).await.map_err(because("what its predecessor leaves"))?;
    let control =
        control::bind(&config.directory, config.control_gid).map_err(because("the control socket"))?;
    let handed = predecessors.succeed().await;
    let tables = Tables::new(threads);
    // One that has ended before it could hand over has written its table first.
    match persist::load(&config.directory) {
        Ok(Some(table)) => begin_with(&tables, table, "the last run"),
        Ok(None) => {}
        // The server will publish; a router that does not start would help nobody.
        Err(error) => tracing::error!(%error, "could not read the table of the last run"),
    }
    let on_disk = tables.version();
    if let Some(table) = handed {
        begin_with(&tables, table, "the predecessor");
    }
    let shared = Shared {
        config,
        tables,
        certificates,
        held: AtomicUsize::new(0),
        metrics: Metrics::new(threads),
        journal,
        succession: Arc::new(Succession::new(closing)),
        predecessors,
        metrics_address: OnceLock::new(),
    };
    Ok((Arc::new(shared), control, on_disk))
}

fn begin_with(tables: &Tables, table: RouteTable, whose: &str) {
    let generation = table.generation;
    // The first table of a process is never stale; a predecessor's may be the one that is on disk.
    if generation > tables.current().generation && tables.publish(table).is_ok() {
        tracing::info!(table.generation = generation, "routing by the table of {whose}");
    }
}

/// One socket of each port for every thread; should there be more sockets than threads, they go round.
fn shares(listeners: Listeners, threads: usize) -> Vec<Vec<TcpListener>> {
    let mut shares: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
    for sockets in [listeners.http, listeners.tls] {
        for (index, socket) in sockets.into_iter().enumerate() {
            shares[index % threads].push(socket);
        }
    }
    shares
}

// === one thread ===

fn serve(
    index: usize,
    sockets: Vec<TcpListener>,
    shared: Arc<Shared>,
    closing: CancellationToken,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async move {
        let journal = Journal::new(shared.journal.clone());
        let threads = shared.config.threads.max(1);
        let places = Arc::new(Semaphore::new((shared.config.limits.connections_max / threads).max(1)));
        let thread = Thread::new(index, shared, journal, closing.child_token());
        let acceptors = TaskTracker::new();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let socket = tokio::net::TcpListener::from_std(socket)?;
            acceptors.spawn_local(door::accept(thread.clone(), socket, places.clone()));
        }
        acceptors.close();
        let housekeeping = async { tokio::join!(thread.flush_lines(), thread.sweep_pool()) };
        tokio::select! {
            biased;
            // All accepted requests have ended, or were ended.
            () = drain(&thread, acceptors) => {}
            // Runs until then.
            _ = housekeeping => {}
        }
        thread.journal.flush();
        Ok(())
    })
}

async fn drain(thread: &Rc<Thread>, acceptors: TaskTracker) {
    acceptors.wait().await;
    thread.clients.close();
    let timeout = thread.shared.config.drain_timeout;
    if tokio::time::timeout(timeout, thread.clients.wait()).await.is_err() {
        tracing::warn!(connections = thread.clients.len(), "the drain's time is up");
        thread.forced.set(true);
        thread.cut.cancel();
        // What was cut off only has its line to write.
        if tokio::time::timeout(FORCED_GRACE, thread.clients.wait()).await.is_err() {
            tracing::warn!(connections = thread.clients.len(), "connections were left behind");
        }
    }
    thread.pool.clear();
}

//! The router as a whole: prepared, started, stopped.
//!
//! ```text
//! bind ──> prepare (table from disk, journal, control socket) ──> serving threads ──stop──> draining ──> ended
//!                                                                        └──a thread died──> failed ──────^
//! ```

use std::{
    fs, io,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize},
    },
    thread::JoinHandle,
    time::Duration,
};

use renga_supervision::{Access, SegmentConfig, SegmentWriter};
use tokio::{runtime, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    certificates::Certificates,
    config::Config,
    control, door,
    journal::{self, Journal, Queue},
    listen::{Addresses, Listeners},
    metrics::{self, Metrics},
    persist,
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
    /// The background tasks end when the last request has.
    ended: CancellationToken,
    died: CancellationToken,
    background: TaskTracker,
    threads: Vec<JoinHandle<()>>,
    scribe: JoinHandle<()>,
}

/// Serves on `listeners` until `shutdown`, drains, and returns. `ready` is told the real addresses when clients and the
/// server may connect.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
    ready: impl FnOnce(Addresses),
) -> Result<(), RouterError> {
    let router = Router::start(config, listeners).await?;
    ready(router.addresses());
    tokio::select! {
        biased;
        // The order to stop.
        () = shutdown.cancelled() => {}
        // A panic outside of a request: whoever started us starts us again.
        () = router.died.cancelled() => {}
    }
    router.stop().await
}

impl Router {
    /// Serves on sockets that are bound already.
    pub async fn start(mut config: Config, listeners: Listeners) -> Result<Self, RouterError> {
        let addresses = listeners.addresses()?;
        let (closing, ended, died) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        // A thread without a socket would have nothing to do, and end: there may be more processors by now than when
        // the sockets were bound.
        let threads = config.threads.clamp(1, listeners.per_port().max(1));
        config.threads = threads;
        let (queue, scribe) = open_journal(&config)?;
        let (shared, control) = prepare(config, threads, queue.lost.clone())?;
        let background = TaskTracker::new();
        background.spawn(control::serve(control, shared.clone(), ended.clone()));
        background.spawn(persist::keep(shared.clone(), ended.clone()));
        if let Some(address) = shared.config.metrics {
            background.spawn(metrics::serve::serve(address, shared.clone(), ended.clone()));
        }
        background.close();
        let mut router = Self { addresses, closing, ended, died, background, threads: Vec::new(), scribe };
        for (index, sockets) in shares(listeners, threads).into_iter().enumerate() {
            let thread = router.spawn(index, sockets, shared.clone(), queue.clone())?;
            router.threads.push(thread);
        }
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
        self.ended.cancel();
        self.background.wait().await;
        let written = tokio::task::spawn_blocking(move || scribe.join().is_ok()).await;
        let whole = joined.unwrap_or(false) && written.unwrap_or(false);
        if died || !whole { Err(RouterError::ThreadDied) } else { Ok(()) }
    }

    fn spawn(
        &self,
        index: usize,
        sockets: Vec<TcpListener>,
        shared: Arc<Shared>,
        queue: Queue,
    ) -> Result<JoinHandle<()>, RouterError> {
        let closing = self.closing.clone();
        let died = self.died.clone().drop_guard();
        let body = move || {
            if let Err(error) = serve(index, sockets, shared, queue, closing.clone()) {
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
    let writer = SegmentWriter::open(segments).map_err(RouterError::Journal)?;
    journal::start(writer).map_err(|cause| RouterError::Prepare { what: "the journal's thread", cause })
}

fn prepare(
    config: Config,
    threads: usize,
    lines_lost: Arc<AtomicU64>,
) -> Result<(Arc<Shared>, tokio::net::UnixListener), RouterError> {
    let because = |what| move |cause| RouterError::Prepare { what, cause };
    let tables = Tables::new(threads);
    match persist::load(&config.directory) {
        Ok(Some(table)) => {
            // The first table of a process is never stale.
            let generation = table.generation;
            if tables.publish(table).is_ok() {
                tracing::info!(table.generation = generation, "routing by the table of the last run");
            }
        }
        Ok(None) => {}
        // The server will publish; a router that does not start would help nobody.
        Err(error) => tracing::error!(%error, "could not read the table of the last run"),
    }
    let certificates = Certificates::new(&config).map_err(because("the certificates"))?;
    let control =
        control::bind(&config.directory, config.control_gid).map_err(because("the control socket"))?;
    let shared = Shared {
        config,
        tables,
        certificates,
        held: AtomicUsize::new(0),
        metrics: Metrics::new(threads),
        lines_lost,
        metrics_address: OnceLock::new(),
    };
    Ok((Arc::new(shared), control))
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
    queue: Queue,
    closing: CancellationToken,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async move {
        let journal = Journal::new(queue);
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

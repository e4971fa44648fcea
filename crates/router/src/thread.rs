//! What belongs to one serving thread. Nothing in here is touched by another thread.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    buffer::Shelf,
    certificates::Certificates,
    config::Config,
    journal::{BATCH_TIME, Journal, Queue},
    metrics::{Counts, Metrics},
    pool::Pool,
    predecessors::Predecessors,
    succession::Succession,
    table::{Table, Tables},
};

/// Between two tables that a thread looks at for its idle connections.
const CHANGES_PAUSE: Duration = Duration::from_millis(50);

/// What all threads share. On the way of a request only the tables' version and the app's counter are looked at.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tables: Tables,
    pub(crate) certificates: Certificates,
    /// Requests that wait for a dyno.
    pub(crate) held: AtomicUsize,
    pub(crate) metrics: Metrics,
    /// For the lines of predecessors.
    pub(crate) journal: Queue,
    pub(crate) succession: Arc<Succession>,
    pub(crate) predecessors: Predecessors,
    /// Where metrics are told over HTTP, once they are.
    pub(crate) metrics_address: OnceLock<SocketAddr>,
}

pub(crate) struct Thread {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Journal,
    pub(crate) pool: Pool,
    pub(crate) shelf: Shelf,
    /// Client connections and what comes of them: the order to stop waits for these.
    pub(crate) clients: TaskTracker,
    pub(crate) closing: CancellationToken,
    /// Ends connections where they are.
    pub(crate) cut: CancellationToken,
    /// The drain's time is up: what ends now was cut off by us.
    pub(crate) forced: Cell<bool>,
    table: RefCell<Rc<Pinned>>,
}

/// The table as this thread saw it last. Requests hold it by the thread's own count, so that no two threads ever
/// write one counter for looking at a table.
pub(crate) struct Pinned(Arc<Table>);

impl std::ops::Deref for Pinned {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Thread {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        journal: Journal,
        closing: CancellationToken,
    ) -> Rc<Self> {
        let pool = Pool::new(&shared.config.limits);
        let table = RefCell::new(Rc::new(Pinned(shared.tables.current())));
        let clients = TaskTracker::new();
        Rc::new(Self {
            index,
            shared,
            journal,
            pool,
            shelf: Shelf::default(),
            clients,
            closing,
            cut: CancellationToken::new(),
            forced: Cell::new(false),
            table,
        })
    }

    /// What this thread counts, and no other.
    pub(crate) fn counts(&self) -> &Counts {
        self.shared.metrics.of(self.index)
    }

    /// The current table: one shared read if nothing has changed.
    pub(crate) fn table(&self) -> Rc<Pinned> {
        let mut pinned = self.table.borrow_mut();
        if self.shared.tables.version() != pinned.version {
            *pinned = Rc::new(Pinned(self.shared.tables.current()));
        }
        pinned.clone()
    }

    /// Hands lines to the journal a moment after the first one came. Runs until it is dropped.
    pub(crate) async fn flush_lines(&self) {
        loop {
            self.journal.begun.notified().await;
            tokio::time::sleep(BATCH_TIME).await;
            self.journal.flush();
        }
    }

    /// Lets go of idle connections that are old, or whose dyno has left the table. Runs until it is dropped.
    pub(crate) async fn sweep_pool(&self) {
        let (mut changes, mut known) = (self.shared.tables.changes(), self.shared.tables.departures());
        let mut sweep = tokio::time::interval(crate::pool::SWEEP_INTERVAL);
        loop {
            let changed = tokio::select! {
                biased;
                // Connections grow old.
                _ = sweep.tick() => false,
                // A table was published; the sender lives as long as the tables.
                _changed = changes.changed() => true,
            };
            let (table, departures) = (self.table(), self.shared.tables.departures());
            if departures != known {
                known = departures;
                let dynos = table.apps.iter().flat_map(|app| &app.dynos);
                self.pool.keep_only(&dynos.map(|dyno| (dyno.id, dyno.address)).collect());
            }
            match changed {
                // With ten thousand apps, some dyno always leaves: not each has the whole table looked through.
                true => tokio::time::sleep(CHANGES_PAUSE).await,
                false => {
                    self.pool.sweep();
                    self.counts().set_idle_to_dynos(self.pool.len());
                }
            }
        }
    }
}

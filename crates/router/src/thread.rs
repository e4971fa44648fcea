//! What belongs to one serving thread. Nothing in here is touched by another thread.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    certificates::Certificates,
    config::Config,
    journal::{BATCH_TIME, Journal},
    pool::Pool,
    table::{Table, Tables},
};

/// What all threads share. On the way of a request only the tables' version and the app's counter are looked at.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tables: Tables,
    pub(crate) certificates: Certificates,
    /// Requests that wait for a dyno.
    pub(crate) held: AtomicUsize,
}

pub(crate) struct Thread {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Journal,
    pub(crate) pool: Pool,
    /// Client connections and what comes of them: the order to stop waits for these.
    pub(crate) clients: TaskTracker,
    /// Connections to dynos; they end with the pool.
    pub(crate) dynos: TaskTracker,
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
        let (clients, dynos) = (TaskTracker::new(), TaskTracker::new());
        Rc::new(Self {
            index,
            shared,
            journal,
            pool,
            clients,
            dynos,
            closing,
            cut: CancellationToken::new(),
            forced: Cell::new(false),
            table,
        })
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
        let mut changes = self.shared.tables.changes();
        loop {
            let changed = tokio::time::timeout(crate::pool::SWEEP_INTERVAL, changes.changed()).await;
            let table = self.table();
            if changed.is_ok() {
                let dynos = table.apps.iter().flat_map(|app| &app.dynos);
                self.pool.keep_only(&dynos.map(|dyno| (dyno.id, dyno.address)).collect());
            }
            self.pool.sweep();
        }
    }
}

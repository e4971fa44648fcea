//! One router follows another without a client noticing: for a while there are two. This is the elder's side; the
//! younger's is [`crate::predecessors`].
//!
//! ```text
//! elder   leads ──succeed──> serves, led by its successor ──drain──> drains ──last request──> ended
//!                               ^──────succeed, by another one──────────^
//! younger prepared ──control.sock is its own──> elder's table ──> accepts ──> elder drains ──> alone
//! ```
//!
//! `succeed` numbers the successors. Whoever speaks for the newest one leads: gives tables, hears of traffic. The word of
//! all others, a server's that had connected before among them, counts no more: their connections end between two
//! questions, and they find the successor where they found us.

use std::sync::Mutex;

use renga_model::RouteTable;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::table::Tables;

#[derive(Debug, Default)]
pub(crate) struct Succession {
    /// How many successors have said so.
    count: watch::Sender<u64>,
    /// Cancelled by the first one: table on disk, journal and address for metrics are another's from then on.
    pub(crate) succeeded: CancellationToken,
    /// No more connections are accepted.
    pub(crate) closing: CancellationToken,
    /// Held while the table is written to disk.
    pub(crate) saving: tokio::sync::Mutex<()>,
    /// Of tables and successors only one at a time changes something.
    order: Mutex<()>,
}

/// One control connection: for which successor it speaks; 0 is the server, before there is one.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    leads: Option<u64>,
    count: watch::Receiver<u64>,
}

impl Succession {
    pub(crate) fn new(closing: CancellationToken) -> Self {
        Self { closing, ..Self::default() }
    }

    pub(crate) fn caller(&self) -> Caller {
        let count = self.count.subscribe();
        let leads = (*count.borrow() == 0).then_some(0);
        Caller { leads, count }
    }

    /// Does what only the leader may. None: somebody else leads.
    pub(crate) fn led_by<T>(&self, caller: &Caller, act: impl FnOnce() -> T) -> Option<T> {
        let _order = crate::table::lock(&self.order);
        let leads = caller.leads == Some(*self.count.borrow());
        leads.then(act)
    }

    /// The table is the last that anybody but the caller has given.
    pub(crate) fn succeed(&self, caller: &mut Caller, tables: &Tables) -> RouteTable {
        let _order = crate::table::lock(&self.order);
        let next = *self.count.borrow() + 1;
        self.count.send_replace(next);
        caller.leads = Some(next);
        self.succeeded.cancel();
        tables.current().rows()
    }

    /// Nobody leads us any more: we end. A successor leads us to the end.
    pub(crate) fn retire(&self) {
        let _order = crate::table::lock(&self.order);
        self.count.send_if_modified(|count| {
            let leaderless = *count == 0;
            *count += u64::from(leaderless);
            leaderless
        });
    }
}

impl Caller {
    /// Returns when a caller that led does so no longer.
    pub(crate) async fn deposed(&mut self) {
        match self.leads {
            Some(own) => _ = self.count.wait_for(|count| *count != own).await,
            None => std::future::pending().await,
        }
    }
}

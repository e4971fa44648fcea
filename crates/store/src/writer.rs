//! The writer thread: requests that wait together run in one transaction and share its fsync.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    MasterKey, Read, StoreError, Tx,
    fate::{Fate, Oracle},
};

/// Requests that share one commit. Bounds how long the first of them waits for its answer.
const BATCH_MAX: usize = 256;

pub(crate) type Waiting = Box<dyn Request>;

/// A write request: carried out first, answered when its fate is known.
pub(crate) trait Request: Send {
    /// Whether what it did is to be kept.
    fn carry_out(&mut self, tx: &Tx<'_>) -> bool;
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

pub(crate) fn request<T, E>(
    f: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    reply: oneshot::Sender<Result<T, E>>,
) -> Waiting
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(Write { f: Some(f), result: None, reply })
}

pub(crate) fn spawn(
    conn: Connection,
    key: MasterKey,
    queue: mpsc::Receiver<Waiting>,
    counts: Arc<Counts>,
    oracle: Option<Oracle>,
    outbox: Arc<Notify>,
) -> Result<JoinHandle<()>, StoreError> {
    let writer =
        Writer { conn, key, queue, counts, oracle, unheard: Vec::new(), said: Cell::new(false), outbox };
    let spawned = std::thread::Builder::new().name("ledger-writer".into()).spawn(move || writer.run());
    spawned.map_err(StoreError::file("start a thread for", "the ledger"))
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

// === counts ===

#[derive(Default)]
pub(crate) struct Counts {
    requests: AtomicU64,
    commits: AtomicU64,
}

/// Since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterCounts {
    pub requests: u64,
    pub commits: u64,
}

impl Counts {
    pub(crate) fn read(&self) -> WriterCounts {
        WriterCounts {
            requests: self.requests.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }
}

// === one request ===

struct Write<F, T, E> {
    /// Taken when it is carried out.
    f: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Request for Write<F, T, E>
where
    F: FnOnce(&Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn carry_out(&mut self, tx: &Tx<'_>) -> bool {
        let Some(f) = self.f.take() else { return false };
        // The savepoint is rolled back after a panic, so nothing half-changed is seen by anybody.
        let result = catch_unwind(AssertUnwindSafe(|| f(tx))).unwrap_or_else(|panic| {
            let message = panic_message(&*panic);
            tracing::error!("a write request panicked: {message}");
            Err(StoreError::Panicked { message }.into())
        });
        self.result.insert(result).is_ok()
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let result = match (self.result, commit) {
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(lost)) => Err(lost.into()),
            (None, Ok(())) => Err(StoreError::Aborted.into()),
        };
        // The caller may have stopped waiting.
        drop(self.reply.send(result));
    }
}

// === impl Writer ===

struct Writer {
    conn: Connection,
    key: MasterKey,
    queue: mpsc::Receiver<Waiting>,
    counts: Arc<Counts>,
    /// Only in tests.
    oracle: Option<Oracle>,
    /// Requests of a process that died in the oracle's eyes: nobody hears of them while the ledger is open.
    unheard: Vec<Waiting>,
    /// Whether the transaction put a line into the outbox; and who hears of that.
    said: Cell<bool>,
    outbox: Arc<Notify>,
}

/// A request of the batch, and what befalls it.
struct Due {
    request: Waiting,
    fate: Fate,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            let first = self.due(first);
            batch.push(first);
            let commit = self.transaction(&mut batch);
            if let Err(error) = &commit {
                tracing::error!(requests = batch.len(), "the ledger could not commit: {error}");
            }
            if self.said.take() {
                self.outbox.notify_one();
            }
            for due in batch.drain(..) {
                match due.fate {
                    Fate::Kept => due.request.answer(commit.clone()),
                    Fate::Refused => due.request.answer(Err(StoreError::Full { operation: "commit" })),
                    Fate::DiesBefore | Fate::DiesAfter => self.unheard.push(due.request),
                }
            }
        }
    }

    fn due(&mut self, request: Waiting) -> Due {
        let fate = self.oracle.as_mut().map_or(Fate::Kept, |oracle| oracle());
        Due { request, fate }
    }

    /// Carries out the first request of the batch and whatever comes meanwhile, then commits.
    fn transaction(&mut self, batch: &mut Vec<Due>) -> Result<(), StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        let outcome = self.carry_out_all(batch).and_then(|()| self.execute("COMMIT"));
        if outcome.is_err() && !self.conn.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        self.counts.requests.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    fn carry_out_all(&mut self, batch: &mut Vec<Due>) -> Result<(), StoreError> {
        let mut done = 0;
        while done < batch.len() {
            let due = &mut batch[done];
            if matches!(due.fate, Fate::Kept | Fate::DiesAfter) {
                self.carry_out(&mut *due.request)?;
            }
            done += 1;
            if batch.len() < BATCH_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                let next = self.due(next);
                batch.push(next);
            }
        }
        Ok(())
    }

    fn carry_out(&self, request: &mut dyn Request) -> Result<(), StoreError> {
        self.execute("SAVEPOINT request")?;
        let keep =
            request.carry_out(&Tx { read: Read { conn: &self.conn, key: &self.key }, said: &self.said });
        // A full disk or an I/O error makes SQLite roll back everything, neighbours included.
        if self.conn.is_autocommit() {
            return Err(StoreError::Aborted);
        }
        if !keep {
            self.execute("ROLLBACK TO request")?;
        }
        self.execute("RELEASE request")
    }

    fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(StoreError::sql("prepare a commit"))?;
        statement.execute([]).map(drop).map_err(StoreError::sql("commit"))
    }
}

#[cfg(test)]
mod tests;

//! The reader threads: each takes the next request and runs it on one snapshot.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{MasterKey, Read, StoreError, writer::panic_message};

/// Gets the snapshot, or why there is none.
pub(crate) type Waiting = Box<dyn FnOnce(Result<&Read<'_>, StoreError>) + Send>;

pub(crate) fn request<T, E>(
    f: impl FnOnce(&Read<'_>) -> Result<T, E> + Send + 'static,
    reply: oneshot::Sender<Result<T, E>>,
) -> Waiting
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |snapshot| {
        let run = AssertUnwindSafe(|| f(snapshot?));
        let result = catch_unwind(run).unwrap_or_else(|panic| {
            let message = panic_message(&*panic);
            tracing::error!("a read request panicked: {message}");
            Err(StoreError::Panicked { message }.into())
        });
        // The caller may have stopped waiting.
        drop(reply.send(result));
    })
}

pub(crate) fn spawn(
    number: usize,
    conn: Connection,
    key: MasterKey,
    queue: Arc<Mutex<mpsc::Receiver<Waiting>>>,
) -> Result<JoinHandle<()>, StoreError> {
    conn.pragma_update(None, "query_only", true).map_err(StoreError::sql("set up a reader"))?;
    let thread = std::thread::Builder::new().name(format!("ledger-reader-{number}"));
    let spawned = thread.spawn(move || {
        while let Some(request) = next(&queue) {
            answer(&conn, &key, request);
        }
    });
    spawned.map_err(StoreError::file("start a thread for", "the ledger"))
}

/// One reader waits for the queue, the others for it.
fn next(queue: &Mutex<mpsc::Receiver<Waiting>>) -> Option<Waiting> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

/// The transaction makes several queries see the same moment; there is nothing to commit.
fn answer(conn: &Connection, key: &MasterKey, request: Waiting) {
    match rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Deferred) {
        Ok(_snapshot) => request(Ok(&Read { conn, key })),
        Err(error) => request(Err(StoreError::sql("begin to read")(error))),
    }
}

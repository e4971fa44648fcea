//! The ledger: everything that Renga remembers, in one SQLite file, and the only SQL in the tree.
//!
//! ```text
//!  write(closure) ──> bounded queue ──> writer thread:  BEGIN IMMEDIATE
//!  write(closure) ──>                                     SAVEPOINT  closure  RELEASE      (Ok)
//!  write(closure) ──>                                     SAVEPOINT  closure  ROLLBACK TO  (Err, panic)
//!                                                       COMMIT (one fsync) ──> answers to all
//!
//!  read(closure)  ──> bounded queue ──> two reader threads, each closure sees one snapshot
//! ```
//!
//! **Writing.** A transaction is a plain closure on the writer thread. Requests that wait together share one commit
//! and its fsync, each inside a savepoint of its own: an `Err` or a panic undoes one request and leaves its
//! neighbours alone. An answer is sent only after the commit, so what was answered survives a power cut. A caller
//! that stops waiting does not call its request back. Closures must not wait for anything outside the database.
//!
//! **Methods** put the noun first (`app_fetch`, `release_insert`). Queries are methods of [`Read`], changes of [`Tx`],
//! which is also a `Read`. `*_fetch` by id fails with [`StoreError::NotFound`], `*_find` by anything else answers
//! `None`, lists have one documented order. A change that depends on what was read belongs in the same closure; a
//! state moves by compare-and-set and loses as [`StoreError::Stale`].
//!
//! **Times** are kept in microseconds: what comes back has no nanoseconds.
//!
//! **Secrets.** Config vars of releases and the environment of one-off dynos are sealed with the [`MasterKey`]; of a
//! token only a hash and a mask are kept, of a password argon2id.
//!
//! **Outbox.** A line that tells a user of a change is said in the change's transaction ([`Tx::say`]) and waits here until
//! the app's log has it.
//!
//! The crate refuses to hold logs, metrics and heartbeats (they would starve the one writer), to be opened by two
//! processes, to open a ledger of a newer version, and to change or remove a release while its app exists. It knows
//! nothing of HTTP, and decides nothing: legal moves are `model`'s, what to do next is `planner`'s.

mod crypto;
mod error;
mod fate;
mod lock;
mod migrate;
mod nouns;
mod reader;
mod refusal;
mod row;
mod tx;
mod writer;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

pub use crypto::{MasterKey, PasswordHash, TokenValue, ValueHash};
pub use error::{OrNone, StoreError};
pub use fate::Fate;
pub use nouns::{BuildCache, Sleep, Slot, Source, Step, StepKey, StepState, StoredLetter, Told, TwoFactor};
pub use tx::{Read, Tx};
pub use writer::WriterCounts;

/// How many migrations the ledgers of this build have seen. One with more was written by a newer build.
pub const SCHEMA_VERSION: usize = migrate::MIGRATIONS.len();

/// Requests that wait for the writer, and for the readers; more callers wait before the queue.
const QUEUE_MAX: usize = 1_024;
/// Threads that read, each with its own connection.
const READERS: usize = 2;
/// How long SQLite waits for a lock that somebody outside holds (an operator's `sqlite3` shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: more than there are in this crate.
const STATEMENTS_KEPT: usize = 256;
/// The write-ahead log is cut back to this size after a checkpoint.
const WAL_BYTES_KEPT: i64 = 16 * 1024 * 1024;

/// The open ledger. Clones share it; it closes (queues emptied, file checkpointed, lock released) with the last one.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` only while closing.
    writer: Option<mpsc::Sender<writer::Waiting>>,
    readers: Option<mpsc::Sender<reader::Waiting>>,
    threads: Vec<JoinHandle<()>>,
    counts: Arc<writer::Counts>,
    outbox: Arc<Notify>,
    path: PathBuf,
    /// Released last, when the threads have closed their connections.
    _lock: lock::Lock,
}

impl Store {
    /// Opens the ledger file `path`, making it (and its folder) if it is not there, and brings it up to date. The
    /// folder is locked for as long as the store is open.
    pub fn open(path: &Path, key: MasterKey) -> Result<Self, StoreError> {
        Self::open_inner(path, key, None)
    }

    /// The same for fault tests: `oracle` says what befalls each write request (see [`Fate`]).
    pub fn open_with_oracle(
        path: &Path,
        key: MasterKey,
        oracle: impl FnMut() -> Fate + Send + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_inner(path, key, Some(Box::new(oracle)))
    }

    fn open_inner(path: &Path, key: MasterKey, oracle: Option<fate::Oracle>) -> Result<Self, StoreError> {
        let lock = prepare_folder(path)?;
        let mut conn = connect(path)?;
        migrate::up(&mut conn, path)?;
        check_key(&conn, &key)?;

        let counts = Arc::new(writer::Counts::default());
        let (writer, queue) = mpsc::channel(QUEUE_MAX);
        let outbox = Arc::new(Notify::new());
        let writing = writer::spawn(conn, key.clone(), queue, counts.clone(), oracle, outbox.clone())?;
        let mut threads = vec![writing];
        let (readers, queue) = mpsc::channel(QUEUE_MAX);
        let queue = Arc::new(std::sync::Mutex::new(queue));
        for number in 0..READERS {
            threads.push(reader::spawn(number, connect(path)?, key.clone(), queue.clone())?);
        }
        let (writer, readers) = (Some(writer), Some(readers));
        Ok(Self {
            inner: Arc::new(Inner {
                writer,
                readers,
                threads,
                counts,
                outbox,
                path: path.into(),
                _lock: lock,
            }),
        })
    }

    /// Runs `f` in a transaction and answers when that is safely on the disk. `Err` and panics leave no trace.
    pub async fn write<T, E>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.inner.writer.as_ref().ok_or(StoreError::Closed)?;
        queue.send(writer::request(f, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs `f` on a snapshot that holds at least everything that was answered before the call.
    pub async fn read<T, E>(&self, f: impl FnOnce(&Read<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.inner.readers.as_ref().ok_or(StoreError::Closed)?;
        queue.send(reader::request(f, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Copies the ledger as it is at one moment to `target` (mode 0600, replaced atomically) while work goes on.
    /// The copy is sealed with the same master key, which it does not contain.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let (source, target) = (self.inner.path.clone(), target.to_owned());
        let copied = tokio::task::spawn_blocking(move || migrate::backup(&source, &target)).await;
        copied.unwrap_or_else(|error| Err(StoreError::Panicked { message: error.to_string() }))
    }

    /// The same of a ledger that this process has not opened, whether another one has or not.
    pub fn snapshot(ledger: &Path, target: &Path) -> Result<(), StoreError> {
        migrate::backup(ledger, target)
    }

    /// How many migrations the ledger at `path` has seen; none if there is no ledger yet.
    pub fn schema_of(path: &Path) -> Result<Option<usize>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let conn = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(StoreError::sql("open the ledger"))?;
        migrate::version(&conn, path).map(Some)
    }

    /// Returns when lines have come into the outbox since the last call. For one waiter.
    pub async fn outbox_filled(&self) {
        self.inner.outbox.notified().await;
    }

    /// How many write requests there were, and how many commits they took.
    pub fn writer_counts(&self) -> WriterCounts {
        self.inner.counts.read()
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop((self.writer.take(), self.readers.take()));
        for thread in self.threads.drain(..) {
            // The last clone may die inside a closure; that thread ends by itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
    }
}

// === opening ===

fn prepare_folder(path: &Path) -> Result<lock::Lock, StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(StoreError::file("make the folder", folder))?;
    let lock = lock::Lock::take(&folder.join("lock"))?;
    // SQLite would make it readable to the world; its side files take over the mode.
    let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.map_err(StoreError::file("make", path))?;
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::file("sync", folder))?;
    Ok(lock)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let conn = Connection::open(path).map_err(StoreError::sql("open the ledger"))?;
    let set = || {
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        conn.pragma_update(None, "trusted_schema", false)?;
        conn.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
    };
    set().map_err(StoreError::sql("set up the ledger"))?;
    Ok(conn)
}

/// A ledger whose key was lost must not be written on with a new one.
fn check_key(conn: &Connection, key: &MasterKey) -> Result<(), StoreError> {
    const WHAT: &str = "key_check.sealed";
    const PLAIN: &[u8] = b"renga";
    let found = conn.query_row("SELECT sealed FROM key_check", [], |row| row.get::<_, Vec<u8>>(0));
    match found {
        Ok(sealed) => match key.open(WHAT, &[], &sealed) {
            Ok(plain) if plain == PLAIN => Ok(()),
            _ => Err(StoreError::WrongKey),
        },
        Err(rusqlite::Error::QueryReturnedNoRows) => conn
            .execute("INSERT INTO key_check (id, sealed) VALUES (1, ?1)", [key.seal(WHAT, &[], PLAIN)])
            .map(drop)
            .map_err(StoreError::sql("insert the key check")),
        Err(error) => Err(StoreError::sql("read the key check")(error)),
    }
}

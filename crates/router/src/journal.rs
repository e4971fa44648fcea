//! One line per request, in Heroku's words, into segment files that the server reads.
//!
//! ```text
//! thread's buffer ──every 20 ms, or full──> bounded queue ──one writer thread──> directory/log/*.seg
//!                                               ├─full─> counted per app, told as L12 before the app's next line
//!                            a predecessor's ──>┘             └─has a successor─> its queue
//! ```
//!
//! A request never waits for its line. A crash of the router loses what is in the buffers, some 20 ms of lines.
//! A record's tag is the app's id, its data the line.

mod scribe;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use renga_model::AppId;
use renga_supervision::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub(crate) use self::scribe::{StartError, start};
use crate::table::lock;

/// The record's stream: neither output of a process, but the router's word.
pub(crate) const STREAM: Stream = Stream::Other(3);
/// A thread's buffer goes to the queue when it holds this much, or after this time.
const BATCH_BYTES: usize = 64 * 1024;
pub(crate) const BATCH_TIME: Duration = Duration::from_millis(20);
/// Batches in the queue: 16 MiB of lines.
const QUEUE_BATCHES_MAX: usize = 256;
/// Apps whose loss is counted on its own at one time; of further ones the lines go uncounted into the first's warning.
const LOST_APPS_MAX: usize = 10_000;
/// Lines of one thread, end to end in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    app: AppId,
    at: Timestamp,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    count: u64,
    since: Timestamp,
}

type Losses = Arc<Mutex<BTreeMap<AppId, Loss>>>;

/// Lines on their way from a router that drains to its successor: of each its app, its time in microseconds since 1970,
/// and where it ends.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lines {
    lines: Vec<(AppId, i64, usize)>,
    /// In base64: a line need not be UTF-8.
    text: String,
}

#[derive(Debug)]
enum Item {
    Batch(Batch),
    /// There is an order.
    Look,
}

/// What the writer is told besides lines; they do not wait in the queue.
#[derive(Debug, Default)]
struct Orders {
    /// A successor writes from now on.
    let_go: AtomicBool,
    /// What is in the queue is the last.
    end: AtomicBool,
}

/// The queue's sending end.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: SyncSender<Item>,
    orders: Arc<Orders>,
    losses: Losses,
    /// All that were ever lost.
    pub(crate) lost: Arc<AtomicU64>,
}

/// A thread's end of the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    queue: Queue,
    batch: RefCell<Batch>,
    /// Wakes the thread's flusher when the buffer gets its first line.
    pub(crate) begun: Notify,
}

// === impl Journal ===

impl Journal {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, batch: RefCell::default(), begun: Notify::new() }
    }

    /// Appends the line that `write` writes.
    pub(crate) fn line(&self, app: AppId, at: Timestamp, write: impl FnOnce(&mut Vec<u8>)) {
        let mut batch = self.batch.borrow_mut();
        write(&mut batch.text);
        let end = batch.text.len();
        batch.lines.push(Line { app, at, end });
        if batch.lines.len() == 1 {
            self.begun.notify_one();
        }
        if end >= BATCH_BYTES {
            drop(batch);
            self.flush();
        }
    }

    /// Hands the buffer to the queue. For ever, this is the flusher's whole work: wait for a line, a moment, flush.
    pub(crate) fn flush(&self) {
        let batch = self.batch.take();
        if !batch.lines.is_empty() {
            self.queue.send(batch);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Queue {
    fn send(&self, batch: Batch) {
        if let Err(TrySendError::Full(item) | TrySendError::Disconnected(item)) =
            self.sender.try_send(Item::Batch(batch))
            && let Item::Batch(batch) = item
        {
            count_lost(&self.losses, &batch);
            self.lost.fetch_add(batch.lines.len() as u64, Ordering::Relaxed);
        }
    }

    /// Takes a predecessor's lines. What there is no room for is counted as our own would be.
    pub(crate) fn take(&self, lines: &Lines) -> Result<(), &'static str> {
        let batch = Batch::try_from(lines)?;
        if !batch.lines.is_empty() {
            self.send(batch);
        }
        Ok(())
    }

    /// A successor writes the journal from now on, and takes our lines.
    pub(crate) fn let_go(&self) {
        self.order(&self.orders.let_go);
    }

    /// No more lines will come.
    pub(crate) fn end(&self) {
        self.order(&self.orders.end);
    }

    fn order(&self, order: &AtomicBool) {
        order.store(true, Ordering::SeqCst);
        // A full queue has the writer looking anyway.
        _ = self.sender.try_send(Item::Look);
    }
}

// === lines between routers ===

impl From<&Batch> for Lines {
    fn from(batch: &Batch) -> Self {
        let lines = batch.lines.iter().map(|line| (line.app, line.at.as_microsecond(), line.end));
        Self { lines: lines.collect(), text: BASE64_STANDARD.encode(&batch.text) }
    }
}

impl TryFrom<&Lines> for Batch {
    type Error = &'static str;
    fn try_from(lines: &Lines) -> Result<Self, Self::Error> {
        let text = BASE64_STANDARD.decode(&lines.text).map_err(|_| "the lines are not base64")?;
        let mut batch = Self { text, lines: Vec::with_capacity(lines.lines.len()) };
        let mut start = 0;
        for (app, at_us, end) in &lines.lines {
            if *end < start || *end > batch.text.len() {
                return Err("the lines do not lie end to end");
            }
            start = *end;
            let at = Timestamp::from_microsecond(*at_us).map_err(|_| "a line's time is none")?;
            batch.lines.push(Line { app: *app, at, end: *end });
        }
        Ok(batch)
    }
}

fn count_lost(losses: &Losses, batch: &Batch) {
    let mut losses = lock(losses);
    for line in &batch.lines {
        if losses.len() < LOST_APPS_MAX || losses.contains_key(&line.app) {
            losses.entry(line.app).or_insert(Loss { count: 0, since: line.at }).count += 1;
        } else if let Some(mut any) = losses.first_entry() {
            any.get_mut().count += 1;
        }
    }
}

//! One line per request, in Heroku's words, into segment files that the server reads.
//!
//! ```text
//! thread's buffer ──every 20 ms, or full──> bounded queue ──one writer thread──> directory/log/*.seg
//!                                               └─full─> counted per app, told as L12 before the app's next line
//! ```
//!
//! A request never waits for its line. A crash of the router loses what is in the buffers, some 20 ms of lines.
//! A record's tag is the app's id, its data the line.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use jiff::Timestamp;
use renga_model::AppId;
use renga_supervision::{LineEnd, NewRecord, SegmentError, SegmentWriter, Stream};
use tokio::sync::Notify;

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
/// How often the writer looks for losses to tell when no line comes.
const TELL_INTERVAL: Duration = Duration::from_millis(500);

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

/// The queue's sending end.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sender: SyncSender<Batch>,
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
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.sender.try_send(batch)
        {
            count_lost(&self.losses, &batch);
            self.lost.fetch_add(batch.lines.len() as u64, Ordering::Relaxed);
        }
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

// === the writer thread ===

/// Starts the writer. It ends when every [`Queue`] is gone.
pub(crate) fn start(writer: SegmentWriter) -> std::io::Result<(Queue, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(QUEUE_BATCHES_MAX);
    let losses = Losses::default();
    let mut scribe = Scribe { writer, losses: losses.clone(), failing: false };
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || scribe.run(&receiver))?;
    Ok((Queue { sender, losses, lost: Arc::default() }, thread))
}

struct Scribe {
    writer: SegmentWriter,
    losses: Losses,
    /// The last write failed; said once, not per batch.
    failing: bool,
}

impl Scribe {
    fn run(&mut self, receiver: &Receiver<Batch>) {
        loop {
            match receiver.recv_timeout(TELL_INTERVAL) {
                Ok(batch) => {
                    self.write(&batch);
                    while let Ok(batch) = receiver.try_recv() {
                        self.write(&batch);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell();
            self.flush();
        }
        self.tell();
        self.flush();
    }

    fn write(&mut self, batch: &Batch) {
        self.tell();
        let mut start = 0;
        for line in &batch.lines {
            self.append(line.app, line.at, &batch.text[start..line.end]);
            start = line.end;
        }
    }

    /// Says what was lost before anything newer is said.
    fn tell(&mut self) {
        let losses = std::mem::take(&mut *lock(&self.losses));
        for (app, loss) in losses {
            let since = loss.since.strftime("%Y-%m-%dT%H:%M:%S+00:00");
            let line = format!("Error L12: {} messages dropped since {since}.", loss.count);
            self.append(app, loss.since, line.as_bytes());
        }
    }

    fn append(&mut self, app: AppId, at: Timestamp, data: &[u8]) {
        let record = NewRecord {
            at_us: at.as_microsecond(),
            stream: STREAM,
            end: LineEnd::Complete,
            tag: app.uuid().into_bytes(),
            data,
        };
        let result = self.writer.append(&record);
        self.note(result);
    }

    fn flush(&mut self) {
        let result = self.writer.flush();
        self.note(result);
    }

    /// The numbers of records that could not be written are skipped, so the reader sees that and how many.
    fn note<T>(&mut self, result: Result<T, SegmentError>) {
        match result {
            Ok(_) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(error = &error as &dyn std::error::Error, "request lines are being lost");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use renga_supervision::{Access, Entry, SegmentConfig, SegmentReader};

    use super::*;

    #[test]
    fn what_a_full_queue_drops_is_counted_and_told_first() {
        let app = AppId::random();
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let (sender, receiver) = sync_channel(1);
        let queue = Queue { sender, losses: Losses::default(), lost: Arc::default() };
        let journal = Journal::new(queue.clone());
        for line in ["first", "second", "third"] {
            journal.line(app, at, |text| text.extend_from_slice(line.as_bytes()));
            journal.flush();
        }
        assert_eq!(queue.lost.load(Ordering::Relaxed), 2);
        let directory = tempfile::tempdir().unwrap();
        let config = SegmentConfig {
            directory: directory.path().to_owned(),
            segment_bytes_max: 1 << 20,
            total_bytes_max: 1 << 22,
            access: Access::Group,
        };
        let writer = SegmentWriter::open(config).unwrap();
        let mut scribe = Scribe { writer, losses: queue.losses.clone(), failing: false };
        drop((journal, queue));
        scribe.run(&receiver);
        let mut reader = SegmentReader::open(directory.path(), 0).unwrap();
        let mut lines = Vec::new();
        while let Some(Entry::Record(record)) = reader.next_entry().unwrap() {
            assert_eq!((record.tag, record.at_us), (app.uuid().into_bytes(), at.as_microsecond()));
            lines.push(String::from_utf8(record.data).unwrap());
        }
        assert_eq!(lines, ["Error L12: 2 messages dropped since 2026-01-02T03:04:05+00:00.", "first"]);
    }
}

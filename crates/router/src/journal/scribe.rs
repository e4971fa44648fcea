//! The journal's writer: one thread, which alone among all routers of the directory appends to the segments. A router
//! that has a successor gives its lines to that one; should the successor be gone, it writes again itself.
//!
//! ```text
//! Awaited ──the lock is free──> Files ──let go──> Successor ──nobody listens, the lock is free──> Files
//!    └────────────────let go───────────────────────^
//! ```

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use renga_supervision::{LineEnd, NewRecord, SegmentConfig, SegmentError, SegmentWriter};

use super::{Batch, Item, Line, Lines, Losses, Orders, QUEUE_BATCHES_MAX, Queue, STREAM};
use crate::{
    control::{Ask, Reply},
    frame,
    table::lock,
};

/// How often the writer looks for losses to tell when no line comes.
const TELL_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks at a lock that another router has, or for a successor that is not there.
const LOOK: Duration = Duration::from_millis(10);
/// A successor that does not take lines in this time counts as gone.
const TAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A router that ends waits for this long for the lock, or somebody who takes its last lines.
const END_MAX: Duration = Duration::from_secs(5);
/// Lines of one message, and the answer to it, in bytes.
const LINES_BYTES_MAX: u32 = 16 * 1024 * 1024;
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// Starts the writer. It ends when it is told to, or every [`Queue`] is gone. `control`: where a successor listens.
pub(crate) fn start(
    segments: SegmentConfig,
    control: PathBuf,
) -> Result<(Queue, JoinHandle<()>), StartError> {
    let (sender, receiver) = sync_channel(QUEUE_BATCHES_MAX);
    let (losses, orders) = (Losses::default(), Arc::<Orders>::default());
    let mut scribe = Scribe {
        sink: Sink::Awaited,
        segments,
        control,
        orders: orders.clone(),
        losses: losses.clone(),
        ends_at: None,
        failing: false,
    };
    // What is wrong for good shows now.
    scribe.open().map_err(StartError::Segments)?;
    let run = move || scribe.run(&receiver);
    let thread = std::thread::Builder::new().name("journal".into()).spawn(run).map_err(StartError::Thread)?;
    Ok((Queue { sender, orders, losses, lost: Arc::default() }, thread))
}

#[derive(Debug)]
pub(crate) enum StartError {
    Segments(SegmentError),
    Thread(io::Error),
}

pub(super) struct Scribe {
    sink: Sink,
    segments: SegmentConfig,
    control: PathBuf,
    orders: Arc<Orders>,
    losses: Losses,
    /// After the order to end.
    ends_at: Option<Instant>,
    /// The last write failed; said once, not per batch.
    failing: bool,
}

#[derive(Debug)]
enum Sink {
    /// Another router has the lock still.
    Awaited,
    Files(SegmentWriter),
    Successor(Option<UnixStream>),
}

impl Scribe {
    pub(super) fn run(&mut self, receiver: &Receiver<Item>) {
        loop {
            // Looked at before the queue: what was sent before the order is in there.
            let last = self.ends();
            self.settle();
            match receiver.recv_timeout(if last { Duration::ZERO } else { TELL_INTERVAL }) {
                Ok(item) => {
                    self.take(item);
                    while let Ok(item) = receiver.try_recv() {
                        self.take(item);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell();
            self.flush();
            if last {
                break;
            }
        }
        self.tell();
        self.flush();
    }

    fn take(&mut self, item: Item) {
        self.obey();
        if let Item::Batch(batch) = item {
            self.tell();
            self.deliver(&batch);
        }
    }

    /// Says what was lost before anything newer is said.
    fn tell(&mut self) {
        let losses = std::mem::take(&mut *lock(&self.losses));
        let mut batch = Batch::default();
        for (app, loss) in losses {
            let since = loss.since.strftime("%Y-%m-%dT%H:%M:%S+00:00");
            _ = write!(batch.text, "Error L12: {} messages dropped since {since}.", loss.count);
            batch.lines.push(Line { app, at: loss.since, end: batch.text.len() });
        }
        if !batch.lines.is_empty() {
            self.deliver(&batch);
        }
    }

    // === who writes ===

    fn ends(&mut self) -> bool {
        let ends = self.orders.end.load(Ordering::SeqCst);
        if ends && self.ends_at.is_none() {
            self.ends_at = Some(Instant::now());
        }
        ends
    }

    /// Nobody waits for ever for a router that ends.
    fn gives_up(&mut self) -> bool {
        self.ends();
        self.ends_at.is_some_and(|at| at.elapsed() > END_MAX)
    }

    fn obey(&mut self) {
        if self.orders.let_go.swap(false, Ordering::SeqCst) {
            self.flush();
            self.sink = Sink::Successor(None);
        }
    }

    /// Waits until it is known who writes. The queue holds what comes meanwhile.
    fn settle(&mut self) {
        self.obey();
        while matches!(self.sink, Sink::Awaited) {
            let opened = self.open();
            self.note(opened);
            if matches!(self.sink, Sink::Awaited) {
                if self.gives_up() {
                    self.sink = Sink::Successor(None);
                }
                sleep(LOOK);
            }
            self.obey();
        }
    }

    /// Writes from now on, unless another router does.
    fn open(&mut self) -> Result<(), SegmentError> {
        if let Some(writer) = SegmentWriter::open_alone(self.segments.clone())? {
            self.sink = Sink::Files(writer);
        }
        Ok(())
    }

    // === writing ===

    fn deliver(&mut self, batch: &Batch) {
        loop {
            let given = match &mut self.sink {
                Sink::Files(_) => return self.append_all(batch),
                Sink::Awaited => Err(io::ErrorKind::ConnectionRefused.into()),
                Sink::Successor(_) => self.give(batch),
            };
            let Err(error) = given else { return };
            if self.gives_up() {
                let lines = batch.lines.len();
                return tracing::error!(%error, lines, "nobody took the last lines of requests");
            }
            // The same again would be refused again.
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) {
                let lines = batch.lines.len();
                return tracing::error!(%error, lines, "the successor does not take lines of requests");
            }
            // Nobody listens: the successor is gone, and the journal without a writer. Another may be about to come.
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) {
                let opened = self.open();
                self.note(opened);
            }
            if !matches!(self.sink, Sink::Files(_)) {
                sleep(LOOK);
            }
            self.obey();
        }
    }

    /// To the successor, which has it when it says so. A link that it has ended between two questions says that it has
    /// a successor of its own by now.
    fn give(&mut self, batch: &Batch) -> io::Result<()> {
        let message = frame::encode(&Ask::Lines(&Lines::from(batch)), LINES_BYTES_MAX)?;
        let Sink::Successor(link) = &mut self.sink else { return Ok(()) };
        if let Some(stream) = link.take()
            && let Ok(stream) = ask(stream, &message)
        {
            *link = Some(stream);
            return Ok(());
        }
        let stream = UnixStream::connect(&self.control)?;
        stream.set_read_timeout(Some(TAKE_TIMEOUT))?;
        stream.set_write_timeout(Some(TAKE_TIMEOUT))?;
        *link = Some(ask(stream, &message)?);
        Ok(())
    }

    fn append_all(&mut self, batch: &Batch) {
        let mut start = 0;
        for line in &batch.lines {
            let record = NewRecord {
                at_us: line.at.as_microsecond(),
                stream: STREAM,
                end: LineEnd::Complete,
                tag: line.app.uuid().into_bytes(),
                data: &batch.text[start..line.end],
            };
            start = line.end;
            let Sink::Files(writer) = &mut self.sink else { return };
            let result = writer.append(&record);
            self.note(result);
        }
    }

    fn flush(&mut self) {
        if let Sink::Files(writer) = &mut self.sink {
            let result = writer.flush();
            self.note(result);
        }
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

fn ask(mut stream: UnixStream, message: &[u8]) -> io::Result<UnixStream> {
    stream.write_all(message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    match serde_json::from_slice(&answer)? {
        Reply::Taken => Ok(stream),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use jiff::Timestamp;
    use renga_model::AppId;
    use renga_supervision::{Access, Entry, SegmentReader};

    use super::{super::Journal, *};

    #[test]
    fn what_a_full_queue_drops_is_counted_and_told_first() {
        let app = AppId::random();
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let (sender, receiver) = sync_channel(1);
        let (losses, orders, lost) = (Losses::default(), Arc::default(), Arc::<AtomicU64>::default());
        let queue = Queue { sender, orders, losses, lost };
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
        let mut scribe = Scribe {
            sink: Sink::Awaited,
            segments: config,
            control: directory.path().join("control.sock"),
            orders: queue.orders.clone(),
            losses: queue.losses.clone(),
            ends_at: None,
            failing: false,
        };
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

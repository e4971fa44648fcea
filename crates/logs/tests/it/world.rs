//! Directories as the platform has them, and the writers that fill them.

use std::{path::Path, time::Duration};

use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use renga_logs::{Config, Limits, LogStore};
use renga_model::{AppId, DynoId, Exit, ExitReason, LogFilter, LogLine, LogSource};
use renga_ports::{LogEntry, LogStream, Logs};
use renga_supervision::{
    Access, DynoDirectory, LineEnd, NO_TAG, NewRecord, SegmentConfig, SegmentWriter, Stream as Output,
};
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) limits: Limits,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), limits: limits() }
    }

    /// For tests that look at every line ever written.
    pub(crate) fn keeping_all() -> Self {
        let limits = Limits { lines_kept_min: 1_000_000, ..limits() };
        Self { limits, ..Self::new() }
    }

    pub(crate) fn config(&self) -> Config {
        config(self.directory.path(), self.limits)
    }

    pub(crate) fn open(&self) -> LogStore {
        LogStore::new(self.config()).unwrap()
    }

    pub(crate) fn dyno(&self, dyno: DynoId) -> DynoDirectory {
        DynoDirectory::new(self.config().dynos.join(dyno.to_string()))
    }

    pub(crate) fn writer(&self, dyno: DynoId) -> SegmentWriter {
        segments(&self.dyno(dyno).log(), 64 << 20)
    }

    pub(crate) fn router(&self) -> SegmentWriter {
        segments(&self.config().router, 64 << 20)
    }

    pub(crate) fn exit(&self, dyno: DynoId) {
        let exit = Exit::new(0, ExitReason::Exited, Timestamp::now());
        self.dyno(dyno).write_exit(&exit).unwrap();
    }
}

/// The standard ones, without patience for outputs that do not exist.
pub(crate) fn limits() -> Limits {
    Limits { output_wait_max: Duration::ZERO, ..Limits::default() }
}

pub(crate) fn config(directory: &Path, limits: Limits) -> Config {
    Config {
        root: directory.join("logs"),
        outputs: directory.join("outputs"),
        dynos: directory.join("node/dynos"),
        router: directory.join("router/log"),
        limits,
    }
}

pub(crate) fn segments(directory: &Path, total_bytes_max: u64) -> SegmentWriter {
    let config = SegmentConfig {
        directory: directory.to_owned(),
        segment_bytes_max: 1 << 20,
        total_bytes_max,
        access: Access::Group,
    };
    SegmentWriter::open(config).unwrap()
}

pub(crate) fn say(writer: &mut SegmentWriter, data: impl AsRef<[u8]>) {
    tagged(writer, NO_TAG, data);
}

pub(crate) fn tagged(writer: &mut SegmentWriter, tag: [u8; 16], data: impl AsRef<[u8]>) {
    let record = NewRecord {
        at_us: Timestamp::now().as_microsecond(),
        stream: Output::Stdout,
        end: LineEnd::Complete,
        tag,
        data: data.as_ref(),
    };
    writer.append(&record).unwrap();
    writer.flush().unwrap();
}

pub(crate) fn line(source: LogSource, ps: &str, text: impl Into<String>) -> LogLine {
    LogLine { at: Timestamp::now(), source, ps: ps.into(), text: text.into() }
}

/// `app[web.1]: text`, without the time.
pub(crate) fn shown(entry: &LogEntry) -> String {
    let LogLine { source, ps, text, .. } = &entry.line;
    format!("{}[{ps}]: {text}", source.as_str())
}

pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    tokio::time::timeout(DEADLINE, stream.next()).await.expect("something comes in time")
}

pub(crate) async fn take(stream: &mut LogStream, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(shown(&next(stream).await.expect("the session goes on")));
    }
    taken
}

/// A session without `tail`, to its end.
pub(crate) async fn backlog(store: &LogStore, app: AppId, lines: usize) -> Vec<LogEntry> {
    let mut session = store.session(app, LogFilter::default(), lines, false, None).await.unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = next(&mut session).await {
        entries.push(entry);
    }
    entries
}

pub(crate) async fn texts(store: &LogStore, app: AppId) -> Vec<String> {
    backlog(store, app, usize::MAX).await.iter().map(shown).collect()
}

/// Waits for a condition, with a deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn drained(store: &LogStore, dyno: DynoId) {
    tokio::time::timeout(DEADLINE, store.drained(dyno)).await.expect("drained in time").unwrap();
}

//! The log port: one stream of lines per app, and the outputs of builds and release commands.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use renga_model::{AppId, DynoId, LogFilter, LogLine, NumberedLine};

/// A bounded stream of entries; ends by itself unless the session tails.
pub type LogStream = Pin<Box<dyn futures_core::Stream<Item = LogEntry> + Send>>;
pub type OutputStream = Pin<Box<dyn futures_core::Stream<Item = Bytes> + Send>>;

#[async_trait]
pub trait Logs: Send + Sync + 'static {
    /// Appends a line of the platform that tells of no change. Never waits: when the queue is full, the loss is counted
    /// and told (L-code).
    fn write(&self, app: AppId, line: LogLine);

    /// Appends lines of the platform, each to its app's log, and returns when they are there. One whose number is not
    /// above the last that the log has is skipped, so that whoever dies before he heard of it may come again.
    async fn tell(&self, lines: Vec<NumberedLine>) -> Result<(), LogsError>;

    /// Follows the output segments of a dyno into the app's log as `app[ps]`, from where it stopped last time.
    /// Calling it again for a dyno that is followed changes nothing.
    fn follow_dyno(&self, app: AppId, dyno: DynoId, ps: &str);

    /// Follows the output segments of a dyno into the output `name` instead (a build, a release command).
    fn follow_output(&self, name: &str, dyno: DynoId);

    /// Returns when everything that an **exited** dyno wrote has been taken over; then it may be forgotten.
    async fn drained(&self, dyno: DynoId) -> Result<(), LogsError>;

    /// Lines of an app: the newest `lines` that the filter admits, then, with `tail`, what comes. `after` resumes
    /// behind an entry's id instead.
    async fn session(
        &self,
        app: AppId,
        filter: LogFilter,
        lines: usize,
        tail: bool,
        after: Option<u64>,
    ) -> Result<LogStream, LogsError>;

    /// Appends text to an output under a step number of the engine; a step that is not above the last one written is
    /// skipped, so that a resumed workflow does not print twice.
    async fn output_append(&self, name: &str, step: u64, text: &str) -> Result<(), LogsError>;
    /// No more will come; readers end. Finishing again is fine.
    async fn output_finish(&self, name: &str) -> Result<(), LogsError>;
    /// From the start to the finish, live; any number of readers, also long after the end.
    async fn output_read(&self, name: &str) -> Result<OutputStream, LogsError>;
    async fn output_remove(&self, name: &str) -> Result<(), LogsError>;
    /// Every output that is kept, in no order.
    async fn outputs(&self) -> Result<Vec<OutputInfo>, LogsError>;

    /// Everything of an app goes. Lines of it that come later are dropped: a pass may still be telling of its end.
    async fn app_remove(&self, app: AppId) -> Result<(), LogsError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Grows within an app; `Last-Event-ID` of the event stream.
    pub id: u64,
    pub line: LogLine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputInfo {
    pub name: String,
    /// What it takes on disk.
    pub bytes: u64,
    pub changed_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("there is no output {0}")]
    NoSuchOutput(String),
    #[error("could not {operation} the log")]
    Io {
        operation: &'static str,
        #[source]
        cause: std::io::Error,
    },
}

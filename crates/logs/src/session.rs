//! Log sessions: the newest lines, then what comes. A session reads the journal at its own pace; only one that falls
//! behind what is kept loses lines, and is told how many.

use std::{collections::VecDeque, io, path::PathBuf};

use jiff::Timestamp;
use renga_model::{AppId, LogFilter, LogLine, LogSource};
use renga_ports::{LogEntry, LogStream, LogsError};
use tokio::sync::watch;

use crate::{
    journal::{Item, JournalReader},
    line,
    output::blocking,
};

/// Entries that one look takes from the journal at most.
const LOOK_ENTRIES_MAX: usize = 512;
/// Lines that one session may ask for; more would be more than is kept.
const LINES_MAX: usize = 20_000;

pub(crate) struct Wanted {
    pub(crate) app: AppId,
    pub(crate) directory: PathBuf,
    pub(crate) filter: LogFilter,
    pub(crate) lines: usize,
    pub(crate) tail: bool,
    pub(crate) after: Option<u64>,
}

struct Session {
    app: AppId,
    filter: LogFilter,
    tail: bool,
    reader: JournalReader,
    ready: VecDeque<LogEntry>,
    /// None once no more wake-ups can come.
    wake: Option<watch::Receiver<()>>,
    /// Of the last line seen, whether shown or not.
    last_at: Option<Timestamp>,
}

/// `wake` must have been subscribed before this looks for the first time.
pub(crate) async fn open(wanted: Wanted, wake: Option<watch::Receiver<()>>) -> Result<LogStream, LogsError> {
    let session = blocking("open", move || Session::open(wanted, wake)).await?;
    Ok(Box::pin(futures_util::stream::unfold(session, Session::next)))
}

impl Session {
    fn open(wanted: Wanted, wake: Option<watch::Receiver<()>>) -> io::Result<Self> {
        let Wanted { app, directory, filter, lines, tail, after } = wanted;
        let reader = match after {
            Some(after) => JournalReader::open(&directory, after)?,
            None => JournalReader::open_oldest(&directory)?,
        };
        let mut session = Self { app, filter, tail, reader, ready: VecDeque::new(), wake, last_at: None };
        if after.is_none() {
            session.read_backlog(lines.min(LINES_MAX))?;
        }
        Ok(session)
    }

    /// Everything that is there by now, of which the newest lines stay.
    fn read_backlog(&mut self, lines: usize) -> io::Result<()> {
        while self.look(LOOK_ENTRIES_MAX)? {
            let excess = self.ready.len().saturating_sub(lines);
            self.ready.drain(..excess);
        }
        let excess = self.ready.len().saturating_sub(lines);
        self.ready.drain(..excess);
        Ok(())
    }

    async fn next(mut self) -> Option<(LogEntry, Self)> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some((entry, self));
            }
            if let Some(wake) = &mut self.wake {
                wake.borrow_and_update();
            }
            let looked = tokio::task::spawn_blocking(move || {
                let result = self.look(LOOK_ENTRIES_MAX);
                (self, result)
            });
            let (session, result) = looked.await.ok()?;
            self = session;
            let more = result
                .inspect_err(|error| {
                    tracing::warn!(error = %error, app.id = %self.app, "could not read a log");
                })
                .ok()?;
            if more || !self.ready.is_empty() {
                continue;
            }
            if !self.tail {
                return None;
            }
            self.wake.as_mut()?.changed().await.ok()?;
        }
    }

    /// Whether there may be more.
    fn look(&mut self, entries_max: usize) -> io::Result<bool> {
        for _ in 0..entries_max {
            match self.reader.next_item()? {
                None => return Ok(false),
                Some(Item::Lost(count)) => self.tell_loss(count),
                Some(Item::Record(record)) => {
                    let Some(line) = line::decode(&record.payload) else { continue };
                    self.last_at = Some(line.at);
                    if self.filter.admits(&line) {
                        self.ready.push_back(LogEntry { id: record.id, line });
                    }
                }
            }
        }
        Ok(true)
    }

    /// The count is of all the app's lines: which of them the filter would have shown, nobody knows any more.
    fn tell_loss(&mut self, count: u64) {
        let since = self.last_at.map(|at| format!(" since {}", line::shown(at))).unwrap_or_default();
        let text =
            format!("Error L11 (Tail buffer overflow) -> This tail session dropped {count} messages{since}.");
        let at = self.last_at.unwrap_or(Timestamp::UNIX_EPOCH);
        let line = LogLine { at, source: LogSource::Heroku, ps: "logplex".into(), text };
        self.ready.push_back(LogEntry { id: self.reader.last_id(), line });
    }
}

//! What callers leave for the hub. Nobody waits to put something in.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use renga_model::{AppId, DynoId, LogLine, NumberedLine};
use renga_ports::LogsError;
use tokio::sync::{Notify, oneshot};

use crate::output::OutputName;

#[derive(Debug)]
pub(crate) struct Inbox {
    content: Mutex<Content>,
    pub(crate) filled: Notify,
    lines_max: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) lines: VecDeque<(AppId, LogLine)>,
    /// Lines that found no room, per app. Bounded by the apps that there are.
    pub(crate) losses: BTreeMap<AppId, Loss>,
    pub(crate) follows: Vec<(DynoId, Target)>,
    pub(crate) asks: Vec<Ask>,
    /// Dynos that the hub follows or is about to: asking again costs nothing.
    followed: HashSet<DynoId>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    pub(crate) count: u64,
    pub(crate) since: Timestamp,
}

/// Where a source's records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Log {
        app: AppId,
        ps: String,
    },
    Output(OutputName),
    /// The record's tag says which app.
    Router,
}

pub(crate) type Done = oneshot::Sender<Result<(), LogsError>>;

/// Calls that wait for their end.
#[derive(Debug)]
pub(crate) enum Ask {
    Tell { lines: Vec<NumberedLine>, done: Done },
    OutputAppend { name: OutputName, step: u64, text: String, done: Done },
    OutputFinish { name: OutputName, done: Done },
    OutputRemove { name: OutputName, done: Done },
    AppRemove { app: AppId, done: Done },
    Drained { dyno: DynoId, done: Done },
}

impl Inbox {
    pub(crate) fn new(lines_max: usize) -> Self {
        Self { content: Mutex::default(), filled: Notify::new(), lines_max }
    }

    /// Drops the oldest line when there is no room.
    pub(crate) fn line(&self, app: AppId, line: LogLine) {
        let mut content = self.lock();
        if content.lines.len() >= self.lines_max
            && let Some((app, oldest)) = content.lines.pop_front()
        {
            content.losses.entry(app).or_insert(Loss { count: 0, since: oldest.at }).count += 1;
        }
        content.lines.push_back((app, line));
        drop(content);
        self.filled.notify_one();
    }

    pub(crate) fn follow(&self, dyno: DynoId, target: Target) {
        let mut content = self.lock();
        if content.followed.insert(dyno) {
            content.follows.push((dyno, target));
            drop(content);
            self.filled.notify_one();
        }
    }

    pub(crate) fn unfollowed(&self, dyno: DynoId) {
        self.lock().followed.remove(&dyno);
    }

    /// After the hub has lost its memory, everybody may follow again.
    pub(crate) fn unfollow_all(&self) {
        self.lock().followed.clear();
    }

    pub(crate) fn ask(&self, ask: Ask) {
        self.lock().asks.push(ask);
        self.filled.notify_one();
    }

    /// Lines that could not be written count as lost.
    pub(crate) fn lost(&self, app: AppId, loss: Loss) {
        let mut content = self.lock();
        content.losses.entry(app).or_insert(Loss { count: 0, since: loss.since }).count += loss.count;
    }

    /// Everything there is; `followed` stays.
    pub(crate) fn take(&self) -> Content {
        let mut content = self.lock();
        Content {
            lines: std::mem::take(&mut content.lines),
            losses: std::mem::take(&mut content.losses),
            follows: std::mem::take(&mut content.follows),
            asks: std::mem::take(&mut content.asks),
            followed: HashSet::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // No code panics between two changes that belong together.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

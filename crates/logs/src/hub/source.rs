//! A followed directory of segments.

use std::{path::PathBuf, time::Duration};

use inotify::WatchDescriptor;
use jiff::Timestamp;
use renga_ports::LogsError;
use renga_supervision::SegmentReader;
use tokio::time::Instant;

use crate::inbox::{Done, Target};

/// A dyno that has just been asked for may not have its directory yet: so long it is looked for often.
const YOUNG: Duration = Duration::from_secs(10);
/// ... and so long it is looked for at all.
const ABSENT_MAX: Duration = Duration::from_secs(60);
/// How long a dyno whose end somebody waits for may take to leave its `exit.json`.
const EXIT_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Source {
    pub(super) target: Target,
    pub(super) directory: PathBuf,
    /// The file that says that no more will come; none if there is always more.
    exit: Option<PathBuf>,
    /// None when idle, or when the journal must be asked again how far it is.
    pub(super) reader: Option<SegmentReader>,
    /// Records before the next one that were overwritten.
    pub(super) lost: u64,
    pub(super) last_at: Option<Timestamp>,
    /// The router's records may have been taken already, up to where it was when we stopped.
    pub(super) replaying: bool,
    pub(super) watch: Option<WatchDescriptor>,
    pub(super) dirty: bool,
    pub(super) waiters: Vec<Waiter>,
    since: Instant,
    pub(super) used: Instant,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) done: Done,
    until: Instant,
}

impl Waiter {
    pub(super) fn answer(self, answer: Result<(), LogsError>) {
        // Who asked may have gone; then nobody minds.
        drop(self.done.send(answer));
    }
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.until
    }
}

impl Source {
    pub(super) fn new(target: Target, directory: PathBuf, exit: Option<PathBuf>) -> Self {
        let now = Instant::now();
        Self {
            target,
            directory,
            exit,
            reader: None,
            lost: 0,
            last_at: None,
            replaying: true,
            watch: None,
            dirty: false,
            waiters: Vec::new(),
            since: now,
            used: now,
        }
    }

    pub(super) fn wait(&mut self, done: Done) {
        self.waiters.push(Waiter { done, until: Instant::now() + EXIT_TIME_MAX });
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }
    pub(super) fn has_reader(&self) -> bool {
        self.reader.is_some()
    }
    /// Nothing more will come: the exit is on record, or the whole dyno has been forgotten (or never was).
    pub(super) fn has_exited(&self) -> bool {
        let no_directory = |exit: &PathBuf| exit.parent().is_some_and(|dyno| !dyno.exists());
        self.exit.as_ref().is_some_and(|exit| exit.exists() || no_directory(exit))
    }

    /// Whether it is worth looking often: somebody waits for its end, or for its first words.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        let young = self.exit.is_some() && now.duration_since(self.since) < YOUNG;
        !self.waiters.is_empty() || (young && self.watch.is_none())
    }

    /// The node has forgotten the dyno.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        self.exit.is_some() && now.duration_since(self.since) > ABSENT_MAX && !self.directory.exists()
    }

    /// The journal remembers the place of a reader that is closed.
    pub(super) fn close_idle(&mut self, now: Instant, idle_max: Duration) {
        if !self.dirty && self.lost == 0 && now.duration_since(self.used) > idle_max {
            self.reader = None;
        }
    }
}

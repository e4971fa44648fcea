//! The hub: the one thread that takes records over and writes journals.
//!
//! It runs in rounds. A round takes what callers left, pumps every dirty source for a while, flushes the journals
//! that were touched, and answers who waits. Between rounds it sleeps until something happens. A round's work is
//! bounded for each source, so that one that never stops talking holds nobody up.

mod asks;
mod journals;
mod pump;
mod source;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use renga_model::{AppId, DynoId, LogLine, LogSource};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    inbox::{Done, Loss, Target},
    journal::{Kind, NewRecord, PLATFORM},
    line,
    store::Shared,
    watch::{Changed, Watcher},
};
use journals::{Journals, Key};
use source::Source;

/// Between two looks at what cannot be watched, normally and while somebody waits for it.
const TICK: Duration = Duration::from_secs(1);
const TICK_WAITING: Duration = Duration::from_millis(40);
/// Between two looks at everything, for wake-ups that got lost, and two closings of what is idle.
const SWEEP: Duration = Duration::from_secs(5);
/// After the hub failed in a way that nobody thought of.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Apps that were removed: what still comes for them is dropped.
const REMOVED_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SourceId {
    Dyno(DynoId),
    Router,
}

pub(crate) fn log_directory(config: &Config, app: AppId) -> PathBuf {
    config.root.join(app.to_string())
}

/// Ends when `stop` is cancelled and what callers left has been written.
pub(crate) fn start(shared: Arc<Shared>, stop: CancellationToken) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("logs".into()).spawn(move || {
        loop {
            // Everything that matters is on disk, so a hub that panicked can be replaced by a new one.
            let run = || runtime.block_on(async { Hub::new(shared.clone(), stop.clone()).run().await });
            if std::panic::catch_unwind(AssertUnwindSafe(run)).is_ok() {
                break;
            }
            tracing::error!("the log hub panicked and is started again");
            shared.inbox.unfollow_all();
            std::thread::sleep(RESTART_PAUSE);
        }
        shared.wakes.close();
    })
}

struct Hub {
    shared: Arc<Shared>,
    stop: CancellationToken,
    journals: Journals,
    sources: HashMap<SourceId, Source>,
    /// Sources to be pumped, each at most once.
    dirty: VecDeque<SourceId>,
    watcher: Option<Watcher>,
    removed: VecDeque<AppId>,
    /// Sources whose journal failed: tried again with the next tick.
    retry: Vec<SourceId>,
    /// Who waits for the end of the round.
    told: Vec<Done>,
    /// The router's position as it was last written down.
    checkpoint: Option<u64>,
    next_tick: Instant,
    next_sweep: Instant,
}

impl Hub {
    fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        let watcher = Watcher::new()
            .inspect_err(|error| tracing::warn!(error = %error, "no inotify: logs are polled"))
            .ok();
        let now = Instant::now();
        let mut hub = Self {
            journals: Journals::new(shared.clone()),
            stop,
            sources: HashMap::new(),
            dirty: VecDeque::new(),
            watcher,
            removed: VecDeque::new(),
            retry: Vec::new(),
            told: Vec::new(),
            checkpoint: None,
            next_tick: now,
            next_sweep: now,
            shared,
        };
        let router = Source::new(Target::Router, hub.shared.config.router.clone(), None);
        hub.sources.insert(SourceId::Router, router);
        hub.mark(SourceId::Router);
        hub
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        let stop = self.stop.clone();
        loop {
            let busy = !self.dirty.is_empty();
            tokio::select! {
                biased;
                // The rest stays in the segments, for the next start.
                () = stop.cancelled() => break,
                changed = changed(&mut self.watcher) => self.mark_changed(changed),
                () = shared.inbox.filled.notified() => {}
                () = tokio::time::sleep_until(self.next_tick) => {}
                // Work is left: only look whether something else has come.
                () = tokio::task::yield_now(), if busy => {}
            }
            self.round();
        }
        self.round();
        self.write_checkpoint();
    }

    fn round(&mut self) {
        let now = Instant::now();
        if now >= self.next_tick {
            self.tick(now);
        }
        let content = self.shared.inbox.take();
        self.write_losses(content.losses);
        for (app, line) in content.lines {
            self.write_line(app, &line, 1);
        }
        for (dyno, target) in content.follows {
            self.follow(dyno, target);
        }
        for ask in content.asks {
            self.answer(ask);
        }
        let pumped = self.pump_dirty();
        let failed = self.journals.flush();
        // What could not be written has been counted as lost.
        std::mem::take(&mut self.told).into_iter().for_each(|done| drop(done.send(Ok(()))));
        self.retry_later(&failed);
        self.settle(&pumped, now);
        if self.sources.values().any(|source| source.is_awaited(now)) {
            self.next_tick = self.next_tick.min(now + TICK_WAITING);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        let sweep = now >= self.next_sweep;
        std::mem::take(&mut self.retry).into_iter().for_each(|id| self.mark(id));
        if sweep {
            self.next_sweep = now + SWEEP.min(self.shared.config.limits.idle_max);
            // First, for a source that is to be looked at is not idle.
            self.close_idle(now);
        }
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        for id in ids {
            self.watch(id);
            let Some(source) = self.sources.get(&id) else { continue };
            // A watched source without a reader is idle, and a wake-up will come.
            if !source.is_watched() || source.is_awaited(now) || (sweep && source.has_reader()) {
                self.mark(id);
            }
        }
        self.write_checkpoint();
    }

    fn mark(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id)
            && !source.dirty
        {
            source.dirty = true;
            self.dirty.push_back(id);
        }
    }

    fn mark_changed(&mut self, changed: Changed) {
        match changed {
            Changed::Sources(ids) => ids.into_iter().for_each(|id| self.mark(id)),
            Changed::All => {
                let ids: Vec<SourceId> = self.sources.keys().copied().collect();
                ids.into_iter().for_each(|id| self.mark(id));
            }
        }
    }

    // === lines of the platform ===

    fn write_losses(&mut self, losses: BTreeMap<AppId, Loss>) {
        for (app, loss) in losses {
            let since = line::shown(loss.since);
            let text =
                format!("Error L10 (output buffer overflow): {} messages dropped since {since}.", loss.count);
            let line = LogLine { at: loss.since, source: LogSource::Heroku, ps: "logplex".into(), text };
            self.write_line(app, &line, loss.count);
        }
    }

    /// `worth`: how many lines are lost if this one is.
    fn write_line(&mut self, app: AppId, line: &LogLine, worth: u64) {
        if self.removed.contains(&app) {
            return;
        }
        let payload = line::encode(line);
        let record = NewRecord { kind: Kind::Data, origin: PLATFORM, seq: 0, payload: &payload };
        self.journals.append_platform(app, &record, Loss { count: worth, since: line.at });
    }

    // === upkeep ===

    fn follow(&mut self, dyno: DynoId, target: Target) {
        if let Target::Log { app, .. } = &target
            && self.removed.contains(app)
        {
            return self.shared.inbox.unfollowed(dyno);
        }
        if let Target::Output(name) = &target {
            // It exists from now on, so that it can be read.
            self.journals.touch(&Key::Output(name.clone()));
        }
        let directory =
            renga_supervision::DynoDirectory::new(self.shared.config.dynos.join(dyno.to_string()));
        let id = SourceId::Dyno(dyno);
        self.sources
            .entry(id)
            .or_insert_with(|| Source::new(target, directory.log(), Some(directory.exit())));
        self.watch(id);
        self.mark(id);
    }

    fn unfollow(&mut self, id: SourceId) -> Option<Source> {
        let mut source = self.sources.remove(&id)?;
        if let (Some(watch), Some(watcher)) = (source.watch.take(), &mut self.watcher) {
            watcher.remove(watch);
        }
        if let SourceId::Dyno(dyno) = id {
            self.shared.inbox.unfollowed(dyno);
        }
        Some(source)
    }

    fn watch(&mut self, id: SourceId) {
        let (Some(source), Some(watcher)) = (self.sources.get_mut(&id), &mut self.watcher) else { return };
        if source.watch.is_none() {
            source.watch = watcher.add(&source.directory, id).ok();
            if source.watch.is_some() {
                // For what was written before.
                self.mark(id);
            }
        }
    }

    fn close_idle(&mut self, now: Instant) {
        self.journals.close_idle(now);
        let idle_max = self.shared.config.limits.idle_max;
        let mut gone = Vec::new();
        for (id, source) in &mut self.sources {
            source.close_idle(now, idle_max);
            if source.is_gone(now) {
                gone.push(*id);
            }
        }
        for id in gone {
            for waiter in self.unfollow(id).into_iter().flat_map(|source| source.waiters) {
                waiter.answer(Ok(()));
            }
        }
    }
}

async fn changed(watcher: &mut Option<Watcher>) -> Changed {
    let Some(present) = watcher else { return std::future::pending().await };
    match present.changed().await {
        Ok(changed) => changed,
        Err(error) => {
            tracing::warn!(error = %error, "inotify failed: logs are polled");
            *watcher = None;
            Changed::All
        }
    }
}

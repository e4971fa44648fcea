//! The one driver of all loops: a set of waiting keys, one pass per key at a time, a limit in all, a full scan at the
//! start and each period, and back-off per key after errors.
//!
//! ```text
//! ring, scan, due time ──> waiting ──slot free──> running ──Ok(Rest)──> forgotten until rung
//!                             ^                      │ ├───Ok(Again(after))──> due in `after`
//!                             └──rung meanwhile──────┘ └───Err──> due in 0.1 s, 0.2 s, ... 30 s
//! ```
//!
//! The full scan at the start is the crash recovery; there is no second path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    future::Future,
    sync::Arc,
    time::Duration,
};

use renga_model::Refusal;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::wakes::Bell;

/// What a pass says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Rest,
    Again(Duration),
}

/// A loop: its keys and what to do with one. A pass takes no input but its key and never retries inside.
pub(crate) trait Loop: Send + Sync + 'static {
    type Key: Ord + Clone + Debug + Send + Sync + 'static;
    const NAME: &'static str;
    /// Passes at one time.
    fn passes_max(&self) -> usize {
        8
    }
    /// Time between full scans.
    fn period(&self) -> Duration {
        Duration::from_secs(20)
    }
    fn bell(&self) -> &Bell<Self::Key>;
    fn scan(&self) -> impl Future<Output = Result<Vec<Self::Key>, Refusal>> + Send;
    fn pass(&self, key: Self::Key) -> impl Future<Output = Result<Next, Refusal>> + Send;
}

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Runs until cancelled; passes that are under way then are dropped (every pass may be cut anywhere).
pub(crate) async fn drive<L: Loop>(it: Arc<L>, cancel: CancellationToken) {
    let mut state = Driver {
        it,
        due: BTreeMap::new(),
        failures: BTreeMap::new(),
        running: JoinSet::new(),
        busy: BTreeMap::new(),
    };
    let mut scan_at = Instant::now();
    loop {
        let wake_at = state.next_due().map_or(scan_at, |due| due.min(scan_at));
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            // A pass has ended: its slot and key are free.
            Some(ended) = state.running.join_next_with_id(), if !state.running.is_empty() => state.ended(ended),
            // Somebody rang.
            keys = state.it.bell().take() => keys.into_iter().for_each(|key| state.want(key, Instant::now())),
            // A key is due, or the scan is.
            () = tokio::time::sleep_until(wake_at) => {
                if Instant::now() >= scan_at {
                    state.scan().await;
                    scan_at = Instant::now() + state.it.period();
                }
            }
        }
        state.start_due();
    }
}

/// A key and what its pass said.
type Outcome<K> = (K, Result<Next, Refusal>);

struct Driver<L: Loop> {
    it: Arc<L>,
    due: BTreeMap<L::Key, Instant>,
    failures: BTreeMap<L::Key, u32>,
    running: JoinSet<Outcome<L::Key>>,
    busy: BTreeMap<tokio::task::Id, L::Key>,
}

impl<L: Loop> Driver<L> {
    fn want(&mut self, key: L::Key, at: Instant) {
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    /// The earliest due time of a key that could start now.
    fn next_due(&self) -> Option<Instant> {
        if self.busy.len() >= self.it.passes_max() {
            return None;
        }
        let busy: BTreeSet<_> = self.busy.values().collect();
        self.due.iter().filter(|(key, _)| !busy.contains(key)).map(|(_, at)| *at).min()
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let busy: BTreeSet<_> = self.busy.values().cloned().collect();
        let room = self.it.passes_max().saturating_sub(busy.len());
        let ready = self.due.iter().filter(|(key, at)| **at <= now && !busy.contains(*key));
        let ready: Vec<_> = ready.map(|(key, _)| key.clone()).take(room).collect();
        for key in ready {
            self.due.remove(&key);
            let (it, of) = (self.it.clone(), key.clone());
            let task = self.running.spawn(async move {
                let result = it.pass(of.clone()).await;
                (of, result)
            });
            self.busy.insert(task.id(), key);
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Outcome<L::Key>), tokio::task::JoinError>) {
        match ended {
            Ok((task, (key, result))) => {
                self.busy.remove(&task);
                self.judge(key, result);
            }
            Err(panic) => {
                let Some(key) = self.busy.remove(&panic.id()) else { return };
                self.judge(key, Err(Refusal::internal(panic)));
            }
        }
    }

    fn judge(&mut self, key: L::Key, result: Result<Next, Refusal>) {
        let next = match result {
            Ok(next) => {
                self.failures.remove(&key);
                next
            }
            Err(refusal) => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures += 1;
                let context = refusal.context.as_deref().unwrap_or_default();
                tracing::warn!(pass.key = ?key, pass.failures = *failures, "{} pass failed: {refusal} {context}", L::NAME);
                Next::Again(BACKOFF_MAX.min(BACKOFF_FIRST * 2u32.saturating_pow((*failures - 1).min(12))))
            }
        };
        if let Next::Again(after) = next {
            self.want(key, Instant::now() + after);
        }
    }

    async fn scan(&mut self) {
        match self.it.scan().await {
            Ok(keys) => keys.into_iter().for_each(|key| self.want(key, Instant::now())),
            Err(refusal) => {
                let context = refusal.context.as_deref().unwrap_or_default();
                tracing::error!("{} scan failed: {refusal} {context}", L::NAME);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Fails the first passes of each key, and records them all.
    struct Probe {
        bell: Bell<u32>,
        fail_first: usize,
        passes: Mutex<Vec<u32>>,
    }

    impl Loop for Probe {
        type Key = u32;
        const NAME: &'static str = "probe";
        fn bell(&self) -> &Bell<u32> {
            &self.bell
        }
        async fn scan(&self) -> Result<Vec<u32>, Refusal> {
            Ok(vec![7])
        }
        async fn pass(&self, key: u32) -> Result<Next, Refusal> {
            let mut passes = self.passes.lock().unwrap();
            passes.push(key);
            if passes.len() <= self.fail_first { Err(Refusal::internal("not yet")) } else { Ok(Next::Rest) }
        }
    }

    async fn passes_after(ring: &[u32], fail_first: usize, run_for: Duration) -> Vec<u32> {
        let probe = Arc::new(Probe { bell: Bell::default(), fail_first, passes: Mutex::default() });
        ring.iter().for_each(|key| probe.bell.ring(*key));
        let cancel = CancellationToken::new();
        let timeout = tokio::time::timeout(run_for, drive(probe.clone(), cancel));
        assert!(timeout.await.is_err());
        probe.passes.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_scan_finds_what_no_bell_told() {
        assert_eq!(passes_after(&[], 0, Duration::from_secs(1)).await, [7]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_pass_comes_again_with_backoff() {
        assert_eq!(passes_after(&[], 2, Duration::from_secs(1)).await, [7, 7, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn bells_of_one_key_are_one_pass() {
        let mut passes = passes_after(&[1, 1, 1], 0, Duration::from_secs(1)).await;
        passes.sort_unstable();
        assert_eq!(passes, [1, 7]);
    }
}

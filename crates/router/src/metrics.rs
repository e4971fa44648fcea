//! What the router counts. Each serving thread has counts of its own, which it alone writes, so that counting costs a
//! few plain instructions; an app's are written where every request of it writes anyway. Whoever looks adds them up.
//!
//! ```text
//! thread ──record──> its Counts, the app's          text::render ──> metrics address, control socket
//!    └──each second──> how many are open ───────────> status::of ──> control socket (`renga router:status`)
//! ```

pub(crate) mod serve;
pub(crate) mod text;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    codes::Code,
    table::{AppCounters, Padded},
};

/// Upper ends of the classes of time that requests take.
pub(crate) const BUCKETS_MS: [u64; 12] = [2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 10_000, 30_000];
/// Statuses by their first digit; what is none is counted as 0.
pub(crate) const CLASSES: usize = 6;
/// H-codes by their number.
const CODES: usize = 100;

/// Of all threads.
#[derive(Debug)]
pub(crate) struct Metrics {
    threads: Box<[Padded<Counts>]>,
}

/// Of one thread.
#[derive(Debug)]
pub(crate) struct Counts {
    classes: [AtomicU64; CLASSES],
    codes: [AtomicU64; CODES],
    /// The last one holds what took longer.
    service: [AtomicU64; BUCKETS_MS.len() + 1],
    service_us: AtomicU64,
    bytes: AtomicU64,
    pub(crate) clients: Flow,
    handshakes: AtomicU64,
    handshakes_failed: AtomicU64,
    dynos_reached: AtomicU64,
    dynos_not_reached: AtomicU64,
    /// As of the last second.
    idle_to_dynos: AtomicU64,
}

/// What comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    come: AtomicU64,
    gone: AtomicU64,
}

/// All threads' counts at one time, roughly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) classes: [u64; CLASSES],
    /// Those that have occurred, by number.
    pub(crate) codes: Vec<(usize, u64)>,
    pub(crate) service: [u64; BUCKETS_MS.len() + 1],
    pub(crate) service_us: u64,
    pub(crate) bytes: u64,
    pub(crate) clients_come: u64,
    pub(crate) clients_open: u64,
    pub(crate) handshakes: u64,
    pub(crate) handshakes_failed: u64,
    pub(crate) dynos_reached: u64,
    pub(crate) dynos_not_reached: u64,
    pub(crate) idle_to_dynos: u64,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads: (0..threads).map(|_| Padded(Counts::new())).collect() }
    }

    /// Of the thread with this number, for that thread alone to write.
    pub(crate) fn of(&self, thread: usize) -> &Counts {
        &self.threads[thread].0
    }

    pub(crate) fn sums(&self) -> Sums {
        let sum = |of: &dyn Fn(&Counts) -> &AtomicU64| {
            self.threads.iter().map(|counts| of(&counts.0).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
        };
        let codes = (0..CODES).map(|code| (code, sum(&|c: &Counts| &c.codes[code])));
        let (come, gone) = (sum(&|c| &c.clients.come), sum(&|c| &c.clients.gone));
        Sums {
            classes: std::array::from_fn(|class| sum(&|c: &Counts| &c.classes[class])),
            codes: codes.filter(|(_, count)| *count > 0).collect(),
            service: std::array::from_fn(|bucket| sum(&|c: &Counts| &c.service[bucket])),
            service_us: sum(&|c| &c.service_us),
            bytes: sum(&|c| &c.bytes),
            clients_come: come,
            clients_open: come.saturating_sub(gone),
            handshakes: sum(&|c| &c.handshakes),
            handshakes_failed: sum(&|c| &c.handshakes_failed),
            dynos_reached: sum(&|c| &c.dynos_reached),
            dynos_not_reached: sum(&|c| &c.dynos_not_reached),
            idle_to_dynos: sum(&|c| &c.idle_to_dynos),
        }
    }
}

// === impl Counts ===

impl Counts {
    fn new() -> Self {
        Self {
            classes: [const { AtomicU64::new(0) }; CLASSES],
            codes: [const { AtomicU64::new(0) }; CODES],
            service: [const { AtomicU64::new(0) }; BUCKETS_MS.len() + 1],
            service_us: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            clients: Flow::default(),
            handshakes: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            dynos_reached: AtomicU64::new(0),
            dynos_not_reached: AtomicU64::new(0),
            idle_to_dynos: AtomicU64::new(0),
        }
    }

    /// A request has ended: with this status, or cut by that code, after so much time, with so many bytes to the client.
    pub(crate) fn record(
        &self,
        app: &AppCounters,
        status: u16,
        code: Option<Code>,
        service: Duration,
        bytes: u64,
    ) {
        let class = Some(usize::from(status / 100)).filter(|class| *class < CLASSES).unwrap_or(0);
        let us = u64::try_from(service.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MS.iter().position(|end| us <= end * 1_000).unwrap_or(BUCKETS_MS.len());
        add(&self.classes[class], 1);
        add(&self.service[bucket], 1);
        add(&self.service_us, us);
        add(&self.bytes, bytes);
        if let Some(number) = code.and_then(number) {
            add(&self.codes[number], 1);
        }
        app.record(class, us, bytes);
    }

    pub(crate) fn handshake(&self, well: bool) {
        add(if well { &self.handshakes } else { &self.handshakes_failed }, 1);
    }

    /// A dyno was connected to, or it did not accept.
    pub(crate) fn dyno_connection(&self, well: bool) {
        add(if well { &self.dynos_reached } else { &self.dynos_not_reached }, 1);
    }

    pub(crate) fn set_idle_to_dynos(&self, count: usize) {
        self.idle_to_dynos.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Flow {
    pub(crate) fn come(&self) {
        add(&self.come, 1);
    }
    pub(crate) fn gone(&self) {
        add(&self.gone, 1);
    }
}

/// Of `H12`: 12.
fn number(code: Code) -> Option<usize> {
    code.wording().code.strip_prefix('H')?.parse().ok().filter(|number| *number < CODES)
}

/// Only one thread writes: no locked instruction is needed.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use renga_model::AppId;

    use super::*;

    #[test]
    fn requests_are_counted_by_class_code_and_time() {
        let (metrics, app) = (Metrics::new(2), AppCounters::new(AppId::random(), 0));
        metrics.of(0).record(&app, 200, None, Duration::from_micros(1_999), 10);
        metrics.of(1).record(&app, 204, None, Duration::from_millis(2), 0);
        metrics.of(1).record(&app, 503, Some(Code::H12), Duration::from_secs(30), 5);
        metrics.of(1).record(&app, 503, Some(Code::H26("x")), Duration::from_secs(31), 0);
        metrics.of(0).record(&app, 999, None, Duration::MAX, 0);
        let sums = metrics.sums();
        // 999 is no class: it counts as 0, beside nothing else.
        assert_eq!(sums.classes, [1, 0, 2, 0, 0, 2]);
        assert_eq!(sums.codes, [(12, 1), (26, 1)]);
        assert_eq!((sums.service[0], sums.service[11], sums.service[12], sums.bytes), (2, 1, 2, 15));
        assert_eq!(app.totals().requests(), 5);
    }
}

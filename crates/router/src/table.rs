//! The route table as the threads read it, and the counters that outlive each table.
//!
//! One table is current. Its version is an atomic number; every thread keeps a pointer to the table of the version it
//! saw last and looks at the number once per request, so a request costs one shared read and no shared write. The
//! generation is the control plane's number, the version is ours: it only says that the pointer is old.
//!
//! **When may a dyno be stopped?** When the router says that its requests in flight are zero *after* a table without
//! it was published. For that answer to be true, a request raises its dyno's count first and looks at the version
//! again afterwards; if it moved, the request lets go and chooses anew. All four accesses are sequentially consistent,
//! so either the publisher's sum sees the request, or the request sees the new table.
//!
//! ```text
//! request:   count += 1 ── version still mine? ──yes──> send          publisher:  version += 1 ── sum the counts
//!                               └──no──> count -= 1, choose anew
//! ```

mod publisher;
mod sharing;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use renga_model::{AppId, DynoId, RouteApp, RouteChange, RouteTable, WebState};
use serde::Serialize;
use tokio::sync::watch;

use self::{
    publisher::{News, Now, Publisher},
    sharing::{Apps, Hosts},
};
use crate::{metrics::CLASSES, pages::Pages};

/// A value alone on its cache lines, so that threads do not slow each other by writing beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

#[derive(Debug)]
pub(crate) struct Tables {
    version: Padded<AtomicU64>,
    current: Mutex<Arc<Table>>,
    changed: watch::Sender<u64>,
    /// Requests that found their app asleep.
    knocks: watch::Sender<u64>,
    publisher: Mutex<Publisher>,
    /// How often dynos have left the table.
    departures: AtomicU64,
    threads: usize,
    started: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) version: u64,
    pub(crate) generation: u64,
    pub(crate) apps: Apps,
    hosts: Arc<Hosts>,
    /// In milliseconds since the tables were made.
    pub(crate) made_ms: u64,
    /// What certificate authorities find, by token.
    pub(crate) challenges: Arc<BTreeMap<String, String>>,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) maintenance: bool,
    pub(crate) web: WebState,
    pub(crate) dynos: Vec<Dyno>,
    pub(crate) pages: Pages,
    pub(crate) counters: Arc<AppCounters>,
    /// As it came.
    pub(crate) row: RouteApp,
}

#[derive(Debug)]
pub(crate) struct Dyno {
    pub(crate) id: DynoId,
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<DynoCounters>,
}

/// What of an app is the same from table to table.
#[derive(Debug)]
pub(crate) struct AppCounters {
    pub(crate) id: AppId,
    counts: Padded<AppCounts>,
}

/// Every request writes them: they are together on lines of their own.
#[derive(Debug, Default)]
struct AppCounts {
    in_flight: AtomicU32,
    /// When the last request came, in milliseconds since the tables were made.
    last_ms: AtomicU64,
    /// Requests that have ended, by the first digit of their status.
    classes: [AtomicU64; CLASSES],
    service_us: AtomicU64,
    bytes: AtomicU64,
}

/// An app's counts at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) classes: [u64; CLASSES],
    pub(crate) service_us: u64,
    pub(crate) bytes: u64,
    pub(crate) in_flight: u64,
}

/// What of a dyno is the same from table to table.
#[derive(Debug)]
pub(crate) struct DynoCounters {
    /// One per thread, each written by that thread alone.
    in_flight: Box<[Padded<AtomicU32>]>,
    /// Milliseconds since the tables were made.
    quarantined_until_ms: AtomicU64,
    /// No longer in the table: its connections are not kept.
    left: AtomicBool,
}

/// Why a table was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is older than one that was seen before.
    Stale { seen: u64 },
    /// The change leads from another table than the current one.
    Behind { generation: u64 },
}

// === impl Tables ===

impl Tables {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            version: Padded::default(),
            current: Mutex::default(),
            changed: watch::Sender::new(0),
            knocks: watch::Sender::new(0),
            publisher: Mutex::default(),
            departures: AtomicU64::new(0),
            threads,
            started: Instant::now(),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.0.load(Ordering::SeqCst)
    }

    pub(crate) fn current(&self) -> Arc<Table> {
        lock(&self.current).clone()
    }

    /// A receiver that wakes at every change of the table.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A receiver that wakes when a request finds its app asleep.
    pub(crate) fn knocks(&self) -> watch::Receiver<u64> {
        self.knocks.subscribe()
    }

    /// A request waits for an app that sleeps.
    pub(crate) fn knock(&self) {
        self.knocks.send_modify(|count| *count += 1);
    }

    /// Apps that sleep and have requests.
    pub(crate) fn waiting(&self) -> BTreeSet<AppId> {
        let table = self.current();
        let waits = |app: &&App| app.web == WebState::Asleep && app.counters.in_flight() > 0;
        table.apps.iter().filter(waits).map(|app| app.counters.id).collect()
    }

    /// Milliseconds since the last request of each app that has none under way.
    pub(crate) fn idle_ms(&self) -> BTreeMap<AppId, u64> {
        let (table, now_ms) = (self.current(), self.now_ms());
        let idle = |app: &App| Some((app.counters.id, app.counters.idle_ms(now_ms)?));
        table.apps.iter().filter_map(idle).collect()
    }

    /// Makes `source` the table that every request from now on is routed by.
    pub(crate) fn publish(&self, source: RouteTable) -> Result<(), Refused> {
        let generation = source.generation;
        self.succeed(generation, |publisher, former| Ok(publisher.whole(former, source)))
    }

    /// The same, by what is other than in the current table.
    pub(crate) fn change(&self, change: RouteChange) -> Result<(), Refused> {
        let RouteChange { from, to, changed, gone, challenges } = change;
        self.succeed(to, |_, former| {
            if former.generation != from {
                return Err(Refused::Behind { generation: former.generation });
            }
            let changed = changed.into_iter().map(|app| (app.id, app)).collect();
            Ok(News { generation: to, changed, gone: gone.into_iter().collect(), challenges })
        })
    }

    fn succeed(
        &self,
        generation: u64,
        news: impl FnOnce(&Publisher, &Table) -> Result<News, Refused>,
    ) -> Result<(), Refused> {
        let mut publisher = lock(&self.publisher);
        let former = self.current();
        if generation < former.generation {
            return Err(Refused::Stale { seen: former.generation });
        }
        if generation == former.generation {
            return Ok(());
        }
        let news = news(&publisher, &former)?;
        let (table, departed) =
            publisher.make(&former, news, Now { threads: self.threads, ms: self.now_ms() });
        let version = table.version;
        *lock(&self.current) = Arc::new(table);
        self.version.0.store(version, Ordering::SeqCst);
        publisher.collect();
        if departed {
            self.departures.fetch_add(1, Ordering::SeqCst);
        }
        self.changed.send_replace(version);
        Ok(())
    }

    /// A number that moves when a dyno leaves the table.
    pub(crate) fn departures(&self) -> u64 {
        self.departures.load(Ordering::SeqCst)
    }

    /// Requests under way by dyno, those of former tables too. A dyno that is not named has none.
    pub(crate) fn in_flight(&self) -> BTreeMap<DynoId, u32> {
        let publisher = lock(&self.publisher);
        let busy = publisher.dynos.iter().map(|(id, dyno)| (*id, dyno.in_flight()));
        busy.filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn quarantine(&self, dyno: &DynoCounters, time: Duration) {
        dyno.quarantined_until_ms.store(self.now_ms() + millis(time), Ordering::Relaxed);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(Instant::now())
    }

    pub(crate) fn ms_at(&self, at: Instant) -> u64 {
        millis(at.duration_since(self.started))
    }
}

// === impl Table ===

impl Table {
    /// The app of a host name that is lower-case and without port: by its own name, else by `*.` and the rest.
    pub(crate) fn find(&self, host: &str) -> Option<usize> {
        self.entry(host).map(|(_, index)| index)
    }

    /// As [`Table::find`], with the host as it stands in the table.
    fn entry(&self, host: &str) -> Option<(&str, usize)> {
        if let Some(own) = self.hosts.find(host) {
            return Some(own);
        }
        let (_, rest) = host.split_once('.')?;
        self.hosts.find(&format!("*.{rest}"))
    }

    /// Which certificate to present for a host name: the name that it is asked for by, and its version if it is not
    /// the platform's own. All names below a wildcard share one.
    pub(crate) fn certificate(&self, host: &str) -> Option<(&str, Option<&str>)> {
        let (name, index) = self.entry(host)?;
        let versions = &self.apps.get(index)?.row.certificates;
        Some((name, versions.get(name).map(String::as_str)))
    }
}

impl Table {
    /// As it came.
    pub(crate) fn rows(&self) -> RouteTable {
        let mut apps: Vec<_> = self.apps.iter().map(|app| app.row.clone()).collect();
        apps.sort_unstable_by_key(|app| app.id);
        RouteTable { generation: self.generation, apps, challenges: (*self.challenges).clone() }
    }
}

/// The table as it came, in the order of the apps' ids.
impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            generation: u64,
            apps: Vec<&'a RouteApp>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            challenges: &'a BTreeMap<String, String>,
        }
        let mut apps: Vec<_> = self.apps.iter().map(|app| &app.row).collect();
        apps.sort_unstable_by_key(|app| app.id);
        Whole { generation: self.generation, apps, challenges: &self.challenges }.serialize(serializer)
    }
}

impl Totals {
    pub(crate) fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }
}

impl std::ops::Add<&Self> for Totals {
    type Output = Self;
    fn add(self, other: &Self) -> Self {
        Self {
            classes: std::array::from_fn(|class| self.classes[class] + other.classes[class]),
            service_us: self.service_us + other.service_us,
            bytes: self.bytes + other.bytes,
            in_flight: self.in_flight + other.in_flight,
        }
    }
}

impl AppCounters {
    pub(crate) fn new(id: AppId, now_ms: u64) -> Self {
        let counts = AppCounts { last_ms: now_ms.into(), ..AppCounts::default() };
        Self { id, counts: Padded(counts) }
    }

    /// Takes a place. How many were taken before.
    pub(crate) fn enter(&self, now_ms: u64) -> u32 {
        let before = self.counts.0.in_flight.fetch_add(1, Ordering::Relaxed);
        self.counts.0.last_ms.store(now_ms, Ordering::Relaxed);
        before
    }

    pub(crate) fn leave(&self) {
        self.counts.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.counts.0.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn record(&self, class: usize, service_us: u64, bytes: u64) {
        let counts = &self.counts.0;
        counts.classes[class].fetch_add(1, Ordering::Relaxed);
        counts.service_us.fetch_add(service_us, Ordering::Relaxed);
        counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let (counts, read) = (&self.counts.0, |count: &AtomicU64| count.load(Ordering::Relaxed));
        Totals {
            classes: counts.classes.each_ref().map(read),
            service_us: read(&counts.service_us),
            bytes: read(&counts.bytes),
            in_flight: self.in_flight().into(),
        }
    }

    /// None while a request is under way; the time counts from when this was last looked at then.
    fn idle_ms(&self, now_ms: u64) -> Option<u64> {
        if self.in_flight() > 0 {
            self.counts.0.last_ms.store(now_ms, Ordering::Relaxed);
            return None;
        }
        Some(now_ms.saturating_sub(self.counts.0.last_ms.load(Ordering::Relaxed)))
    }
}

impl DynoCounters {
    fn new(threads: usize) -> Self {
        Self {
            in_flight: (0..threads).map(|_| Padded::default()).collect(),
            quarantined_until_ms: AtomicU64::new(0),
            left: AtomicBool::new(false),
        }
    }

    pub(crate) fn enter(&self, thread: usize) {
        self.in_flight[thread].0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self, thread: usize) {
        self.in_flight[thread].0.fetch_sub(1, Ordering::SeqCst);
    }

    fn in_flight(&self) -> u32 {
        self.in_flight.iter().map(|count| count.0.load(Ordering::SeqCst)).sum()
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn quarantined(&self, now_ms: u64) -> bool {
        self.quarantined_until_ms.load(Ordering::Relaxed) > now_ms
    }
}

/// A panic while a lock was held leaves these values whole: each is replaced in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

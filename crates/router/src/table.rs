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

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use renga_model::{AppId, DynoId, RouteApp, RouteDyno, RouteTable, WebState};
use tokio::sync::watch;

use crate::pages::Pages;

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
    counters: Mutex<Counters>,
    threads: usize,
    started: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) version: u64,
    pub(crate) generation: u64,
    pub(crate) apps: Vec<App>,
    hosts: HashMap<Box<str>, usize>,
    /// The table as it came, for the disk.
    pub(crate) source: RouteTable,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) maintenance: bool,
    pub(crate) web: WebState,
    pub(crate) dynos: Vec<Dyno>,
    pub(crate) pages: Pages,
    pub(crate) counters: Arc<AppCounters>,
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

/// Every request writes both: they are of one cache line.
#[derive(Debug, Default)]
struct AppCounts {
    in_flight: AtomicU32,
    /// When the last request came, in milliseconds since the tables were made.
    last_ms: AtomicU64,
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

#[derive(Debug, Default)]
struct Counters {
    apps: HashMap<AppId, Arc<AppCounters>>,
    dynos: HashMap<DynoId, Arc<DynoCounters>>,
}

/// The table was older than one that was seen before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) seen: u64,
}

// === impl Tables ===

impl Tables {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            version: Padded::default(),
            current: Mutex::default(),
            changed: watch::Sender::new(0),
            knocks: watch::Sender::new(0),
            counters: Mutex::default(),
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
    pub(crate) fn publish(&self, source: RouteTable) -> Result<(), Stale> {
        let mut counters = lock(&self.counters);
        let seen = self.current();
        if source.generation < seen.generation {
            return Err(Stale { seen: seen.generation });
        }
        if source.generation == seen.generation {
            return Ok(());
        }
        let version = seen.version + 1;
        let table = Arc::new(counters.build(source, version, self.threads, self.now_ms()));
        *lock(&self.current) = table.clone();
        self.version.0.store(version, Ordering::SeqCst);
        counters.collect(&table);
        self.changed.send_replace(version);
        Ok(())
    }

    /// Requests under way by dyno, those of former tables too. A dyno that is not named has none.
    pub(crate) fn in_flight(&self) -> BTreeMap<DynoId, u32> {
        let counters = lock(&self.counters);
        let busy = counters.dynos.iter().map(|(id, dyno)| (*id, dyno.in_flight()));
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

// === impl Counters ===

impl Counters {
    fn build(&mut self, source: RouteTable, version: u64, threads: usize, now_ms: u64) -> Table {
        let apps: Vec<App> = source.apps.iter().map(|app| self.app(app, threads, now_ms)).collect();
        let mut hosts = HashMap::new();
        for (index, app) in source.apps.iter().enumerate() {
            for host in &app.hosts {
                // A name stands on one app only; should two claim it, the first keeps it.
                hosts.entry(host.to_ascii_lowercase().into_boxed_str()).or_insert(index);
            }
        }
        Table { version, generation: source.generation, apps, hosts, source }
    }

    fn app(&mut self, app: &RouteApp, threads: usize, now_ms: u64) -> App {
        let counters = self.apps.entry(app.id).or_insert_with(|| Arc::new(AppCounters::new(app.id, now_ms)));
        App {
            maintenance: app.maintenance,
            web: app.web,
            pages: Pages::new(app.error_page_url.as_deref(), app.maintenance_page_url.as_deref()),
            counters: counters.clone(),
            dynos: app.dynos.iter().map(|dyno| self.dyno(dyno, threads)).collect(),
        }
    }

    fn dyno(&mut self, dyno: &RouteDyno, threads: usize) -> Dyno {
        let counters = self.dynos.entry(dyno.id).or_insert_with(|| Arc::new(DynoCounters::new(threads)));
        Dyno {
            id: dyno.id,
            name: dyno.name.to_string().into(),
            address: dyno.address,
            counters: counters.clone(),
        }
    }

    /// Forgets what neither the table names nor a request uses.
    fn collect(&mut self, table: &Table) {
        let apps: std::collections::HashSet<AppId> = table.source.apps.iter().map(|app| app.id).collect();
        let dynos: std::collections::HashSet<DynoId> =
            table.apps.iter().flat_map(|app| app.dynos.iter().map(|dyno| dyno.id)).collect();
        self.apps.retain(|id, app| apps.contains(id) || app.in_flight() > 0);
        for (id, dyno) in &self.dynos {
            dyno.left.store(!dynos.contains(id), Ordering::Relaxed);
        }
        self.dynos.retain(|id, dyno| dynos.contains(id) || dyno.in_flight() > 0);
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
        let known = |host: &str| self.hosts.get_key_value(host).map(|(name, index)| (&**name, *index));
        if let Some(own) = known(host) {
            return Some(own);
        }
        let (_, rest) = host.split_once('.')?;
        known(&format!("*.{rest}"))
    }

    /// Which certificate to present for a host name: the name that it is asked for by, and its version if it is not
    /// the platform's own. All names below a wildcard share one.
    pub(crate) fn certificate(&self, host: &str) -> Option<(&str, Option<&str>)> {
        let (name, index) = self.entry(host)?;
        let versions = &self.source.apps.get(index)?.certificates;
        Some((name, versions.get(name).map(String::as_str)))
    }
}

impl AppCounters {
    fn new(id: AppId, now_ms: u64) -> Self {
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

    fn in_flight(&self) -> u32 {
        self.counts.0.in_flight.load(Ordering::SeqCst)
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
mod tests {
    use super::*;

    fn table(generation: u64, hosts: &[&str], dynos: &[DynoId]) -> RouteTable {
        let dyno = |id: &DynoId| RouteDyno {
            id: *id,
            name: "web.1".parse().unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
        };
        let app = RouteApp {
            id: AppId::from_uuid(uuid::Uuid::from_u128(1)),
            name: "app".parse().unwrap(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            certificates: BTreeMap::new(),
            maintenance: false,
            web: WebState::Up,
            dynos: dynos.iter().map(dyno).collect(),
            error_page_url: None,
            maintenance_page_url: None,
            flags: renga_model::RouteFlags::default(),
        };
        RouteTable { generation, apps: vec![app] }
    }

    #[test]
    fn older_generations_lose_and_equal_ones_change_nothing() {
        let tables = Tables::new(1);
        tables.publish(table(5, &["a.localhost"], &[])).unwrap();
        assert_eq!(tables.publish(table(4, &[], &[])), Err(Stale { seen: 5 }));
        tables.publish(table(5, &["b.localhost"], &[])).unwrap();
        assert_eq!(tables.current().find("a.localhost"), Some(0));
        assert_eq!(tables.current().find("b.localhost"), None);
        assert_eq!(tables.version(), 1);
    }

    #[test]
    fn the_exact_name_wins_over_the_wildcard() {
        let tables = Tables::new(1);
        let mut both = table(1, &["*.example.com"], &[]);
        both.apps.push(RouteApp {
            id: AppId::random(),
            hosts: vec!["www.example.com".into()],
            certificates: BTreeMap::new(),
            ..both.apps[0].clone()
        });
        tables.publish(both).unwrap();
        let current = tables.current();
        assert_eq!(current.find("www.example.com"), Some(1));
        assert_eq!(current.find("x.example.com"), Some(0));
        assert_eq!(current.find("example.com"), None);
    }

    #[test]
    fn an_app_is_idle_while_nothing_is_under_way() {
        let tables = Tables::new(1);
        let mut asleep = table(1, &["a.localhost"], &[]);
        asleep.apps[0].web = WebState::Asleep;
        let id = asleep.apps[0].id;
        tables.publish(asleep).unwrap();
        let counters = tables.current().apps[0].counters.clone();
        assert_eq!((counters.idle_ms(7_000), tables.waiting()), (Some(7_000), BTreeSet::new()));
        assert_eq!(counters.enter(2_000), 0);
        assert_eq!((tables.idle_ms(), tables.waiting()), (BTreeMap::new(), BTreeSet::from([id])));
        // A long one: the time begins when it was last seen.
        assert_eq!(counters.idle_ms(5_000), None);
        counters.leave();
        assert_eq!((counters.idle_ms(5_400), tables.waiting()), (Some(400), BTreeSet::new()));
    }

    #[test]
    fn requests_of_a_former_dyno_are_counted_until_they_end() {
        let (old, new) = (DynoId::random(), DynoId::random());
        let tables = Tables::new(2);
        tables.publish(table(1, &[], &[old])).unwrap();
        let counters = tables.current().apps[0].dynos[0].counters.clone();
        counters.enter(0);
        counters.enter(1);
        tables.publish(table(2, &[], &[new])).unwrap();
        assert_eq!(tables.in_flight(), BTreeMap::from([(old, 2)]));
        counters.leave(0);
        counters.leave(1);
        assert_eq!(tables.in_flight(), BTreeMap::new());
        tables.publish(table(3, &[], &[new])).unwrap();
        assert_eq!(lock(&tables.counters).dynos.len(), 1);
    }
}

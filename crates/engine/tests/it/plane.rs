//! A control plane for one test: it can be killed and started again over the same ledger and the same world.
//!
//! Time passes in lapse: the runtime's clock is paused (every test says `start_paused`) and moved on by [`pass`], so that back-offs and periods of many
//! seconds take milliseconds, while threads that the clock does not know of (the ledger's) get real time to work in.
//! The world's clock, by which the engine judges boots, drains and crashes, stands still unless a test moves it.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use renga_engine::{Engine, Hands, Settings};
use renga_model::{
    Account, AccountId, App, AppId, Build, BuildSource, BuildStatus, Dyno, DynoState, Refusal, Release,
};
use renga_ports::{Acme, Mail};
use renga_store::{Fate, MasterKey, OrNone, Read, Store, StoreError};
use renga_testkit::world::{Fault, Faults, World};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far more real time than anything here takes, on a machine that has other things to do.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the runtime's clock moves, in real time, and by how much unless a test says otherwise.
const TICK: Duration = Duration::from_micros(500);
const LAPSE_MS: u64 = 100;

/// What outlives a crash.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) account: Account,
    /// What a test sets otherwise than the rest.
    pub(crate) tune: fn(&mut Settings),
    /// Nobody gets letters unless a test says otherwise.
    pub(crate) mail: Option<Arc<dyn Mail>>,
    /// Nor is there a certificate authority.
    pub(crate) with_authority: bool,
    /// Of the plane that runs, or ran last. A plane never shares its ledger's threads with the one before it.
    store: Mutex<Option<Store>>,
    folder: tempfile::TempDir,
    /// By how many milliseconds the clock moves each tick.
    lapse: Arc<AtomicU64>,
    /// Moves it; ends with the bench.
    _moves: tokio::task::JoinSet<()>,
}

/// What does not.
pub(crate) struct Plane {
    pub(crate) engine: Engine,
    pub(crate) faults: Faults,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let lapse = Arc::new(AtomicU64::new(LAPSE_MS));
        let mut moves = tokio::task::JoinSet::new();
        moves.spawn(pass(lapse.clone()));
        let account = account();
        let folder = folder();
        let store = Store::open(&folder.path().join("ledger.db"), key()).unwrap();
        let row = account.clone();
        store.write(move |tx| tx.account_insert(&row, None).map_err(Refusal::from)).await.unwrap();
        Self {
            world: World::default(),
            account,
            tune: |_| {},
            mail: None,
            with_authority: false,
            store: Mutex::new(Some(store)),
            folder,
            lapse,
            _moves: moves,
        }
    }

    /// Lets time run at another speed.
    pub(crate) fn hasten(&self, by: Duration) {
        self.lapse.store(by.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    /// The plane before must have been killed.
    pub(crate) async fn start(&self, faults: &Faults) -> Plane {
        let engine = self.engine(faults).await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        renga_engine::run(&engine, &tasks, &stop);
        Plane { engine, faults: faults.clone(), tasks, stop }
    }

    /// A plane whose loops hear no bell, over a node whose changes nobody hears of.
    pub(crate) async fn start_deaf(&self, faults: &Faults) -> Plane {
        self.world.lose_changes(true);
        let engine = self.engine(faults).await;
        engine.wake.silence();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        renga_engine::run(&engine, &tasks, &stop);
        Plane { engine, faults: faults.clone(), tasks, stop }
    }

    pub(crate) async fn engine(&self, faults: &Faults) -> Engine {
        let hands = self.world.hands(faults);
        let hands = Hands {
            runtime: hands.runtime,
            logs: hands.logs,
            git: hands.git,
            routes: hands.routes,
            clock: hands.clock,
            mail: self.mail.clone(),
            acme: self.with_authority.then_some(hands.acme as Arc<dyn Acme>),
        };
        *self.slot() = None;
        let store = reopen(&self.folder.path().join("ledger.db"), faults).await;
        *self.slot() = Some(store.clone());
        let mut settings = self.settings();
        (self.tune)(&mut settings);
        Engine::new(store, hands, settings)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Read<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let store = self.slot().clone().unwrap();
        store.read(f).await.unwrap()
    }

    /// Waits until the log has every line that the ledger holds for it.
    pub(crate) async fn all_told(&self) {
        until("the last lines", async || self.read(|read| read.outbox_after(0, 1)).await.is_empty()).await;
    }

    /// Waits for a minute in which the ledger is not written: what was under way may end before it.
    pub(crate) async fn rests(&self) {
        until("a minute without a write", async || {
            let writes = self.writes();
            tokio::time::sleep(Duration::from_secs(60)).await;
            self.writes() == writes
        })
        .await;
    }

    /// Write requests that the ledger has met since its plane was started.
    pub(crate) fn writes(&self) -> u64 {
        self.slot().as_ref().unwrap().writer_counts().requests
    }

    fn settings(&self) -> Settings {
        let stack: renga_model::StackName = "heroku-24".parse().unwrap();
        Settings {
            domain: "localhost".into(),
            router_http_port: 8080,
            router_tls_port: 8443,
            api_url: "http://localhost:4000".into(),
            git_host: "localhost:4443".into(),
            rendezvous: "localhost:4001".into(),
            region: "us".into(),
            default_stack: stack.clone(),
            stacks: vec![stack],
            exchange: self.folder.path().to_owned(),
            site_build_env: BTreeMap::new(),
            sizes: renga_model::Sizes::heroku(),
            tiers: renga_model::Tiers::default(),
            memory: renga_planner::Overcommit { reserve_bytes: 0, overcommit_percent: 10_000 },
            disk: renga_planner::Overcommit { reserve_bytes: 0, overcommit_percent: 10_000 },
            dyno_disk_bytes: 1 << 30,
            build_disk_bytes: 1 << 30,
            build_memory_bytes: 1 << 30,
            build_timeout: renga_model::limits::BUILD_TIMEOUT,
            boots_max: 4,
            builds_max: 2,
            sleep_after: Some(renga_model::limits::SLEEP_AFTER),
            freeze_for: None,
            cycle_after: Some(renga_model::limits::CYCLE_AFTER),
            disk_budget_bytes: 1 << 40,
            disk_floor_bytes: 1 << 30,
            releases_kept: 10,
            invitations: renga_engine::Invitations::Anybody,
        }
    }

    // === what the ledger says ===

    pub(crate) async fn build(&self, build: &Build) -> Build {
        let id = build.id;
        self.read(move |read| read.build_fetch(id)).await
    }
    pub(crate) async fn releases(&self, app: AppId) -> Vec<Release> {
        self.read(move |read| read.release_list(app, false, 100, None)).await
    }
    pub(crate) async fn dynos(&self, app: AppId) -> Vec<Dyno> {
        self.read(move |read| read.dyno_list_for_app(app)).await
    }
    pub(crate) async fn app_exists(&self, app: AppId) -> bool {
        self.read(move |read| read.app_fetch(app).or_none()).await.is_some()
    }
    /// Whether web.1 runs the newest release and requests go to it, and nothing else lives.
    pub(crate) async fn serves_newest(&self, app: AppId) -> bool {
        let newest = self.releases(app).await.last().map(|release| release.id);
        let dynos = self.dynos(app).await;
        let table = self.world.table();
        let routed = table
            .apps
            .iter()
            .find(|route| route.id == app)
            .map(|route| route.dynos.clone())
            .unwrap_or_default();
        let [dyno] = dynos.as_slice() else { return false };
        dyno.state == DynoState::Up
            && dyno.release == newest
            && routed.iter().map(|route| route.id).eq([dyno.id])
            && self.world.held() == 1
    }
}

impl Plane {
    pub(crate) async fn kill(self) {
        // Whatever is still in the ledger's queue dies with it.
        self.faults.kill();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(crate) async fn push(&self, app: &App, user: &Account, commit: &str) -> Build {
        let source = BuildSource::Git {
            commit: commit.repeat(40)[..40].to_owned(),
            branch: "main".into(),
            previous: None,
        };
        renga_engine::operations::builds::create(&self.engine, app.id, user.id, source, Vec::new())
            .await
            .unwrap()
    }
}

/// Looks until it is so; what it waits for shows in the panic.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let begin = Instant::now();
    while !look().await {
        assert!(begin.elapsed() < SETTLE_TIMEOUT, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn build_ends(bench: &Bench, build: &Build, status: BuildStatus) {
    until("the build's end", async || bench.build(build).await.status.is_over()).await;
    let build = bench.build(build).await;
    assert_eq!(build.status, status, "{:?} {:?}", build.failure, bench.world.output(&build.id.to_string()));
}

// === parts of a bench ===

/// Moves the runtime's clock for ever. Work on a blocking thread keeps it from moving by itself.
async fn pass(lapse: Arc<AtomicU64>) {
    loop {
        tokio::task::spawn_blocking(|| std::thread::sleep(TICK)).await.ok();
        tokio::time::advance(Duration::from_millis(lapse.load(Ordering::Relaxed))).await;
    }
}

/// In memory where there is such a folder: what a power cut leaves is the store's own tests' business.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

fn key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

fn account() -> Account {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let id = AccountId::random();
    Account::new(id, "a@example.com".into(), now)
}

/// Waits until the last task of the plane before has let go of the ledger.
async fn reopen(path: &Path, faults: &Faults) -> Store {
    let begin = Instant::now();
    loop {
        let faults = faults.clone();
        match Store::open_with_oracle(path, key(), move || fate(&faults)) {
            Err(StoreError::Locked { .. }) if begin.elapsed() < SETTLE_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

fn fate(faults: &Faults) -> Fate {
    match faults.next_write() {
        Fault::None | Fault::Repeat => Fate::Kept,
        Fault::Fail => Fate::Refused,
        Fault::CrashBefore => Fate::DiesBefore,
        Fault::CrashAfter => Fate::DiesAfter,
    }
}

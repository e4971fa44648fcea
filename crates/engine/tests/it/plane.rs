//! A control plane for one test: it can be killed and started again over the same ledger and the same world.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::{Engine, Hands, Settings};
use renga_model::{
    Account, AccountId, App, AppId, Build, BuildSource, BuildStatus, Dyno, DynoState, Refusal, Release,
};
use renga_store::{MasterKey, Store};
use renga_testkit::world::{Faults, World};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longer than any back-off that a test can meet.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);

/// What outlives a crash.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) store: Store,
    pub(crate) account: Account,
    folder: tempfile::TempDir,
}

/// What does not.
pub(crate) struct Plane {
    pub(crate) engine: Engine,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("ledger.db"), MasterKey::from_bytes([7; 32])).unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let account = Account {
            id: AccountId::random(),
            email: "a@example.com".into(),
            name: None,
            created_at: now,
            updated_at: now,
        };
        let row = account.clone();
        store.write(move |tx| tx.account_insert(&row, None).map_err(Refusal::from)).await.unwrap();
        Self { world: World::default(), store, account, folder }
    }

    pub(crate) fn start(&self, faults: &Faults) -> Plane {
        let hands = self.world.hands(faults);
        let hands = Hands {
            runtime: hands.runtime,
            logs: hands.logs,
            git: hands.git,
            routes: hands.routes,
            clock: hands.clock,
        };
        let engine = Engine::new(self.store.clone(), hands, self.settings());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        renga_engine::run(&engine, &tasks, &stop);
        Plane { engine, tasks, stop }
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
            dyno_disk_bytes: 1 << 30,
            build_disk_bytes: 1 << 30,
            build_memory_bytes: 1 << 30,
            build_timeout: renga_model::limits::BUILD_TIMEOUT,
            builds_max: 2,
            disk_budget_bytes: 1 << 40,
            releases_kept: 10,
        }
    }

    // === what the ledger says ===

    pub(crate) async fn build(&self, build: &Build) -> Build {
        let id = build.id;
        self.store.read(move |read| read.build_fetch(id).map_err(Refusal::from)).await.unwrap()
    }
    pub(crate) async fn releases(&self, app: AppId) -> Vec<Release> {
        self.store
            .read(move |read| read.release_list(app, false, 100, None).map_err(Refusal::from))
            .await
            .unwrap()
    }
    pub(crate) async fn dynos(&self, app: AppId) -> Vec<Dyno> {
        self.store.read(move |read| read.dyno_list_for_app(app).map_err(Refusal::from)).await.unwrap()
    }
    pub(crate) async fn app_exists(&self, app: AppId) -> bool {
        self.store.read(move |read| read.app_fetch(app).map_err(Refusal::from)).await.is_ok()
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
    let looked = tokio::time::timeout(SETTLE_TIMEOUT, async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(looked.await.is_ok(), "waited in vain: {what}");
}

pub(crate) async fn build_ends(bench: &Bench, build: &Build, status: BuildStatus) {
    until("the build's end", async || bench.build(build).await.status.is_over()).await;
    let build = bench.build(build).await;
    assert_eq!(build.status, status, "{:?} {:?}", build.failure, bench.world.output(&build.id.to_string()));
}

//! What survives a crash of the control plane.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use renga_model::{AppId, DiskUsage, DynoId, DynoKind, Exit, LayerDigest, LogLine, MemoryUsage, RouteTable};
use renga_ports::{BuildResult, BuiltLayer, Clock, DynoPhase, DynoSpec};
use tokio::sync::Notify;

use super::{
    Delivery, Faults,
    acme::{Authority, WorldAcme},
    git::WorldGit,
    logs::WorldLogs,
    node::{Node, Presence},
    routes::WorldRoutes,
    runtime::WorldRuntime,
};

/// Cheap to clone; clones are the same world.
#[derive(Debug, Clone)]
pub struct World(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) changed: Notify,
    pub(crate) clock: ManualClock,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) dynos: BTreeMap<DynoId, SimDyno>,
    /// Dynos of formations that ran at one time, the most of it.
    pub(crate) most_at_once: usize,
    pub(crate) layers: BTreeMap<LayerDigest, Timestamp>,
    pub(crate) repositories: BTreeMap<AppId, BTreeMap<String, String>>,
    pub(crate) lines: Vec<(AppId, LogLine)>,
    /// Apps whose log was removed: a line that still comes is dropped.
    pub(crate) logs_removed: BTreeSet<AppId>,
    /// Numbers of lines that came from the outbox.
    pub(crate) told: BTreeSet<(AppId, u64)>,
    pub(crate) outputs: BTreeMap<String, Output>,
    pub(crate) table: RouteTable,
    pub(crate) authority: Authority,
    /// Apps with a request under way, and for how long all others had none.
    pub(crate) requested: BTreeSet<AppId>,
    pub(crate) quiet_for: Duration,
    pub(crate) builds: BuildOutcome,
    /// Dynos of the formation whose command is in here never get ready.
    pub(crate) never_ready: BTreeSet<String>,
    /// Commands that end at once, and with what.
    pub(crate) exits: BTreeMap<String, i32>,
    /// What every dyno takes.
    pub(crate) memory: MemoryUsage,
    pub(crate) disk: Option<DiskUsage>,
    pub(crate) listeners: Vec<std::net::SocketAddr>,
    pub(crate) runnable_tasks: u32,
    pub(crate) memory_bytes_free: u64,
    /// The node has no freezer.
    pub(crate) cannot_freeze: bool,
    /// Dynos with a request under way, whatever the table says.
    pub(crate) busy: BTreeSet<DynoId>,
    pub(crate) node: Node,
    pub(crate) changes_lost: bool,
    pub(crate) complaints: Vec<String>,
}

impl State {
    /// Dynos of formations.
    pub(crate) fn running(&self) -> usize {
        let runs = |dyno: &&SimDyno| {
            dyno.spec.kind == DynoKind::Formation && !matches!(dyno.phase, DynoPhase::Exited(_))
        };
        self.dynos.values().filter(runs).count()
    }
}

#[derive(Debug)]
pub(crate) struct SimDyno {
    pub(crate) spec: DynoSpec,
    pub(crate) phase: DynoPhase,
    pub(crate) started_at: Timestamp,
    pub(crate) frozen: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) last_step: Option<u64>,
    pub(crate) followed: BTreeSet<DynoId>,
    pub(crate) finished: bool,
    pub(crate) changed_at: Timestamp,
}

/// What build dynos of this world do.
#[derive(Debug, Clone)]
pub(crate) struct BuildOutcome {
    /// None: it runs until the test ends it.
    pub(crate) code: Option<i32>,
    pub(crate) result: BuildResult,
}

impl Default for BuildOutcome {
    fn default() -> Self {
        let app = BuiltLayer::Fresh { key: None, directory: "/out/layers/app".into() };
        let web = ("web".parse().expect("a legal process type"), "serve".to_owned());
        Self {
            code: Some(0),
            result: BuildResult {
                layers: vec![app],
                cache: None,
                process_types: BTreeMap::from([web]),
                language: Some("Procfile".into()),
                detected: None,
                config_defaults: BTreeMap::new(),
                addons: Vec::new(),
                facts: BTreeMap::new(),
                buildpacks: Vec::new(),
            },
        }
    }
}

/// One set of hands over a world; a restarted control plane gets another.
#[derive(Debug)]
pub struct Hands {
    pub runtime: Arc<WorldRuntime>,
    pub logs: Arc<WorldLogs>,
    pub git: Arc<WorldGit>,
    pub routes: Arc<WorldRoutes>,
    pub clock: Arc<ManualClock>,
    pub acme: Arc<WorldAcme>,
}

impl Default for World {
    fn default() -> Self {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        let state = State { memory_bytes_free: 1 << 34, ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new(), clock }))
    }
}

impl World {
    pub fn hands(&self, faults: &Faults) -> Hands {
        let (world, faults) = (self.clone(), faults.clone());
        Hands {
            runtime: Arc::new(WorldRuntime { world: world.clone(), faults: faults.clone() }),
            logs: Arc::new(WorldLogs { world: world.clone() }),
            git: Arc::new(WorldGit { world: world.clone(), faults: faults.clone() }),
            clock: Arc::new(world.0.clock.clone()),
            acme: Arc::new(WorldAcme { world: world.clone(), faults: faults.clone() }),
            routes: Arc::new(WorldRoutes { world, faults }),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }

    // === what a test arranges ===

    pub fn clock(&self) -> &ManualClock {
        &self.0.clock
    }
    /// Process types of the slugs that builds make from now on.
    pub fn builds_declare(&self, types: &[(&str, &str)]) {
        let types = types.iter().map(|(name, command)| (name.parse().expect("legal"), (*command).to_owned()));
        self.state().builds.result.process_types = types.collect();
    }
    pub fn builds_fail(&self) {
        self.builds_end(Some(1));
    }
    /// With what build dynos exit from now on; none: they run until the test ends them.
    pub fn builds_end(&self, code: Option<i32>) {
        self.state().builds.code = code;
    }
    /// How many dynos the node has here that wait for their port.
    pub fn booting(&self) -> usize {
        self.state().dynos.values().filter(|dyno| dyno.phase == DynoPhase::Starting).count()
    }
    pub fn never_ready(&self, command: &str) {
        self.state().never_ready.insert(command.into());
    }
    /// Whatever waits for its port gets it, now and from now on.
    pub fn all_get_ready(&self) {
        let mut state = self.state();
        state.never_ready.clear();
        state
            .dynos
            .values_mut()
            .filter(|d| d.phase == DynoPhase::Starting)
            .for_each(|d| d.phase = DynoPhase::Ready);
        drop(state);
        self.tell_change();
    }
    pub fn deliver(&self, delivery: Delivery) {
        self.state().node.delivery = delivery;
    }
    /// From now on `Runtime::changed` returns after its pause only, as if it had missed every change.
    pub fn lose_changes(&self, lost: bool) {
        self.state().changes_lost = lost;
    }
    /// The node is about to be gone: what it is asked from now on it accepts, and does not carry out.
    pub fn node_fails(&self) {
        self.state().node.presence = Presence::Failing;
    }
    /// No call of the runtime is answered.
    pub fn node_goes(&self) {
        let mut state = self.state();
        state.node.presence = Presence::Away;
        state.node.missed = false;
    }
    pub fn node_comes(&self) {
        self.state().node.presence = Presence::There;
        self.tell_change();
    }
    /// The router starts again without a table, or with one of that generation.
    pub fn router_restarts(&self, generation: u64) {
        self.state().table = RouteTable { generation, ..RouteTable::default() };
    }
    /// From now on requests are under way, or wait, for these apps; every other had none for a while.
    pub fn requests(&self, apps: &[AppId], quiet_for: Duration) {
        let mut state = self.state();
        (state.requested, state.quiet_for) = (apps.iter().copied().collect(), quiet_for);
    }
    pub fn exits(&self, command: &str, code: i32) {
        self.state().exits.insert(command.into(), code);
    }
    /// The opposite of [`World::exits`].
    pub fn runs(&self, command: &str) {
        self.state().exits.remove(command);
    }
    /// Where every dyno listens, as [`renga_ports::Runtime::listeners`] tells.
    pub fn dynos_listen(&self, at: &str) {
        self.state().listeners = vec![at.parse().expect("a socket's address")];
    }
    /// What is left on the writable layer of every dyno.
    pub fn dynos_have(&self, disk: DiskUsage) {
        self.state().disk = Some(disk);
    }
    /// What every dyno takes from now on.
    pub fn dynos_take(&self, memory: MemoryUsage, runnable_tasks: u32) {
        let mut state = self.state();
        (state.memory, state.runnable_tasks) = (memory, runnable_tasks);
    }
    pub fn memory_free(&self, bytes: u64) {
        self.state().memory_bytes_free = bytes;
    }
    /// From now on the node has no freezer.
    pub fn cannot_freeze(&self) {
        self.state().cannot_freeze = true;
    }
    /// Requests are under way to these dynos, and to no others.
    pub fn keeps_busy(&self, dynos: &[DynoId]) {
        self.state().busy = dynos.iter().copied().collect();
    }
    /// The node lets a dyno run, or not, without being asked.
    pub fn strays(&self, dyno: DynoId, frozen: bool) {
        if let Some(dyno) = self.state().dynos.get_mut(&dyno) {
            dyno.frozen = frozen;
        }
    }
    /// Ends a dyno as if its process had.
    pub fn end(&self, dyno: DynoId, code: i32) {
        let at = self.0.clock.now();
        if let Some(dyno) = self.state().dynos.get_mut(&dyno)
            && !matches!(dyno.phase, DynoPhase::Exited(_))
        {
            dyno.phase = DynoPhase::Exited(Exit::new(code, renga_model::ExitReason::Exited, at));
        }
        self.tell_change();
    }

    pub(crate) fn tell_change(&self) {
        if !self.state().changes_lost {
            self.0.changed.notify_waiters();
        }
    }

    // === what a test looks at ===

    /// Whether an inventory was asked of the node while it was away.
    pub fn node_is_missed(&self) -> bool {
        self.state().node.missed
    }
    /// What was done in this world that no control plane may do. Each is told once.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.state().complaints)
    }
    /// Specs of the dynos that have not exited.
    pub fn alive(&self) -> BTreeMap<DynoId, DynoSpec> {
        let state = self.state();
        let alive = state.dynos.iter().filter(|(_, dyno)| !matches!(dyno.phase, DynoPhase::Exited(_)));
        alive.map(|(id, dyno)| (*id, dyno.spec.clone())).collect()
    }
    /// Apps that have a repository.
    pub fn repositories(&self) -> BTreeSet<AppId> {
        self.state().repositories.keys().copied().collect()
    }

    /// Dynos that have not exited: id, name and command.
    pub fn running(&self) -> Vec<(DynoId, String, String)> {
        let state = self.state();
        let alive = state.dynos.iter().filter(|(_, dyno)| !matches!(dyno.phase, DynoPhase::Exited(_)));
        alive
            .map(|(id, d)| (*id, d.spec.name.to_string(), d.spec.argv.last().cloned().unwrap_or_default()))
            .collect()
    }
    /// The most dynos of formations that ran at one time since this was asked last.
    pub fn most_at_once(&self) -> usize {
        let mut state = self.state();
        let now = state.running();
        std::mem::replace(&mut state.most_at_once, now)
    }
    /// Names of the dynos that are frozen.
    pub fn frozen(&self) -> Vec<String> {
        let state = self.state();
        state.dynos.values().filter(|dyno| dyno.frozen).map(|dyno| dyno.spec.name.to_string()).collect()
    }
    /// Dynos that the node still holds anything of.
    pub fn held(&self) -> usize {
        self.state().dynos.len()
    }
    pub fn layers(&self) -> BTreeSet<LayerDigest> {
        self.state().layers.keys().cloned().collect()
    }
    pub fn table(&self) -> RouteTable {
        self.state().table.clone()
    }
    pub fn branch(&self, app: AppId, branch: &str) -> Option<String> {
        self.state().repositories.get(&app)?.get(branch).cloned()
    }
    pub fn has_repository(&self, app: AppId) -> bool {
        self.state().repositories.contains_key(&app)
    }
    pub fn log(&self, app: AppId) -> Vec<String> {
        let state = self.state();
        state
            .lines
            .iter()
            .filter(|(of, _)| *of == app)
            .map(|(_, l)| format!("{}[{}]: {}", l.source.as_str(), l.ps, l.text))
            .collect()
    }
    /// The text of an output, and whether it is finished.
    pub fn output(&self, name: &str) -> Option<(String, bool)> {
        self.state().outputs.get(name).map(|output| (output.text.clone(), output.finished))
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }
    pub fn advance(&self, by: std::time::Duration) {
        let mut now = self.0.lock().expect("nothing panics while it holds this lock");
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("nothing panics while it holds this lock")
    }
}

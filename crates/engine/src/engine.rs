//! The engine's hands, memory and bells in one value that is cheap to clone.

use std::{ops::Deref, path::PathBuf, sync::Arc};

use renga_model::{DynoSize, Refusal, Sizes, StackName, Tiers};
use renga_planner::Overcommit;
use renga_ports::{Acme, Clock, Git, Logs, Mail, RouteFeed, Runtime, RuntimeError};
use renga_store::Store;

use crate::{
    asked::{Asked, Attached},
    boots::Boots,
    changes::Changes,
    decisions::Decisions,
    execs::Execs,
    operations::CpuTimes,
    published::PublishedRoutes,
    wakes::Wakes,
};

/// What the operator decided; the binary fills it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Apps are reached as `NAME.DOMAIN`.
    pub domain: String,
    /// The router's ports as users reach them; `web_url` names the TLS port unless it is 443.
    pub router_http_port: u16,
    pub router_tls_port: u16,
    /// Base URL of the API as users reach it, without a trailing slash (`http://localhost:4000`).
    pub api_url: String,
    /// `HOST:PORT` of git over HTTPS (the API's TLS listener).
    pub git_host: String,
    /// `HOST:PORT` of the rendezvous listener.
    pub rendezvous: String,
    pub region: String,
    pub default_stack: StackName,
    pub stacks: Vec<StackName>,
    /// Where server and node pass files to each other.
    pub exchange: PathBuf,
    /// `[site]`: what builds get on top of their environment (CA bundle, proxies).
    pub site_build_env: std::collections::BTreeMap<String, String>,
    pub sizes: Sizes,
    /// How many dynos an account may have.
    pub tiers: Tiers,
    /// What the quotas of all dynos together may be.
    pub memory: Overcommit,
    /// The same of their disks.
    pub disk: Overcommit,
    /// Disk of a dyno's (unless its size says otherwise) and of a build's writable layer, in bytes.
    pub dyno_disk_bytes: u64,
    pub build_disk_bytes: u64,
    /// Memory of a build dyno, in bytes.
    pub build_memory_bytes: u64,
    /// A build that takes longer is stopped.
    pub build_timeout: std::time::Duration,
    /// Web dynos that boot at one time; the others follow as these are up.
    pub boots_max: usize,
    /// Builds that run at one time on this platform.
    pub builds_max: usize,
    /// An app of a size that sleeps does so after this long without web traffic; none: never.
    pub sleep_after: Option<std::time::Duration>,
    /// Its web dynos are frozen for so long before they stop; none: they stop at once.
    pub freeze_for: Option<std::time::Duration>,
    /// A dyno of the formation is replaced after this long and a little more; none: never.
    pub cycle_after: Option<std::time::Duration>,
    /// Layers, caches, outputs and git repositories together may take this many bytes before the oldest unused go.
    pub disk_budget_bytes: u64,
    /// Bytes of disk that stay free: below them no build is begun, so that the ledger can always be written.
    pub disk_floor_bytes: u64,
    /// Releases per app that are kept whole (their slugs stay, rollback to them is possible).
    pub releases_kept: usize,
    /// Who may give something to people who have no account, and so invite them.
    pub invitations: Invitations,
}

/// Where no mail is sent, whoever invites an address holds its link, and could come in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invitations {
    Anybody,
    Operators,
}

impl Settings {
    /// The app's address as a person opens it.
    pub fn web_url(&self, app: &renga_model::AppName) -> String {
        match self.router_tls_port {
            443 => format!("https://{app}.{}/", self.domain),
            port => format!("https://{app}.{}:{port}/", self.domain),
        }
    }
    /// What a dyno's size allows.
    pub fn size(&self, name: &str) -> &DynoSize {
        self.sizes.standing_for(name)
    }
    /// The writable layer of a dyno of this size.
    pub fn disk_bytes(&self, size: &str) -> u64 {
        self.size(size).disk_mib.map_or(self.dyno_disk_bytes, |mib| mib * 1024 * 1024)
    }
    pub fn git_url(&self, app: &renga_model::AppName) -> String {
        format!("https://{}/{app}.git", self.git_host)
    }
}

/// Clone it freely.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

pub struct Parts {
    pub store: Store,
    pub runtime: Arc<dyn Runtime>,
    pub logs: Arc<dyn Logs>,
    pub git: Arc<dyn Git>,
    pub routes: Arc<dyn RouteFeed>,
    pub clock: Arc<dyn Clock>,
    /// None: nobody gets letters; links are handed over by hand.
    pub mail: Option<Arc<dyn Mail>>,
    /// None: there are no automatic certificates.
    pub acme: Option<Arc<dyn Acme>>,
    pub settings: Settings,
    pub wake: Wakes,
    pub published: PublishedRoutes,
    /// One-off dynos whose client is connected.
    pub attached: Attached,
    /// Tells waiters that rows they wait for may have changed.
    pub changes: Changes,
    pub(crate) asked: Asked,
    pub(crate) boots: Boots,
    pub(crate) execs: Execs,
    pub(crate) decisions: Decisions,
    pub(crate) cpu_times: CpuTimes,
    pub(crate) started_at: jiff::Timestamp,
}

/// The hands that an engine is made with.
pub struct Hands {
    pub runtime: Arc<dyn Runtime>,
    pub logs: Arc<dyn Logs>,
    pub git: Arc<dyn Git>,
    pub routes: Arc<dyn RouteFeed>,
    pub clock: Arc<dyn Clock>,
    pub mail: Option<Arc<dyn Mail>>,
    pub acme: Option<Arc<dyn Acme>>,
}

impl Engine {
    /// Grows with every change of the ledger, before that is answered. What was read after this moment is true for as
    /// long as it stays the same.
    pub fn ledger_moment(&self) -> u64 {
        self.store.writer_counts().commits
    }

    pub fn new(store: Store, hands: Hands, settings: Settings) -> Self {
        let Hands { runtime, logs, git, routes, clock, mail, acme } = hands;
        let started_at = clock.now();
        Self(Arc::new(Parts {
            store,
            runtime,
            logs,
            git,
            routes,
            clock,
            mail,
            acme,
            settings,
            wake: Wakes::default(),
            published: PublishedRoutes::default(),
            attached: Attached::default(),
            changes: Changes::default(),
            asked: Asked::default(),
            boots: Boots::default(),
            execs: Execs::default(),
            decisions: Decisions::default(),
            cpu_times: CpuTimes::default(),
            started_at,
        }))
    }

    /// Refuses what would take space while the disk is almost full. The node refuses for itself; while it is away,
    /// what is asked for waits for it.
    pub(crate) async fn check_room(&self) -> Result<(), Refusal> {
        let floor = self.settings.disk_floor_bytes;
        match self.runtime.capacity().await {
            Ok(capacity) if capacity.disk_bytes_free < floor => {
                Err(Refusal::disk_low(capacity.disk_bytes_free, floor))
            }
            Ok(_) | Err(RuntimeError::Away(_)) => Ok(()),
            Err(failed) => Err(crate::error::runtime(failed)),
        }
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }
}

impl Deref for Engine {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

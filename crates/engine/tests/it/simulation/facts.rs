//! What one look sees: every row, between two looks at the world.

use std::collections::{BTreeMap, BTreeSet};

use renga_model::{
    App, AppId, Build, Dyno, DynoId, DynoName, DynoState, Formation, LayerDigest, Release, ReleaseId,
    ReleaseStatus, RouteTable, Slug, Worker,
};
use renga_ports::DynoSpec;
use renga_store::{Read, StoreError};

use crate::plane::Bench;

pub(crate) struct Facts {
    pub(crate) apps: Vec<AppFacts>,
    pub(crate) deleted: BTreeSet<AppId>,
    pub(crate) dynos: Vec<Dyno>,
    pub(crate) builds: Vec<Build>,
    pub(crate) pending: Vec<Release>,
    pub(crate) layers_named: BTreeSet<LayerDigest>,
    /// Dynos that lived when the looking began, and still live.
    pub(crate) alive: BTreeMap<DynoId, DynoSpec>,
    /// What the router had when the looking began.
    pub(crate) table: RouteTable,
}

pub(crate) struct AppFacts {
    pub(crate) app: App,
    pub(crate) releases: Vec<Release>,
    pub(crate) slug: Option<Slug>,
    pub(crate) formation: Vec<Formation>,
}

pub(crate) async fn look(bench: &Bench) -> Facts {
    let (before, table) = (bench.world.alive(), bench.world.table());
    let mut facts = bench.read(rows).await;
    facts.table = table;
    facts.alive = bench.world.alive();
    facts.alive.retain(|id, _| before.contains_key(id));
    facts
}

fn rows(read: &Read<'_>) -> Result<Facts, StoreError> {
    let mut apps = Vec::new();
    for app in read.app_list()? {
        let releases = read.release_list(app.id, false, 1_000, None)?;
        let slug = releases.iter().find(|release| release.current).and_then(|release| release.slug);
        let slug = slug.map(|slug| read.slug_fetch(slug)).transpose()?;
        let formation = read.formation_list(app.id)?;
        apps.push(AppFacts { app, releases, slug, formation });
    }
    Ok(Facts {
        apps,
        deleted: read.apps_deleted()?.into_iter().map(|app| app.id).collect(),
        dynos: read.dyno_list()?,
        builds: read.build_list_unfinished()?,
        pending: read.release_list_pending()?,
        layers_named: read.layers_in_use()?,
        alive: BTreeMap::new(),
        table: RouteTable::default(),
    })
}

impl Facts {
    pub(crate) fn app(&self, app: AppId) -> Option<&AppFacts> {
        self.apps.iter().find(|facts| facts.app.id == app)
    }
    pub(crate) fn dyno(&self, id: DynoId) -> Option<&Dyno> {
        self.dynos.iter().find(|dyno| dyno.id == id)
    }
    /// Rows of the formation that have not exited.
    pub(crate) fn formation_of(&self, app: AppId) -> impl Iterator<Item = &Dyno> {
        let live = |dyno: &&Dyno| dyno.worker == Worker::Formation && dyno.state != DynoState::Exited;
        self.dynos.iter().filter(move |dyno| dyno.app == app).filter(live)
    }
    /// Whether requests may still go to a dyno that is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.dynos.iter().any(|dyno| dyno.state == DynoState::Stopping)
    }
    /// Whether a row is on its way from one state to another.
    pub(crate) fn is_moving(&self) -> bool {
        let moves = |dyno: &Dyno| !matches!(dyno.state, DynoState::Up | DynoState::Exited);
        self.dynos.iter().any(moves) || !self.deleted.is_empty()
    }
}

impl AppFacts {
    pub(crate) fn current(&self) -> Option<&Release> {
        self.releases.iter().find(|release| release.current)
    }
    pub(crate) fn release(&self, id: ReleaseId) -> Option<&Release> {
        self.releases.iter().find(|release| release.id == id)
    }
    pub(crate) fn newest_that_stands(&self) -> Option<&Release> {
        self.releases.iter().rev().find(|release| release.status == ReleaseStatus::Succeeded)
    }
    /// Names of the dynos that the current release and the formation ask for.
    pub(crate) fn wanted(&self) -> BTreeSet<DynoName> {
        let Some(slug) = &self.slug else { return BTreeSet::new() };
        let runs = |f: &&Formation| slug.command(&f.process_type).is_some() && !f.process_type.is_release();
        let names = |f: &Formation| {
            let process_type = f.process_type.clone();
            (1..=f.quantity).map(move |number| DynoName::new(process_type.clone(), number))
        };
        self.formation.iter().filter(runs).flat_map(names).collect()
    }
}

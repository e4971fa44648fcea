//! Makes the next table of the former one and what is to be other, and keeps the counters that outlive tables.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use renga_model::{AppId, DynoId, RouteApp, RouteDyno, RouteTable};

use super::{App, AppCounters, Dyno, DynoCounters, Hosts, Table};
use crate::pages::Pages;

#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// Of the apps in the table.
    places: HashMap<AppId, usize>,
    /// Where apps were.
    free: BTreeSet<usize>,
    /// Of apps and dynos in the table, and of those that have left it and have requests.
    apps: HashMap<AppId, Arc<AppCounters>>,
    pub(super) dynos: HashMap<DynoId, Arc<DynoCounters>>,
    apps_gone: BTreeSet<AppId>,
    dynos_gone: BTreeSet<DynoId>,
    /// Two apps claim one host name.
    contested: bool,
}

/// What is to be other than in the former table. An app that is the same may be named too.
pub(super) struct News {
    pub(super) generation: u64,
    pub(super) changed: BTreeMap<AppId, RouteApp>,
    pub(super) gone: BTreeSet<AppId>,
    /// None: as they were.
    pub(super) challenges: Option<BTreeMap<String, String>>,
}

/// The surroundings of new counters.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) threads: usize,
    pub(super) ms: u64,
}

impl Publisher {
    /// What leads from the former table to one of these apps and no others.
    pub(super) fn whole(&self, former: &Table, source: RouteTable) -> News {
        let RouteTable { generation, apps, challenges } = source;
        let mut gone: BTreeSet<_> = self.places.keys().copied().collect();
        let mut changed = BTreeMap::new();
        for app in apps {
            gone.remove(&app.id);
            let known = self.places.get(&app.id).and_then(|place| former.apps.get(*place));
            if known.is_none_or(|known| known.row != app) {
                changed.insert(app.id, app);
            }
        }
        News { generation, changed, gone, challenges: Some(challenges) }
    }

    /// The next table, and whether a dyno has left.
    pub(super) fn make(&mut self, former: &Table, news: News, now: Now) -> (Table, bool) {
        let mut table = Table {
            version: former.version + 1,
            generation: news.generation,
            apps: former.apps.clone(),
            hosts: former.hosts.clone(),
            made_ms: now.ms,
            challenges: news.challenges.map_or_else(|| former.challenges.clone(), Arc::new),
        };
        let mut left = HashSet::new();
        // All names are given up before one is taken, so that names may move.
        let gone = news.gone.iter().map(|id| (id, None));
        for (id, next) in gone.chain(news.changed.iter().map(|(id, app)| (id, Some(app)))) {
            if let Some(place) = self.places.get(id) {
                left.extend(give_up(&mut table, *place, next));
            }
        }
        for id in news.gone.iter().filter(|id| !news.changed.contains_key(*id)) {
            self.remove(&mut table, *id);
        }
        for row in news.changed.into_values() {
            row.dynos.iter().for_each(|dyno| _ = left.remove(&dyno.id));
            self.put(&mut table, row, now);
        }
        if self.contested {
            self.settle(&mut table);
        }
        for id in &left {
            if let Some(dyno) = self.dynos.get(id) {
                dyno.left.store(true, Ordering::Relaxed);
                self.dynos_gone.insert(*id);
            }
        }
        (table, !left.is_empty())
    }

    fn remove(&mut self, table: &mut Table, id: AppId) {
        if let Some(place) = self.places.remove(&id) {
            table.apps.set(place, None);
            self.free.insert(place);
            self.apps_gone.insert(id);
        }
    }

    fn put(&mut self, table: &mut Table, row: RouteApp, now: Now) {
        let next = self.places.len() + self.free.len();
        let place = match self.places.get(&row.id) {
            Some(place) => *place,
            None => self.free.pop_first().unwrap_or(next),
        };
        self.places.insert(row.id, place);
        self.apps_gone.remove(&row.id);
        for host in &row.hosts {
            let name = host.to_ascii_lowercase();
            let taken = table.hosts.find(&name);
            if taken.is_none() {
                Arc::make_mut(&mut table.hosts).insert(&name, place);
            } else if taken.is_some_and(|(_, app)| app != place) {
                self.contested = true;
            }
        }
        let app = self.app(row, now);
        table.apps.set(place, Some(Arc::new(app)));
    }

    /// A name stands on one app only; should two claim it, the one with the lowest id has it, whichever came first.
    fn settle(&mut self, table: &mut Table) {
        let mut hosts = Hosts::default();
        let apps: BTreeMap<_, _> = self.places.iter().collect();
        let mut settled = true;
        for place in apps.into_values() {
            for host in table.apps.get(*place).into_iter().flat_map(|app| &app.row.hosts) {
                let name = host.to_ascii_lowercase();
                if !hosts.insert(&name, *place) && hosts.find(&name).is_none_or(|(_, app)| app != *place) {
                    settled = false;
                }
            }
        }
        table.hosts = Arc::new(hosts);
        self.contested = !settled;
    }

    fn app(&mut self, row: RouteApp, now: Now) -> App {
        let counters = self.apps.entry(row.id).or_insert_with(|| Arc::new(AppCounters::new(row.id, now.ms)));
        App {
            maintenance: row.maintenance,
            web: row.web,
            pages: Pages::new(row.error_page_url.as_deref(), row.maintenance_page_url.as_deref()),
            counters: counters.clone(),
            dynos: row.dynos.iter().map(|dyno| self.dyno(dyno, now)).collect(),
            row,
        }
    }

    fn dyno(&mut self, dyno: &RouteDyno, now: Now) -> Dyno {
        let counters = self.dynos.entry(dyno.id).or_insert_with(|| Arc::new(DynoCounters::new(now.threads)));
        counters.left.store(false, Ordering::Relaxed);
        self.dynos_gone.remove(&dyno.id);
        Dyno {
            id: dyno.id,
            name: dyno.name.to_string().into(),
            address: dyno.address,
            counters: counters.clone(),
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 5] {
        let gone = [self.apps_gone.len(), self.dynos_gone.len()];
        [self.places.len(), self.apps.len(), self.dynos.len(), gone[0], gone[1]]
    }

    /// Forgets what neither the table names nor a request uses.
    pub(super) fn collect(&mut self) {
        let (apps, dynos) = (&mut self.apps, &mut self.dynos);
        self.apps_gone.retain(|id| {
            apps.get(id).is_some_and(|app| app.in_flight() > 0) || {
                apps.remove(id);
                false
            }
        });
        self.dynos_gone.retain(|id| {
            dynos.get(id).is_some_and(|dyno| dyno.in_flight() > 0) || {
                dynos.remove(id);
                false
            }
        });
    }
}

/// Takes an app's names away, unless it keeps them all. Its dynos come back.
fn give_up(table: &mut Table, place: usize, next: Option<&RouteApp>) -> Vec<DynoId> {
    let Some(app) = table.apps.get(place) else { return Vec::new() };
    if next.is_none_or(|next| next.hosts != app.row.hosts) {
        for name in &app.row.hosts {
            Arc::make_mut(&mut table.hosts).remove(&name.to_ascii_lowercase(), place);
        }
    }
    app.dynos.iter().map(|dyno| dyno.id).collect()
}

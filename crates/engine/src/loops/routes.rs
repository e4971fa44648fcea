//! The route table: made from rows, published when it differs from what the router has, and again while requests are
//! under way to dynos that leave.
//!
//! The first pass, and one now and then, reads all apps. The ledger marks, by triggers, every app of which something changes that routes are
//! made from; other passes read the marked ones, and tell the router of those that are not as they were.
//!
//! ```text
//! rows change, mark ──wake──> read marked apps ──> table + change ──> router has the former? the change : the table
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Range,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use renga_model::{
    App, AppId, Domain, Dyno, DynoId, DynoSize, DynoState, Formation, ProcessType, Refusal, ReleaseId,
    RouteApp, RouteTable, SniEndpointId,
};
use renga_planner::{AppFacts, route};
use renga_ports::RouteFeedError;
use renga_store::{OrNone, Read, Tx};
use tokio::time::Instant;

use crate::{
    Engine,
    driver::{Loop, Next},
    loops::acm,
    published::Change,
    wakes::Bell,
};

/// Pause between asking the router for requests under way.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// Pause after the router did not answer.
const RETRY: Duration = Duration::from_millis(100);

/// How often all apps are read, so that nothing is wrong for longer, whatever happened.
const WHOLE_PERIOD: Duration = Duration::from_secs(600);
/// Of more apps at one time, all are read: that has fewer questions.
const MARKED_MAX: usize = 1_000;
/// Where assertions are checked: apps of a table that is compared with one from all rows.
const CHECKED_MAX: usize = 100;
/// One write to the ledger gives numbers for so many tables. A restart skips what is left of them.
const GENERATIONS_RESERVED: u64 = 64;

/// A pass that took longer than this is followed by a rest of four times as long, so that tables one after another keep
/// neither a reader of the ledger nor a core busy.
const PASS_QUICK: Duration = Duration::from_millis(5);
const REST_PASSES: u32 = 4;
/// The longest rest: ten tables a second.
const REST_MAX: Duration = Duration::from_millis(100);

pub(crate) struct Routes {
    engine: Engine,
    /// None before the first pass, and after one that was cut: then everything is read anew.
    kept: Mutex<Option<Kept>>,
    rest_until: Mutex<Instant>,
}

/// What the passes before have read.
#[derive(Debug, Default)]
struct Kept {
    /// Marks of the ledger up to this one are in it.
    mark: u64,
    table: RouteTable,
    leaving: Leaving,
    /// Of the releases that are current. A release never changes, so that it is read once.
    codes: Codes,
    /// Generations that are ours to give out.
    generations: Range<u64>,
    /// When all apps were last read.
    whole_at: Option<Instant>,
}

/// What is new since the last look.
#[derive(Debug)]
struct Look {
    mark: u64,
    /// Apps that are in no list are as they were.
    routes: Vec<(AppId, Option<RouteApp>)>,
    leaving: Leaving,
    codes: Codes,
    /// Apps that were not looked at are gone.
    whole: bool,
    /// What certificate authorities are to find, by token.
    challenges: BTreeMap<String, String>,
}

impl Routes {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, kept: Mutex::default(), rest_until: Mutex::new(Instant::now()) }
    }

    async fn rest(&self) {
        let until = *self.rest_until.lock().expect("nothing panics while it holds this lock");
        tokio::time::sleep_until(until).await;
    }

    fn rest_after(&self, took: Duration) {
        let rest = if took > PASS_QUICK { (took * REST_PASSES).min(REST_MAX) } else { Duration::ZERO };
        *self.rest_until.lock().expect("nothing panics while it holds this lock") = Instant::now() + rest;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().expect("nothing panics while it holds this lock")
    }

    /// Takes what is new in the ledger into the table: all apps at first and now and then, between those that are
    /// marked.
    async fn look(&self, mut kept: Kept) -> Result<(Kept, Change), Refusal> {
        let domain = self.engine.settings.domain.clone();
        let all = kept.whole_at.is_none_or(|at| at.elapsed() > WHOLE_PERIOD);
        if all {
            // Apps that are gone are marked as well, and nobody else takes that away.
            self.engine.store.write(|tx| tx.route_marks_clear().map_err(Refusal::from)).await?;
            kept.whole_at = Some(Instant::now());
        }
        let look = move |read: &Read<'_>| {
            let look = match all {
                true => gather_all(read, &domain, &kept.codes)?,
                false => gather_marked(read, &domain, kept.mark, &kept.codes)?,
            };
            let look = Look { challenges: acm::challenges(read)?, ..look };
            let change = kept.take_in(look);
            debug_assert!(kept.misses_nothing(read, &domain)?, "a change of an app did not mark it");
            Ok::<_, Refusal>((kept, change))
        };
        self.engine.store.read(look).await
    }

    /// A number that is greater than every one before, in this life and in former ones.
    async fn generation(&self, kept: &mut Kept) -> Result<u64, Refusal> {
        if kept.generations.is_empty() {
            let reserve = |tx: &Tx<'_>| {
                let first = tx.counter_next("route")?;
                tx.counter_raise("route", first + GENERATIONS_RESERVED - 1)?;
                Ok::<_, Refusal>(first..first + GENERATIONS_RESERVED)
            };
            kept.generations = self.engine.store.write(reserve).await?;
        }
        kept.generations.next().ok_or_else(|| Refusal::internal("no generation was reserved"))
    }
}

impl Kept {
    /// The change has the number of the table that it was made for: it has no other yet.
    fn take_in(&mut self, look: Look) -> Change {
        self.mark = look.mark;
        if look.whole {
            (self.leaving, self.codes) = (Leaving::new(), Codes::new());
        }
        for (app, _) in &look.routes {
            self.leaving.retain(|_, of| of != app);
            self.codes.remove(app);
        }
        self.leaving.extend(look.leaving);
        self.codes.extend(look.codes);
        let mut routes = look.routes;
        if look.whole {
            let found: BTreeSet<_> = routes.iter().map(|(app, _)| *app).collect();
            let gone = self.table.apps.iter().map(|app| app.id).filter(|app| !found.contains(app));
            routes.extend(gone.map(|app| (app, None)));
        }
        // In the order of the table, so that a first one is appended to.
        routes.sort_unstable_by_key(|(app, _)| *app);
        let mut change = self.table.change_to(self.table.generation, routes);
        change.challenges = Some(look.challenges).filter(|now| *now != self.table.challenges);
        let replaced = self.table.apply(&change);
        Change { change, replaced }
    }

    /// Whether all apps, read anew, make the same. Costs too much to be looked at but in tests.
    fn misses_nothing(&self, read: &Read<'_>, domain: &str) -> Result<bool, Refusal> {
        if self.table.apps.len() > CHECKED_MAX {
            return Ok(true);
        }
        let mut fresh = Self::default();
        fresh.take_in(gather_all(read, domain, &self.codes)?);
        Ok(fresh.table.apps == self.table.apps && fresh.leaving == self.leaving)
    }
}

impl Loop for Routes {
    type Key = ();
    const NAME: &'static str = "routes";

    fn bell(&self) -> &Bell<()> {
        &self.engine.wake.routes
    }
    fn period(&self) -> Duration {
        // Also how soon a restarted router that lost its table gets one.
        Duration::from_secs(1)
    }
    async fn scan(&self) -> Result<Vec<()>, Refusal> {
        Ok(vec![()])
    }
    async fn pass(&self, (): ()) -> Result<Next, Refusal> {
        self.rest().await;
        let begin = Instant::now();
        let known = self.kept().take().unwrap_or_default();
        let (mut kept, mut change) = self.look(known).await?;
        if !change.change.is_empty() || kept.table.generation == 0 {
            change.change.to = self.generation(&mut kept).await?;
            kept.table.generation = change.change.to;
        }
        let next = self.publish(&mut kept, &change).await?;
        *self.kept() = Some(kept);
        self.rest_after(begin.elapsed());
        Ok(next)
    }
}

impl Routes {
    async fn publish(&self, kept: &mut Kept, change: &Change) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let generation = kept.table.generation;
        match engine.routes.publish_change(&kept.table, &change.change).await {
            Ok(answer) => {
                engine.published.record(&kept.table, change, kept.leaving.keys().copied().collect(), answer);
                engine.changes.tell();
                // What is frozen stays so for a while, and waits for nothing.
                let waits = kept.leaving.iter().filter(|(dyno, _)| !engine.asked.has_frozen(**dyno));
                let apps: BTreeSet<_> = waits.map(|(_, app)| *app).collect();
                apps.into_iter().for_each(|app| engine.wake.formation(app));
                let draining = engine.published.is_draining();
                Ok(if draining { Next::Again(DRAIN_LOOK) } else { Next::Rest })
            }
            Err(RouteFeedError::Stale { seen }) => {
                tracing::warn!(
                    route.generation = generation,
                    route.seen = seen,
                    "the router has seen a newer table"
                );
                engine.published.forget();
                // The table gets a new number, above the router's.
                (kept.table.generation, kept.generations) = (0, 0..0);
                engine.store.write(move |tx| tx.counter_raise("route", seen).map_err(Refusal::from)).await?;
                Ok(Next::Again(Duration::ZERO))
            }
            Err(away @ RouteFeedError::Away(_)) => {
                tracing::debug!("could not publish routes: {away}");
                engine.published.forget();
                Ok(Next::Again(RETRY))
            }
        }
    }
}

/// Dynos that were asked to go or are to be frozen, and their apps.
type Leaving = BTreeMap<DynoId, AppId>;

/// What routing wants to know of a release and its slug.
#[derive(Debug, Clone, Default)]
struct Code {
    has_code: bool,
    declares_web: bool,
    error_page_url: Option<String>,
    maintenance_page_url: Option<String>,
}

/// Of each app, its current release.
type Codes = BTreeMap<AppId, (ReleaseId, Code)>;

/// What routing needs of every app, and the dynos that leave, those of destroyed apps too.
fn gather_all(read: &Read<'_>, domain: &str, known: &Codes) -> Result<Look, Refusal> {
    let mut dynos = BTreeMap::<_, Vec<_>>::new();
    for dyno in read.dyno_list()? {
        dynos.entry(dyno.app).or_default().push(dyno);
    }
    let mut domains = BTreeMap::<_, Vec<_>>::new();
    for domain in read.domain_list_all()? {
        domains.entry(domain.app).or_default().push(domain);
    }
    let releases = read.release_list_current()?;
    let web: BTreeMap<_, _> = read.formation_list_web()?.into_iter().map(|row| (row.app, row)).collect();
    let asleep: BTreeSet<_> = read.sleep_list_asleep()?.into_iter().collect();
    let mut look = Look { whole: true, ..Look::empty(read.route_mark_last()?) };
    look.leave(dynos.values().flatten());
    let mut versions = Versions::new();
    for app in read.app_list()? {
        let rows = Rows {
            dynos: dynos.remove(&app.id).unwrap_or_default(),
            domains: domains.remove(&app.id).unwrap_or_default(),
            release: releases.get(&app.id).copied(),
            web: web.get(&app.id).cloned(),
            asleep: asleep.contains(&app.id),
            app,
        };
        look.add(read, rows, domain, known, &mut versions)?;
    }
    Ok(look)
}

/// The same of the apps that were marked after `mark`.
fn gather_marked(read: &Read<'_>, domain: &str, mark: u64, known: &Codes) -> Result<Look, Refusal> {
    let marks = read.route_mark_list(mark, MARKED_MAX)?;
    let Some((last, _)) = marks.last() else { return Ok(Look::empty(mark)) };
    if marks.len() == MARKED_MAX {
        return gather_all(read, domain, known);
    }
    let (mut look, mut versions) = (Look::empty(*last), Versions::new());
    for (_, id) in marks {
        let dynos = read.dyno_list_for_app(id)?;
        look.leave(&dynos);
        let Some(app) = read.app_fetch(id).or_none()? else {
            look.routes.push((id, None));
            continue;
        };
        let rows = Rows {
            app,
            dynos,
            domains: read.domain_list(id)?,
            release: read.release_current_id(id)?,
            web: read.formation_web(id)?,
            asleep: read.sleep_fetch(id)?.is_some_and(|sleep| sleep.asleep),
        };
        look.add(read, rows, domain, known, &mut versions)?;
    }
    Ok(look)
}

/// What the ledger has of one app.
struct Rows {
    app: App,
    dynos: Vec<Dyno>,
    domains: Vec<Domain>,
    release: Option<ReleaseId>,
    web: Option<Formation>,
    asleep: bool,
}

/// Of certificates that were read in this look.
type Versions = BTreeMap<SniEndpointId, String>;

impl Look {
    fn empty(mark: u64) -> Self {
        Self {
            mark,
            routes: Vec::new(),
            leaving: Leaving::new(),
            codes: Codes::new(),
            whole: false,
            challenges: BTreeMap::new(),
        }
    }

    fn leave<'a>(&mut self, dynos: impl IntoIterator<Item = &'a Dyno>) {
        let leaves = |dyno: &&Dyno| matches!(dyno.state, DynoState::Stopping | DynoState::Frozen);
        self.leaving.extend(dynos.into_iter().filter(leaves).map(|dyno| (dyno.id, dyno.app)));
    }

    fn add(
        &mut self,
        read: &Read<'_>,
        rows: Rows,
        domain: &str,
        known: &Codes,
        versions: &mut Versions,
    ) -> Result<(), Refusal> {
        let id = rows.app.id;
        let code = match (rows.release, known.get(&id)) {
            (Some(release), Some((same, code))) if release == *same => code.clone(),
            (Some(release), _) => code_of(read, release)?,
            (None, _) => Code::default(),
        };
        if let Some(release) = rows.release {
            self.codes.insert(id, (release, code.clone()));
        }
        let mut hosts = vec![format!("{}.{domain}", rows.app.name)];
        let mut certificates = BTreeMap::new();
        for domain in rows.domains {
            let host = domain.hostname.to_string();
            if let Some(id) = domain.sni_endpoint {
                let version = match versions.entry(id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(read.sni_endpoint_fetch(id)?.version()),
                };
                certificates.insert(host.clone(), version.clone());
            }
            hosts.push(host);
        }
        let web = rows.web.filter(|_| code.declares_web);
        let facts = AppFacts {
            hosts,
            certificates,
            has_code: code.has_code,
            asleep: rows.asleep && web.as_ref().is_some_and(|row| DynoSize::sleeps(&row.size)),
            web_wanted: web.map_or(0, |row| row.quantity),
            error_page_url: code.error_page_url,
            maintenance_page_url: code.maintenance_page_url,
            dynos: rows.dynos,
            app: rows.app,
        };
        self.routes.push((id, route(facts)));
        Ok(())
    }
}

fn code_of(read: &Read<'_>, release: ReleaseId) -> Result<Code, Refusal> {
    let release = read.release_fetch(release)?;
    let slug = match release.slug {
        Some(slug) => read.slug_fetch(slug).or_none()?,
        None => None,
    };
    let page = |key| release.config.get(key).map(|url| url.expose().to_owned());
    Ok(Code {
        has_code: release.slug.is_some(),
        declares_web: slug.is_some_and(|slug| slug.process_types.contains_key(&ProcessType::web())),
        error_page_url: page("ERROR_PAGE_URL"),
        maintenance_page_url: page("MAINTENANCE_PAGE_URL"),
    })
}

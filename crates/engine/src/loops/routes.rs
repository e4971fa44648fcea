//! The route table: made whole from rows, published when it differs from what the router has, and again while
//! requests are under way to dynos that leave.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Mutex,
    time::Duration,
};

use renga_model::{AppId, DynoId, DynoSize, DynoState, ProcessType, Refusal, ReleaseId, RouteTable};
use renga_planner::{AppFacts, table};
use renga_ports::RouteFeedError;
use renga_store::{OrNone, Read};
use tokio::time::Instant;

use crate::{
    Engine,
    driver::{Loop, Next},
    wakes::Bell,
};

/// Pause between asking the router for requests under way.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// Pause after the router did not answer.
const RETRY: Duration = Duration::from_millis(100);

/// A pass that took longer than this is followed by a rest of four times as long: with a thousand apps of which some
/// always change, whole tables one after another would keep a reader of the ledger and a core busy.
const PASS_QUICK: Duration = Duration::from_millis(5);
const REST_PASSES: u32 = 4;
/// The longest rest: ten tables a second.
const REST_MAX: Duration = Duration::from_millis(100);

pub(crate) struct Routes {
    engine: Engine,
    /// Of the releases that were current at the last pass. A release never changes, so that it is read once.
    known: Mutex<Known>,
    rest_until: Mutex<Instant>,
}

impl Routes {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, known: Mutex::default(), rest_until: Mutex::new(Instant::now()) }
    }

    async fn rest(&self) {
        let until = *self.rest_until.lock().expect("nothing panics while it holds this lock");
        tokio::time::sleep_until(until).await;
    }

    fn rest_after(&self, took: Duration) {
        let rest = if took > PASS_QUICK { (took * REST_PASSES).min(REST_MAX) } else { Duration::ZERO };
        *self.rest_until.lock().expect("nothing panics while it holds this lock") = Instant::now() + rest;
    }

    /// The facts of every app, and which dynos leave.
    async fn look(&self) -> Result<(Vec<AppFacts>, Leaving), Refusal> {
        let known = std::mem::take(&mut *self.known.lock().expect("nothing panics while it holds this lock"));
        let domain = self.engine.settings.domain.clone();
        let (facts, leaving, known) =
            self.engine.store.read(move |read| gather(read, &domain, &known)).await?;
        *self.known.lock().expect("nothing panics while it holds this lock") = known;
        Ok((facts, leaving))
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
        let next = self.publish().await;
        self.rest_after(begin.elapsed());
        next
    }
}

impl Routes {
    async fn publish(&self) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let (facts, leaving) = self.look().await?;
        let apps = table(facts);
        let generation = match engine.published.last() {
            Some(last) if last.apps == apps => last.generation,
            _ => engine.store.write(|tx| tx.counter_next("route").map_err(Refusal::from)).await?,
        };
        let table = RouteTable { generation, apps };
        match engine.routes.publish(&table).await {
            Ok(answer) => {
                engine.published.record(table, leaving.keys().copied().collect(), answer);
                engine.changes.tell();
                // What is frozen stays so for a while, and waits for nothing.
                let waits = leaving.into_iter().filter(|(dyno, _)| !engine.asked.has_frozen(*dyno));
                let apps: BTreeSet<_> = waits.map(|(_, app)| app).collect();
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

type Known = BTreeMap<ReleaseId, Code>;

/// What routing needs of every app, and the dynos that leave, those of destroyed apps too; and the releases that are
/// current, to be known the next time.
fn gather(read: &Read<'_>, domain: &str, known: &Known) -> Result<(Vec<AppFacts>, Leaving, Known), Refusal> {
    let mut dynos = BTreeMap::<_, Vec<_>>::new();
    let mut leaving = Leaving::new();
    for dyno in read.dyno_list()? {
        if matches!(dyno.state, DynoState::Stopping | DynoState::Frozen) {
            leaving.insert(dyno.id, dyno.app);
        }
        dynos.entry(dyno.app).or_default().push(dyno);
    }
    let mut domains = custom_domains(read)?;
    let releases = read.release_list_current()?;
    let web: BTreeMap<_, _> = read.formation_list_web()?.into_iter().map(|row| (row.app, row)).collect();
    let sleepers: BTreeSet<_> = read.sleep_list_asleep()?.into_iter().collect();
    let (mut facts, mut current) = (Vec::new(), Known::new());
    for app in read.app_list()? {
        let (custom, certificates) = domains.remove(&app.id).unwrap_or_default();
        let own = format!("{}.{domain}", app.name);
        let code = match releases.get(&app.id) {
            Some(id) => {
                let code = known.get(id).cloned().map_or_else(|| code_of(read, *id), Ok)?;
                current.insert(*id, code.clone());
                code
            }
            None => Code::default(),
        };
        let web = web.get(&app.id).filter(|_| code.declares_web);
        facts.push(AppFacts {
            hosts: std::iter::once(own).chain(custom).collect(),
            certificates,
            has_code: code.has_code,
            asleep: sleepers.contains(&app.id) && web.is_some_and(|row| DynoSize::sleeps(&row.size)),
            web_wanted: web.map_or(0, |row| row.quantity),
            error_page_url: code.error_page_url,
            maintenance_page_url: code.maintenance_page_url,
            dynos: dynos.remove(&app.id).unwrap_or_default(),
            app,
        });
    }
    Ok((facts, leaving, current))
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

/// Of each app: its custom host names, and which of them have a certificate of their own, in which version.
type Custom = BTreeMap<AppId, (Vec<String>, BTreeMap<String, String>)>;

fn custom_domains(read: &Read<'_>) -> Result<Custom, Refusal> {
    let mut custom = Custom::new();
    let mut versions = BTreeMap::new();
    for domain in read.domain_list_all()? {
        let (hosts, certificates) = custom.entry(domain.app).or_default();
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
    Ok(custom)
}

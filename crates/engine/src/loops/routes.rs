//! The route table: made whole from rows, published when it differs from what the router has, and again while
//! requests are under way to dynos that leave.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use renga_model::{AppId, DynoId, DynoSize, DynoState, ProcessType, Refusal, RouteTable};
use renga_planner::{AppFacts, table};
use renga_ports::RouteFeedError;
use renga_store::{OrNone, Read};

use crate::{
    Engine,
    driver::{Loop, Next},
    wakes::Bell,
};

/// Pause between asking the router for requests under way.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// Pause after the router did not answer.
const RETRY: Duration = Duration::from_millis(100);

pub(crate) struct Routes {
    engine: Engine,
}

impl Routes {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
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
        let engine = &self.engine;
        let domain = engine.settings.domain.clone();
        let (facts, leaving) = engine.store.read(move |read| gather(read, &domain)).await?;
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

/// What routing needs of every app, and the dynos that leave, those of destroyed apps too.
fn gather(read: &Read<'_>, domain: &str) -> Result<(Vec<AppFacts>, Leaving), Refusal> {
    let mut dynos = BTreeMap::<_, Vec<_>>::new();
    let mut leaving = Leaving::new();
    for dyno in read.dyno_list()? {
        if matches!(dyno.state, DynoState::Stopping | DynoState::Frozen) {
            leaving.insert(dyno.id, dyno.app);
        }
        dynos.entry(dyno.app).or_default().push(dyno);
    }
    let mut domains = custom_domains(read)?;
    let mut facts = Vec::new();
    for app in read.app_list()? {
        let (custom, certificates) = domains.remove(&app.id).unwrap_or_default();
        let own = format!("{}.{domain}", app.name);
        let dynos = dynos.remove(&app.id).unwrap_or_default();
        let release = read.release_current(app.id)?;
        let has_code = release.as_ref().is_some_and(|release| release.slug.is_some());
        let declares_web = match release.as_ref().and_then(|release| release.slug) {
            Some(slug) => read
                .slug_fetch(slug)
                .or_none()?
                .is_some_and(|s| s.process_types.contains_key(&ProcessType::web())),
            None => false,
        };
        let formation = read.formation_list(app.id)?;
        let web = formation.iter().find(|f| f.process_type.is_web()).filter(|_| declares_web);
        let asleep = read.sleep_fetch(app.id)?.is_some_and(|sleep| sleep.asleep);
        let page = |key| release.as_ref().and_then(|r| r.config.get(key)).map(|url| url.expose().to_owned());
        facts.push(AppFacts {
            hosts: std::iter::once(own).chain(custom).collect(),
            certificates,
            has_code,
            asleep: asleep && web.is_some_and(|formation| DynoSize::sleeps(&formation.size)),
            web_wanted: web.map_or(0, |formation| formation.quantity),
            error_page_url: page("ERROR_PAGE_URL"),
            maintenance_page_url: page("MAINTENANCE_PAGE_URL"),
            dynos,
            app,
        });
    }
    Ok((facts, leaving))
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

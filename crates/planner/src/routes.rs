//! The route table that follows from what is seen.

use std::collections::BTreeMap;

use renga_model::{App, Dyno, DynoState, RouteApp, RouteDyno, WebState, Worker};

/// All that routing wants to know of an app.
#[derive(Debug, Clone)]
pub struct AppFacts {
    pub app: App,
    pub hosts: Vec<String>,
    /// Of the hosts that have a certificate of their own: its version.
    pub certificates: BTreeMap<String, String>,
    /// Whether a release with a slug is current.
    pub has_code: bool,
    /// The app sleeps, and its web dynos with it.
    pub asleep: bool,
    /// How many web dynos are wanted.
    pub web_wanted: u32,
    pub dynos: Vec<Dyno>,
    pub error_page_url: Option<String>,
    pub maintenance_page_url: Option<String>,
}

/// Apps in order of their ids, dynos in order of names: equal facts make equal tables.
pub fn table(facts: Vec<AppFacts>) -> Vec<RouteApp> {
    let mut apps: Vec<_> = facts.into_iter().filter(|f| !f.app.deleted).map(route_app).collect();
    apps.sort_by_key(|app| app.id);
    apps
}

fn route_app(facts: AppFacts) -> RouteApp {
    let web: Vec<_> = facts.dynos.iter().filter(|dyno| is_web(dyno)).collect();
    let mut dynos: Vec<_> = web.iter().filter_map(|dyno| route_dyno(dyno)).collect();
    dynos.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    RouteApp {
        web: web_state(&facts, &web, !dynos.is_empty()),
        id: facts.app.id,
        name: facts.app.name,
        hosts: facts.hosts,
        certificates: facts.certificates,
        maintenance: facts.app.maintenance,
        dynos,
        error_page_url: facts.error_page_url,
        maintenance_page_url: facts.maintenance_page_url,
    }
}

fn is_web(dyno: &Dyno) -> bool {
    dyno.worker == Worker::Formation && dyno.name.process_type().is_web()
}

fn route_dyno(dyno: &Dyno) -> Option<RouteDyno> {
    let address = dyno.address.filter(|_| dyno.state == DynoState::Up)?;
    Some(RouteDyno { id: dyno.id, name: dyno.name.clone(), address })
}

fn web_state(facts: &AppFacts, web: &[&Dyno], serving: bool) -> WebState {
    let on_its_way = |d: &&&Dyno| matches!(d.state, DynoState::Planned | DynoState::Starting);
    if serving {
        WebState::Up
    } else if !facts.has_code {
        WebState::Blank
    } else if facts.web_wanted == 0 {
        WebState::NoWeb
    } else if facts.asleep {
        WebState::Asleep
    } else if web.iter().any(|d| on_its_way(&d)) {
        WebState::Booting
    } else if web.iter().any(|d| d.state == DynoState::Exited && !d.is_idle()) {
        WebState::Crashed
    } else {
        // Between a stop and the next start: somebody is about to plan one.
        WebState::Booting
    }
}

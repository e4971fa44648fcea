//! The route table that follows from what is seen.

use std::collections::BTreeMap;

use renga_model::{App, Dyno, DynoState, RouteApp, RouteDyno, RouteFlags, WebState, Worker};

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
    let mut apps: Vec<_> = facts.into_iter().filter_map(route).collect();
    apps.sort_by_key(|app| app.id);
    apps
}

/// None of an app that is being taken apart.
pub fn route(facts: AppFacts) -> Option<RouteApp> {
    (!facts.app.deleted).then(|| route_app(facts))
}

fn route_app(facts: AppFacts) -> RouteApp {
    let web: Vec<_> = facts.dynos.iter().filter(|dyno| is_web(dyno)).collect();
    let mut dynos: Vec<_> = web.iter().filter_map(|dyno| route_dyno(dyno)).collect();
    dynos.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    RouteApp {
        web: web_state(&facts, &web, !dynos.is_empty()),
        id: facts.app.id,
        flags: RouteFlags::named(facts.app.features_on.iter().map(String::as_str)),
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

#[cfg(test)]
mod tests {
    use renga_model::{AccountId, AppId, StackName};

    use super::*;

    fn facts(features_on: &[&str]) -> AppFacts {
        let stack: StackName = "heroku-24".parse().unwrap();
        let app = App {
            id: AppId::random(),
            name: "app".parse().unwrap(),
            owner: AccountId::random(),
            stack: stack.clone(),
            build_stack: stack,
            maintenance: false,
            acm: false,
            locked: false,
            deleted: false,
            buildpacks: Vec::new(),
            buildpack_provided_description: None,
            detected_buildpack: None,
            repo_bytes: None,
            slug_bytes: None,
            created_at: Default::default(),
            updated_at: Default::default(),
            released_at: None,
            features_on: features_on.iter().map(ToString::to_string).collect(),
            features_off: Vec::new(),
        };
        AppFacts {
            app,
            hosts: Vec::new(),
            certificates: BTreeMap::new(),
            has_code: false,
            asleep: false,
            web_wanted: 0,
            dynos: Vec::new(),
            error_page_url: None,
            maintenance_page_url: None,
        }
    }

    #[test]
    fn each_switch_of_the_router_is_a_flag_of_its_own() {
        let off = RouteFlags::default();
        let flags = |features: &[&str]| table(vec![facts(features)])[0].flags;
        assert_eq!(flags(&[]), off);
        assert_eq!(flags(&["preboot", "log-runtime-metrics"]), off);
        let each = [
            ("http-session-affinity", RouteFlags { session_affinity: true, ..off }),
            ("http-disable-keepalive-to-dyno", RouteFlags { no_keep_alive_to_dyno: true, ..off }),
            ("http-end-to-end-continue", RouteFlags { end_to_end_continue: true, ..off }),
            ("http-disable-http2", RouteFlags { no_http2: true, ..off }),
            ("https-redirect", RouteFlags { https_redirect: true, ..off }),
        ];
        for (name, expected) in each {
            assert_eq!(flags(&[name]), expected, "{name}");
        }
        let both = RouteFlags { no_http2: true, https_redirect: true, ..off };
        assert_eq!(flags(&["https-redirect", "http-disable-http2"]), both);
    }
}

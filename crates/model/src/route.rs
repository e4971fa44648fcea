//! The route table: everything that the router may know of the platform, whole, under one generation.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{AppId, AppName, DynoId, DynoName};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// A router that has seen generation n refuses n-1.
    pub generation: u64,
    /// In the order of their ids.
    pub apps: Vec<RouteApp>,
    /// What certificate authorities are to find at `/.well-known/acme-challenge/TOKEN`, on any host, by token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub challenges: BTreeMap<String, String>,
}

/// What leads from one table to a later one: whoever has the first gets the second without the apps that are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteChange {
    /// The generation of the table that it was made for.
    pub from: u64,
    /// Of the table that it makes of it.
    pub to: u64,
    /// Apps that are new, or not as they were: whole.
    pub changed: Vec<RouteApp>,
    pub gone: Vec<AppId>,
    /// The later table's; none: they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenges: Option<BTreeMap<String, String>>,
}

impl RouteTable {
    /// Says what the later table would be, app by app. None of those whose new row is as the old one is named.
    pub fn change_to(&self, generation: u64, now: Vec<(AppId, Option<RouteApp>)>) -> RouteChange {
        let mut change = RouteChange { from: self.generation, to: generation, ..RouteChange::default() };
        for (id, app) in now {
            match (self.find(id), app) {
                (Some(known), Some(app)) if *known == app => {}
                (_, Some(app)) => change.changed.push(app),
                (Some(_), None) => change.gone.push(id),
                (None, None) => {}
            }
        }
        change
    }

    /// Becomes the later table. The apps that were replaced or went come back.
    pub fn apply(&mut self, change: &RouteChange) -> Vec<RouteApp> {
        let mut replaced = Vec::new();
        for app in &change.changed {
            match self.place(app.id) {
                Ok(at) => replaced.push(std::mem::replace(&mut self.apps[at], app.clone())),
                Err(at) => self.apps.insert(at, app.clone()),
            }
        }
        for id in &change.gone {
            if let Ok(at) = self.place(*id) {
                replaced.push(self.apps.remove(at));
            }
        }
        if let Some(challenges) = &change.challenges {
            self.challenges.clone_from(challenges);
        }
        self.generation = change.to;
        replaced
    }

    pub fn find(&self, id: AppId) -> Option<&RouteApp> {
        self.place(id).ok().map(|at| &self.apps[at])
    }

    fn place(&self, id: AppId) -> Result<usize, usize> {
        self.apps.binary_search_by_key(&id, |app| app.id)
    }
}

impl RouteChange {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty() && self.challenges.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteApp {
    pub id: AppId,
    pub name: AppName,
    /// Lower-case host names without port. A name stands on one app only.
    pub hosts: Vec<String>,
    /// Of the hosts that have a certificate of their own: its version. A router with another asks for it anew.
    #[serde(default)]
    pub certificates: BTreeMap<String, String>,
    pub maintenance: bool,
    pub web: WebState,
    /// The web dynos that take traffic.
    pub dynos: Vec<RouteDyno>,
    pub error_page_url: Option<String>,
    pub maintenance_page_url: Option<String>,
    #[serde(default, skip_serializing_if = "RouteFlags::is_off")]
    pub flags: RouteFlags,
}

/// What of an app's traffic can be switched, each by the app's feature of that name. All are off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteFlags {
    /// `http-session-affinity`: a client's requests go to the dyno that answered its first one.
    pub session_affinity: bool,
    /// `http-disable-keepalive-to-dyno`: a connection to a dyno carries one request.
    pub no_keep_alive_to_dyno: bool,
    /// `http-end-to-end-continue`: the dyno answers `Expect: 100-continue`.
    pub end_to_end_continue: bool,
    /// `http-disable-http2`: clients speak HTTP/1.1 to this app.
    pub no_http2: bool,
    /// `https-redirect`: what came by HTTP is sent to HTTPS.
    pub https_redirect: bool,
}

impl RouteFlags {
    /// By the names of the features that are on; other names mean nothing here.
    pub fn named<'a>(on: impl IntoIterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        for name in on {
            match name {
                "http-session-affinity" => flags.session_affinity = true,
                "http-disable-keepalive-to-dyno" => flags.no_keep_alive_to_dyno = true,
                "http-end-to-end-continue" => flags.end_to_end_continue = true,
                "http-disable-http2" => flags.no_http2 = true,
                "https-redirect" => flags.https_redirect = true,
                _ => {}
            }
        }
        flags
    }

    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDyno {
    pub id: DynoId,
    pub name: DynoName,
    pub address: SocketAddr,
}

/// What to answer when `dynos` is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebState {
    /// Nothing was ever deployed: the welcome page (H81).
    Blank,
    /// `web` is scaled to 0 or not declared: H14.
    NoWeb,
    /// A web dyno is on its way: requests are held up to 75 s (H20).
    Booting,
    /// The app sleeps: requests are held as while it boots, and the server is told that they wait.
    Asleep,
    /// All web dynos crashed: H10.
    Crashed,
    /// At least one takes traffic.
    Up,
}

//! The route table: everything that the router may know of the platform, whole, under one generation.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{AppId, AppName, DynoId, DynoName};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// A router that has seen generation n refuses n-1.
    pub generation: u64,
    pub apps: Vec<RouteApp>,
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

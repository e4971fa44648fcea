//! Where this installation is reached: everything that turns a name into a URL.

use renga_model::{App, AppName};

/// Filled by the binary from its configuration; URLs carry no slash at their end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Base URL of the API: `http://127.0.0.1:4000`.
    pub api_url: String,
    /// Base URL of git over HTTP: the API's, unless a host of its own is configured.
    pub git_url: String,
    /// Apps are reached at `NAME.DOMAIN`.
    pub domain: String,
    /// The router's TLS port; left out of URLs when it is 443.
    pub router_tls_port: u16,
    /// `HOST:PORT` of the rendezvous listener, as clients reach it.
    pub rendezvous: String,
    pub region: String,
}

impl Site {
    pub fn app_host(&self, name: &AppName) -> String {
        format!("{name}.{}", self.domain)
    }
    /// Ends in a slash, as Heroku's does.
    pub fn web_url(&self, app: &App) -> String {
        let host = self.app_host(&app.name);
        match self.router_tls_port {
            443 => format!("https://{host}/"),
            port => format!("https://{host}:{port}/"),
        }
    }
    pub fn git_url(&self, name: &AppName) -> String {
        format!("{}/{name}.git", self.git_url)
    }
    pub fn attach_url(&self, secret: &str) -> String {
        format!("rendezvous://{}/{secret}", self.rendezvous)
    }
}

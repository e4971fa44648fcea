//! `endpoints.json`: where the platform is reached, written when it is ready. The command line reads it.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) api: String,
    pub(crate) api_tls: String,
    pub(crate) router: String,
    pub(crate) router_tls: String,
    pub(crate) rendezvous: String,
    pub(crate) domain: String,
    /// Path of the CA's certificate.
    pub(crate) ca: String,
    pub(crate) token_file: String,
    pub(crate) pid: u32,
}

impl Endpoints {
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let fresh = path.with_extension("json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&fresh, path).with_context(|| format!("could not write {}", path.display()))
    }
}

/// `HOST:PORT` as somebody outside writes it: a wildcard or loopback address is called by the public name.
pub(crate) fn reached_at(public_host: &str, address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        format!("{public_host}:{}", address.port())
    } else {
        address.to_string()
    }
}

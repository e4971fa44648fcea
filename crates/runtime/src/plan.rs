//! What the hand writes down about a dyno before it makes anything, so that it can be found and taken away after a
//! crash. Names are chosen here; making follows them.

use std::net::SocketAddr;

use renga_model::LayerDigest;
use renga_ports::DynoSpec;
use serde::{Deserialize, Serialize};

use crate::net::Place;

/// `plan.json`; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) version: u32,
    /// The dyno's number: interface name, address and id range follow from it.
    pub(crate) index: u32,
    pub(crate) address: std::net::Ipv4Addr,
    pub(crate) port: Option<u16>,
    /// Every layer it uses, `mounts` included.
    pub(crate) layers: Vec<LayerDigest>,
    /// The stack's image, by its key.
    pub(crate) stack: String,
    pub(crate) uid_base: u32,
    /// What its memory is compared with; 0 for a dyno of a version that did not write it down.
    #[serde(default)]
    pub(crate) quota_bytes: u64,
    #[serde(default)]
    pub(crate) metered: bool,
}

pub(crate) const PLAN_VERSION: u32 = 1;

impl Plan {
    pub(crate) fn place(&self) -> Place {
        Place { index: self.index, address: self.address }
    }
    pub(crate) fn port_address(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::from((self.address, port)))
    }
}

/// Every layer of a spec, in order.
pub(crate) fn layers_of(spec: &DynoSpec) -> Vec<LayerDigest> {
    spec.layers.iter().chain(spec.mounts.iter().map(|mount| &mount.digest)).cloned().collect()
}

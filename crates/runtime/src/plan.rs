//! What the hand writes down about a dyno before it makes anything, so that it can be found and taken away after a
//! crash. Names are chosen here; making follows them.

use std::{fs, net::SocketAddr};

use renga_model::LayerDigest;
use renga_ports::DynoSpec;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Doing, Result},
    net::Place,
};

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
    /// The boot in which it was made: its mounts and processes do not outlast that.
    pub(crate) boot: String,
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

pub(crate) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path).map(|text| text.trim().to_owned()).doing("read", path)
}

/// `supervisor.json`: which process is meant, even if its number is given out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Clock ticks from the boot until it started.
    pub(crate) started_ticks: u64,
    pub(crate) boot: String,
}

impl ProcessIdentity {
    pub(crate) fn of(pid: i32, boot: &str) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).doing("read", &path)?;
        let ticks = started_ticks(&text).ok_or(std::io::ErrorKind::InvalidData).doing("understand", &path)?;
        Ok(Self { pid, started_ticks: ticks, boot: boot.to_owned() })
    }

    /// A handle of the process if it still runs.
    pub(crate) fn open(&self, boot: &str) -> Option<std::os::fd::OwnedFd> {
        // The handle comes first: what is compared after it is the process that the handle means, or a dead one.
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::NONBLOCK).ok()?;
        (Self::of(self.pid, boot).ok()? == *self).then_some(handle)
    }
}

/// Field 22; the second may hold blanks and brackets, so the count starts behind the last bracket.
fn started_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    // A zombie has ended.
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let me = i32::try_from(std::process::id()).unwrap();
        let boot = boot_id().unwrap();
        let identity = ProcessIdentity::of(me, &boot).unwrap();
        assert!(identity.open(&boot).is_some());
        let reused = ProcessIdentity { started_ticks: identity.started_ticks + 1, ..identity.clone() };
        assert!(reused.open(&boot).is_none());
        assert!(ProcessIdentity { boot: "before".into(), ..identity }.open(&boot).is_none());
    }

    #[test]
    fn names_with_brackets_do_not_confuse() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(started_ticks(stat), Some(4711));
    }
}

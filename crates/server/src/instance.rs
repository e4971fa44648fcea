//! Who this instance is: chosen once, kept in the data directory. Names of bridges, nft tables and cgroups, users and
//! address ranges all derive from it, so that instances live side by side.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context, Result, bail};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// Places for instances on one machine; each has a user range and a subnet of its own.
const SLOTS: u32 = 200;
/// Users of dynos begin here; each slot has room for 256 dynos of 65,536 ids.
const DYNO_UID_BASE: u32 = 0x1000_0000;
const DYNO_UIDS_PER_SLOT: u32 = 256 * 65_536;
/// The server's and the router's users; no passwd entry is needed.
const SERVICE_UID_BASE: u32 = 900_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// Four letters or digits.
    pub(crate) id: String,
    pub(crate) slot: u32,
    pub(crate) server_uid: u32,
    pub(crate) router_uid: u32,
    pub(crate) dyno_uid_base: u32,
    pub(crate) dyno_uid_count: u32,
    /// IPv4 range of the bridge and the dynos.
    pub(crate) subnet: String,
}

impl Instance {
    pub(crate) fn load(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("instance.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {} (`renga up` makes it)", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    pub(crate) fn load_or_choose(data_dir: &Path) -> Result<Self> {
        if data_dir.join("instance.json").exists() {
            return Self::load(data_dir);
        }
        let instance = Self::choose()?;
        let fresh = data_dir.join(".instance.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(&instance)?)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644))?;
        fs::rename(&fresh, data_dir.join("instance.json"))?;
        Ok(instance)
    }

    /// A slot whose addresses nobody on this machine uses.
    fn choose() -> Result<Self> {
        let mut rng = rand::rng();
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        let start: u32 = rng.random_range(0..SLOTS);
        let free = (0..SLOTS).map(|n| (start + n) % SLOTS).find(|slot| !is_routed(&routes, *slot));
        let Some(slot) = free else { bail!("all of 10.200.0.0/13 is routed elsewhere on this machine") };
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let id = (0..4).map(|_| char::from(letters[rng.random_range(0..letters.len())])).collect();
        let [a, b] = subnet_bytes(slot);
        Ok(Self {
            id,
            slot,
            server_uid: SERVICE_UID_BASE + slot * 2,
            router_uid: SERVICE_UID_BASE + slot * 2 + 1,
            dyno_uid_base: DYNO_UID_BASE + slot * DYNO_UIDS_PER_SLOT,
            dyno_uid_count: DYNO_UIDS_PER_SLOT,
            subnet: format!("10.{a}.{b}.0/20"),
        })
    }

    /// Server and router share a group: it may open the sockets between them, and nothing else.
    pub(crate) fn group(&self) -> u32 {
        self.server_uid
    }
}

/// Second and third byte of slot n's subnet, 10.a.b.0/20.
fn subnet_bytes(slot: u32) -> [u8; 2] {
    let a = u8::try_from(200 + slot / 16).expect("200 slots end at 10.212");
    let b = u8::try_from(slot % 16 * 16).expect("below 256");
    [a, b]
}

/// `/proc/net/route` has destination and mask as little-endian hex.
fn is_routed(routes: &str, slot: u32) -> bool {
    let [a, b] = subnet_bytes(slot);
    let ours = u32::from_be_bytes([10, a, b, 0]);
    routes.lines().skip(1).any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let number =
            |n: usize| columns.get(n).and_then(|hex| u32::from_str_radix(hex, 16).ok()).map(u32::swap_bytes);
        let (Some(destination), Some(mask)) = (number(1), number(7)) else { return false };
        let narrow = mask | 0xffff_f000;
        mask != 0
            && (ours & mask == destination & mask || destination & 0xffff_f000 == ours & narrow & 0xffff_f000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_in_use_is_seen() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
             eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
             rg1\t0010C80A\t00000000\t0001\t0\t0\t0\t00F0FFFF\n";
        assert!(is_routed(routes, 1));
        assert!(!is_routed(routes, 0));
        assert!(!is_routed(routes, 17));
    }
}

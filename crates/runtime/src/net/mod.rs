//! The network of an instance: one bridge, one static nft table, and for each dyno a veth pair whose inner end is made
//! as `eth0` in the dyno's own namespace.
//!
//! ```text
//!   dyno A: eth0 ══ rv<inst>-2 ─┐ isolated                     masquerade
//!   dyno B: eth0 ══ rv<inst>-3 ─┴─ rb<inst> (first address) ──────────────> the world
//!                                   │ :53 DNS forwarder
//! ```
//!
//! Ports are isolated: dynos never see each other. Addresses and MAC addresses follow from the dyno's number, so that
//! no stale neighbour entry is ever wrong. There is no IPv6 beyond the namespace; inside, `[::]` and `::1` work.

mod dns;
mod firewall;
mod iptables;
mod netlink;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::Path,
};

pub(crate) use firewall::{closed_by_others, refused};
pub(crate) use iptables::closed;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, InstanceName, Ipv4Cidr},
    error::{Doing, HandError, Result, tell},
    mounts, program,
    sys::namespace,
};

const MTU_USUAL: u32 = 1500;

/// What a dyno's network needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) address: Ipv4Addr,
}

#[derive(Debug)]
pub(crate) struct Network {
    bridge: String,
    bridge_index: u32,
    gateway: Ipv4Addr,
    prefix: u8,
    mtu: u32,
    config: Config,
}

impl Network {
    /// Makes or repairs the bridge and the rules. Nothing of running dynos is disturbed.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let bridge = config.instance.bridge();
        let gateway = config.bridge_address();
        let mtu = uplink_mtu();
        if let Some(taken) = subnet_conflict(config.subnet, &config.instance) {
            let text = format!("the subnet {} is taken on this machine by {taken}", config.subnet);
            return Err(HandError::Unfit(text));
        }
        let socket = Socket::new(NETLINK_ROUTE).doing("open", "a netlink socket")?;
        let bridge_index = match netlink::link_index(&socket, &bridge).doing("look for", &bridge)? {
            Some(index) => index,
            None => {
                netlink::bridge_add(&socket, &bridge, mac(gateway), mtu).doing("make bridge", &bridge)?;
                let index = netlink::link_index(&socket, &bridge).doing("look for", &bridge)?;
                index.ok_or_else(|| HandError::NotFound(format!("bridge {bridge}")))?
            }
        };
        set_sysctl("net/ipv4/ip_forward", "1")?;
        // A kernel without IPv6 has no such file, and needs none.
        tell_if_present(set_sysctl(&format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1"));
        netlink::address_add(&socket, bridge_index, gateway, config.subnet.prefix())
            .doing("give an address to", &bridge)?;
        netlink::link_up(&socket, bridge_index).doing("bring up", &bridge)?;
        firewall::apply(config)?;
        let prefix = config.subnet.prefix();
        Ok(Self { bridge, bridge_index, gateway, prefix, mtu, config: config.clone() })
    }

    /// The forwarder on the bridge; it ends when `cancel` says so.
    pub(crate) async fn serve_dns(&self, tasks: &TaskTracker, cancel: &CancellationToken) -> Result<()> {
        dns::serve(SocketAddr::from((self.gateway, 53)), self.config.dns.clone(), tasks, cancel).await
    }

    /// Puts back what another program has taken away: `nft flush ruleset` takes our table with it, and Docker, when it
    /// starts, makes FORWARD drop.
    pub(crate) fn guard(&self) -> Result<()> {
        firewall::guard(&self.config)
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Makes the namespace of a dyno, with `eth0` up and a default route, and keeps it at `keep_at`.
    pub(crate) fn connect(&self, place: Place, keep_at: &Path) -> Result<OwnedFd> {
        let inside = namespace::network(prepare_inside).doing("make", "a network namespace")?;
        let host_end = self.config.instance.veth(place.index);
        let order = netlink::Veth {
            host_end: &host_end,
            bridge: self.bridge_index,
            namespace: &inside.file,
            mac: mac(place.address),
            mtu: self.mtu,
        };
        let socket = Socket::new(NETLINK_ROUTE).doing("open", "a netlink socket")?;
        if let Err(error) = netlink::veth_add(&socket, &order) {
            // The kernel takes the pair of a dead namespace away in its own time; it may not have done so yet.
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error).doing("make interface", &host_end);
            }
            self.disconnect(place.index)?;
            netlink::veth_add(&socket, &order).doing("make interface", &host_end)?;
        }
        let host_index = netlink::link_index(&socket, &host_end).doing("look for", &host_end)?;
        let host_index = host_index.ok_or_else(|| HandError::NotFound(host_end.clone()))?;
        netlink::port_isolate(&socket, host_index).doing("isolate", &host_end)?;
        self.configure_inside(&inside.socket, place).doing("configure the network behind", &host_end)?;
        mounts::keep_namespace(&inside.file, keep_at)?;
        Ok(inside.file)
    }

    fn configure_inside(&self, socket: &Socket, place: Place) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let loopback = netlink::link_index(socket, "lo")?.ok_or_else(missing)?;
        let eth0 = netlink::link_index(socket, "eth0")?.ok_or_else(missing)?;
        netlink::link_up(socket, loopback)?;
        netlink::address_add(socket, eth0, place.address, self.prefix)?;
        netlink::link_up(socket, eth0)?;
        netlink::default_route_add(socket, eth0, self.gateway)
    }

    /// Takes the dyno's interfaces away. None there is fine.
    pub(crate) fn disconnect(&self, index: u32) -> Result<()> {
        remove_link(&self.config.instance.veth(index))
    }

    /// Numbers of this instance's interfaces, whoever they belong to.
    pub(crate) fn indexes(&self) -> Vec<u32> {
        numbered_links(&self.config.instance.veth_prefix())
    }

    pub(crate) fn bridge(&self) -> &str {
        &self.bridge
    }
}

/// Takes away everything that [`Network::open`] made, and all interfaces of dynos.
pub(crate) fn remove(config: &Config) -> Result<()> {
    for index in numbered_links(&config.instance.veth_prefix()) {
        remove_link(&config.instance.veth(index))?;
    }
    remove_link(&config.instance.bridge())?;
    firewall::remove(config)
}

/// Which route of this machine a subnet for `instance` would take away, if any: of networks that lie in it or are the
/// same. (A wider route, to the whole of 10.0.0.0/8 for example, goes on to hold for the rest.)
pub fn subnet_conflict(subnet: Ipv4Cidr, instance: &InstanceName) -> Option<String> {
    let table = fs::read_to_string("/proc/net/route").ok()?;
    conflict(&table, subnet, &instance.bridge())
}

fn conflict(table: &str, subnet: Ipv4Cidr, bridge: &str) -> Option<String> {
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::from_be);
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, network) = (*fields.first()?, number(fields.get(1)?)?);
        let prefix = number(fields.get(7)?)?.leading_ones();
        let within = subnet.contains(network.into()) && prefix >= u32::from(subnet.prefix());
        (within && name != bridge).then(|| format!("{}/{prefix} on {name}", Ipv4Addr::from(network)))
    };
    table.lines().skip(1).find_map(route)
}

/// Whether the programs that this module runs are there.
pub(crate) fn missing_programs() -> Vec<&'static str> {
    ["nft"].into_iter().filter(|name| !program::exists(name)).collect()
}

fn remove_link(name: &str) -> Result<()> {
    let socket = Socket::new(NETLINK_ROUTE).doing("open", "a netlink socket")?;
    netlink::link_remove(&socket, name).doing("remove interface", name)
}

fn numbered_links(prefix: &str) -> Vec<u32> {
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name();
        u32::from_str_radix(name.to_str()?.strip_prefix(prefix)?, 16).ok()
    };
    let Ok(folder) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    folder.filter_map(io::Result::ok).filter_map(number).collect()
}

/// Runs in the new namespace: IPv6 stays on for the loopback interface and off for the one to come.
fn prepare_inside() -> io::Result<()> {
    for (name, value) in [("all", "0"), ("lo", "0"), ("default", "1")] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Locally administered, and the same for the same address at any time.
fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x52, a, b, c, d]
}

/// Packets that fit the dyno's interface must fit the machine's way out, too.
fn uplink_mtu() -> u32 {
    let default_interface = || {
        let table = fs::read_to_string("/proc/net/route").ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields.next()?;
            (fields.next()? == "00000000").then(|| name.to_owned())
        })
    };
    let read = |name: String| fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok();
    default_interface().and_then(read).and_then(|text| text.trim().parse().ok()).unwrap_or(MTU_USUAL)
}

fn set_sysctl(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    let now = fs::read_to_string(&path).doing("read", &path)?;
    if now.trim() == value { Ok(()) } else { fs::write(&path, value).doing("write", &path) }
}

fn tell_if_present(outcome: Result<()>) {
    match outcome {
        Err(HandError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
        other => drop(tell(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_in_use_is_seen() {
        // As the kernel shows it on a little-endian machine: default route, 10.0.0.0/8, 172.17.0.0/16, our own.
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
            vpn0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n\
            docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
            rbt 0000C90A 00000000 0001 0 0 0 0000FFFF 0 0 0\n";
        let check = |subnet: &str| conflict(table, subnet.parse().unwrap(), "rbt");
        assert_eq!(check("10.201.0.0/16"), None);
        assert_eq!(check("10.202.0.0/16"), None);
        assert_eq!(check("172.17.0.0/16").as_deref(), Some("172.17.0.0/16 on docker0"));
        assert_eq!(check("172.16.0.0/12").as_deref(), Some("172.17.0.0/16 on docker0"));
        assert_eq!(check("172.17.4.0/24"), None, "a wider route goes on to hold for the rest");
    }
}

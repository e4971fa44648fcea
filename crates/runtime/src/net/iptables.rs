//! Living beside Docker and ufw.
//!
//! Both make the policy of iptables' FORWARD chain DROP, ufw that of INPUT as well, and an accept in our own table does
//! not undo a drop in theirs. So where such a chain is closed, accepts for the bridge are inserted at its head. They
//! open nothing: what our table rejects stays rejected. The guard looks again every few seconds, because Docker and ufw
//! close their chains whenever they start.
//!
//! There are two sets of chains on a machine, those of `iptables-nft` and those of `iptables-legacy`, and a packet
//! passes both: whichever was used by somebody is looked at.

use std::fs;

use crate::{
    config::{Config, PROGRAM_TIMEOUT},
    error::Result,
    program,
};

/// Kept by Docker for the rules of others; it goes through it before its own, also after it rewrote FORWARD.
const DOCKER_USER: &str = "DOCKER-USER";
const CHAINS: [&str; 3] = ["FORWARD", "INPUT", "OUTPUT"];
/// Only to ask the old program makes the old tables, so it is asked only where they are there.
const LEGACY_TABLES: &str = "/proc/thread-self/net/ip_tables_names";

pub(super) fn insert(config: &Config) -> Result<()> {
    for program in programs() {
        for name in CHAINS {
            let listed = list(program, name);
            if !is_closed(&listed, name) {
                continue;
            }
            let target = place(name, &listed);
            for rule in accepts(config).into_iter().filter(|(chain, _)| *chain == name).map(|(_, rule)| rule)
            {
                if iptables(program, &["-C", target], &rule).is_err() {
                    iptables(program, &["-I", target], &rule)?;
                }
            }
        }
    }
    Ok(())
}

pub(super) fn remove(config: &Config) -> Result<()> {
    for program in programs() {
        for (chain, rule) in accepts(config) {
            for target in [chain, DOCKER_USER] {
                if iptables(program, &["-C", target], &rule).is_ok() {
                    iptables(program, &["-D", target], &rule)?;
                }
            }
        }
    }
    Ok(())
}

/// Closed chains, as `iptables-nft FORWARD`, and who made them.
pub(crate) fn closed() -> (Vec<String>, Vec<&'static str>) {
    let (mut chains, mut owners) = (Vec::new(), Vec::new());
    for program in programs() {
        for name in CHAINS {
            let listed = list(program, name);
            if is_closed(&listed, name) {
                chains.push(format!("{program} {name}"));
            }
            for (mark, owner) in [("-j DOCKER", "Docker"), ("-j ufw-", "ufw")] {
                if listed.contains(mark) && !owners.contains(&owner) {
                    owners.push(owner);
                }
            }
        }
    }
    (chains, owners)
}

/// Chain and rule, as arguments of `iptables`.
fn accepts(config: &Config) -> Vec<(&'static str, Vec<String>)> {
    let bridge = config.instance.bridge();
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let dns = |protocol: &str| {
        words(format!("-i {bridge} -d {}/32 -p {protocol} --dport 53 -j ACCEPT", config.bridge_address()))
    };
    let answers =
        |way: &str| words(format!("{way} {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"));
    let mut rules = vec![
        ("FORWARD", words(format!("-i {bridge} -j ACCEPT"))),
        ("FORWARD", answers("-o")),
        ("INPUT", answers("-i")),
        ("INPUT", dns("udp")),
        ("INPUT", dns("tcp")),
        // The router's requests.
        ("OUTPUT", words(format!("-o {bridge} -j ACCEPT"))),
    ];
    let hosts = config.network_allow.iter().filter(|cidr| cidr.prefix() == 32);
    rules.extend(hosts.map(|host| ("INPUT", words(format!("-i {bridge} -d {host} -j ACCEPT")))));
    rules
}

/// The programs whose chains packets pass here.
fn programs() -> Vec<&'static str> {
    let mut found: Vec<_> = ["iptables-nft"].into_iter().filter(|name| program::exists(name)).collect();
    let tables = fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    if tables.lines().any(|table| table == "filter") && program::exists("iptables-legacy") {
        found.push("iptables-legacy");
    }
    if found.is_empty() && program::exists("iptables") {
        found.push("iptables");
    }
    found
}

fn iptables(program: &str, words: &[&str], rule: &[String]) -> Result<String> {
    let mut command = program::command(program);
    command.arg("-w").args(words).args(rule);
    program::run(command, "", PROGRAM_TIMEOUT)
}

/// A machine whose iptables does not answer has no chain in our way.
fn list(program: &str, chain: &str) -> String {
    iptables(program, &["-S", chain], &[]).unwrap_or_default()
}

/// By its policy, or by a last rule for everything.
fn is_closed(listed: &str, chain: &str) -> bool {
    let ends = |line: &str| {
        let rest = line.strip_prefix(&format!("-A {chain} -j ")).unwrap_or_default();
        rest.starts_with("DROP") || rest.starts_with("REJECT")
    };
    listed.starts_with(&format!("-P {chain} DROP")) || listed.lines().any(ends)
}

/// Docker's chain for others where FORWARD passes it. After Docker was removed the chain may stay, without a way to it.
fn place(chain: &'static str, listed: &str) -> &'static str {
    let passes = listed.lines().any(|line| line == format!("-A FORWARD -j {DOCKER_USER}"));
    if chain == "FORWARD" && passes { DOCKER_USER } else { chain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_closed_by_its_policy_or_its_last_rule() {
        let open = "-P FORWARD ACCEPT\n-A FORWARD -i docker0 -o eth0 -j DROP\n-A FORWARD -s 192.0.2.1/32 -j REJECT\n";
        assert!(!is_closed(open, "FORWARD") && !is_closed("", "FORWARD"));
        assert!(is_closed("-P FORWARD DROP\n", "FORWARD"));
        let cloud = "-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n";
        assert!(is_closed(cloud, "FORWARD") && !is_closed(cloud, "INPUT"));
    }

    #[test]
    fn dockers_chain_is_used_where_it_is_passed() {
        let docker = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n";
        assert_eq!(place("FORWARD", docker), "DOCKER-USER");
        assert_eq!(place("FORWARD", "-P FORWARD DROP\n-A FORWARD -j ufw-before-forward\n"), "FORWARD");
        assert_eq!(place("INPUT", docker), "INPUT");
    }
}

//! What dynos may reach. One static nft table per instance, replaced atomically; no rule per dyno.
//!
//! An accept in our table does not undo a drop in another one: see [`super::iptables`] for those of Docker and ufw.

use std::fmt::Write;

use super::iptables;
use crate::{
    config::{Config, PROGRAM_TIMEOUT},
    error::{Result, chain, tell},
    program,
};

/// Private, shared, link-local and other ranges that are nobody's business from inside an app.
const DENIED: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, \
                      192.168.0.0/16, 224.0.0.0/4, 240.0.0.0/4";

pub(super) fn apply(config: &Config) -> Result<()> {
    let mut command = program::command("nft");
    command.args(["-f", "-"]);
    program::run(command, &rules(config), PROGRAM_TIMEOUT)?;
    tell(iptables::insert(config));
    Ok(())
}

pub(super) fn guard(config: &Config) -> Result<()> {
    let mut command = program::command("nft");
    command.args(["list", "table", "inet", &config.instance.table()]);
    if program::run(command, "", PROGRAM_TIMEOUT).is_ok() {
        return iptables::insert(config);
    }
    tracing::warn!("the firewall table of this instance was gone; making it again");
    apply(config)
}

pub(super) fn remove(config: &Config) -> Result<()> {
    let table = config.instance.table();
    let mut command = program::command("nft");
    command.args(["-f", "-"]);
    program::run(command, &format!("table inet {table}\ndelete table inet {table}\n"), PROGRAM_TIMEOUT)?;
    tell(iptables::remove(config));
    Ok(())
}

/// Connections are refused by a reset: the kernel answers with other messages only so many times a second, and who gets
/// none waits for his timeout.
fn rules(config: &Config) -> String {
    let (table, bridge) = (config.instance.table(), config.instance.bridge());
    let (gateway, subnet) = (config.bridge_address(), config.subnet);
    let all: Vec<String> = config.network_allow.iter().map(ToString::to_string).collect();
    let single = config.network_allow.iter().filter(|cidr| cidr.prefix() == 32);
    let hosts: Vec<String> = single.map(ToString::to_string).collect();
    let mut text = format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    for (name, members) in [("allowed", all.join(", ")), ("allowed_hosts", hosts.join(", "))] {
        let elements =
            if members.is_empty() { String::new() } else { format!("elements = {{ {members} }};") };
        writeln!(text, "  set {name} {{ type ipv4_addr; flags interval; auto-merge; {elements} }}").ok();
    }
    write!(
        text,
        "  set denied {{ type ipv4_addr; flags interval; elements = {{ {DENIED} }}; }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname != \"{bridge}\" accept
    ct state established,related accept
    ip daddr {gateway} udp dport 53 accept
    ip daddr {gateway} tcp dport 53 accept
    ip daddr @allowed_hosts accept
    meta l4proto tcp counter reject with tcp reset
    counter reject
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    iifname != \"{bridge}\" oifname != \"{bridge}\" accept
    ct state established,related accept
    oifname \"{bridge}\" counter drop
    meta nfproto ipv6 counter reject
    ip saddr != {subnet} counter drop
    ip daddr @allowed accept
    ip daddr @denied meta l4proto tcp counter reject with tcp reset
    ip daddr @denied counter reject
    accept
  }}
  chain post {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {subnet} oifname != \"{bridge}\" masquerade
  }}
}}
"
    )
    .ok();
    text
}

// === tables of others ===

/// Base chains of nftables that drop what they don't know and that only their owner can open: `inet filter forward`.
/// Those of iptables (`ip filter`) are not among them.
pub(crate) fn closed_by_others() -> Result<Vec<String>> {
    let mut command = program::command("nft");
    command.args(["list", "chains"]);
    Ok(dropping(&program::run(command, "", PROGRAM_TIMEOUT)?))
}

fn dropping(chains: &str) -> Vec<String> {
    let (mut table, mut name, mut found) = ("", "", Vec::new());
    for line in chains.lines().map(str::trim) {
        let opened = |kind: &str| line.strip_prefix(kind)?.strip_suffix('{').map(str::trim);
        if let Some(opened) = opened("table ") {
            table = opened;
        } else if let Some(opened) = opened("chain ") {
            name = opened;
        } else if line.contains("hook forward") && line.contains("policy drop") && table != "ip filter" {
            found.push(format!("{table} {name}"));
        }
    }
    found
}

/// Why nftables does not answer, for an account of the machine.
pub(crate) fn refused() -> Option<String> {
    closed_by_others().err().map(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_drop_are_told_by_table_and_name() {
        let text = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n\
            table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\
            \tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n\
            table inet renga_x {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n";
        assert_eq!(dropping(text), ["inet filter forward"]);
        assert_eq!(dropping(""), Vec::<String>::new());
    }
}

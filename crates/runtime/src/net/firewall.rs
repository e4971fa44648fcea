//! What dynos may reach. One static nft table per instance, replaced atomically; no rule per dyno.
//!
//! An accept in our table does not undo a drop in another one, so where Docker, ufw or the operator made the policy of
//! iptables' FORWARD or INPUT chain DROP, accept rules for the bridge are inserted there, too. What our table rejects
//! stays rejected.

use std::fmt::Write;

use crate::{
    config::{Config, PROGRAM_TIMEOUT},
    error::{Result, tell},
    program,
};

/// Private, shared, link-local and other ranges that are nobody's business from inside an app.
const DENIED: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, \
                      192.168.0.0/16, 224.0.0.0/4, 240.0.0.0/4";

pub(super) fn apply(config: &Config) -> Result<()> {
    let mut command = program::command("nft");
    command.args(["-f", "-"]);
    program::run(command, &rules(config), PROGRAM_TIMEOUT)?;
    tell(iptables_insert(config));
    Ok(())
}

pub(super) fn guard(config: &Config) -> Result<()> {
    let mut command = program::command("nft");
    command.args(["list", "table", "inet", &config.instance.table()]);
    if program::run(command, "", PROGRAM_TIMEOUT).is_ok() {
        return iptables_insert(config);
    }
    tracing::warn!("the firewall table of this instance was gone; making it again");
    apply(config)
}

pub(super) fn remove(config: &Config) -> Result<()> {
    let table = config.instance.table();
    let mut command = program::command("nft");
    command.args(["-f", "-"]);
    program::run(command, &format!("table inet {table}\ndelete table inet {table}\n"), PROGRAM_TIMEOUT)?;
    tell(iptables_remove(config));
    Ok(())
}

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

// === living beside Docker and ufw ===

/// Chain and rule, as arguments of `iptables`.
fn accepts(config: &Config) -> Vec<(&'static str, Vec<String>)> {
    let bridge = config.instance.bridge();
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let dns = |protocol: &str| {
        words(format!("-i {bridge} -d {}/32 -p {protocol} --dport 53 -j ACCEPT", config.bridge_address()))
    };
    vec![
        ("FORWARD", words(format!("-i {bridge} -j ACCEPT"))),
        ("FORWARD", words(format!("-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))),
        ("INPUT", words(format!("-i {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"))),
        ("INPUT", dns("udp")),
        ("INPUT", dns("tcp")),
    ]
}

fn iptables(words: &[&str], rule: &[String]) -> Result<String> {
    let mut command = program::command("iptables");
    command.arg("-w").args(words).args(rule);
    program::run(command, "", PROGRAM_TIMEOUT)
}

fn drops(chain: &str) -> bool {
    // A machine whose iptables does not answer has no chain in our way.
    iptables(&["-S", chain], &[]).is_ok_and(|rules| rules.starts_with(&format!("-P {chain} DROP")))
}

/// Docker asks that rules of others go to its own chain; it leaves that alone when it rewrites FORWARD.
fn place(chain: &'static str) -> &'static str {
    let docker = chain == "FORWARD" && iptables(&["-S", "DOCKER-USER"], &[]).is_ok();
    if docker { "DOCKER-USER" } else { chain }
}

fn iptables_insert(config: &Config) -> Result<()> {
    if !program::exists("iptables") {
        return Ok(());
    }
    for (chain, rule) in accepts(config) {
        let target = place(chain);
        if drops(chain) && iptables(&["-C", target], &rule).is_err() {
            iptables(&["-I", target], &rule)?;
        }
    }
    Ok(())
}

fn iptables_remove(config: &Config) -> Result<()> {
    if !program::exists("iptables") {
        return Ok(());
    }
    for (chain, rule) in accepts(config) {
        for target in [chain, "DOCKER-USER"] {
            if iptables(&["-C", target], &rule).is_ok() {
                iptables(&["-D", target], &rule)?;
            }
        }
    }
    Ok(())
}

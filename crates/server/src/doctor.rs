//! `renga doctor`: what this machine lacks, what that weakens, and what to do. The dynos' part is told by the runtime,
//! whose node goes by the same account; ports, stacks and units are told here.

use std::{
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Result;
use renga_runtime::{Finding, HostFacts, Stops, Verdict, judge_host};
use serde_json::{Value, json};

use crate::{config::Config, endpoints::Endpoints, layout::Layout};

/// Where people expect a web server.
const PORTS_OF_THE_WEB: [u16; 2] = [80, 443];
const UNITS: &str = "/etc/systemd/system";
const SYSTEMD_RUNS: &str = "/run/systemd/system";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when apps can run here, 1 when something keeps them from it.\n\nExamples:\n\n  \
    sudo renga doctor\n  sudo renga doctor --json | jq '.[] | select(.verdict != \"ok\")'"
)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
    /// One array, an object for each point
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to print, and whether apps can run.
pub(crate) fn run(args: &DoctorArgs, config: &Config) -> Result<(String, bool)> {
    let mut findings = judge_host(&HostFacts::read(&config.data_dir, config.disk_floor_bytes));
    findings.push(stacks(config));
    findings.extend(ports(config));
    findings.push(units(Path::new(SYSTEMD_RUNS).is_dir(), Path::new(UNITS)));
    let runs = !findings.iter().any(|finding| is_in_the_way(finding, config.allow_weak_isolation));
    let told =
        if args.json { as_json(&findings)? } else { as_text(&findings, runs, config.allow_weak_isolation) };
    Ok((told, runs))
}

fn is_in_the_way(finding: &Finding, allow_weak_isolation: bool) -> bool {
    match finding.stops {
        Stops::Nothing => false,
        Stops::UnlessAllowed => !allow_weak_isolation,
        Stops::Starts | Stops::Apps => true,
    }
}

// === what belongs to the whole platform ===

fn stacks(config: &Config) -> Finding {
    let image = config.stacks.iter().find(|(name, _)| *name == config.default_stack);
    match image {
        Some((_, path)) if !path.is_file() => Finding::missing(
            "stack",
            format!("{} is not there", path.display()),
            "new apps have nothing to run on",
            "bin/stack makes the image; --stack host does without",
        )
        .stopping(Stops::Apps),
        _ => Finding::ok("stack", config.default_stack.to_string()),
    }
}

/// What became of an attempt to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Free,
    Ours,
    Taken,
    Forbidden,
}

fn look_at(address: SocketAddr, ours: &[u16]) -> Port {
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Port::Forbidden,
        Err(_) if ours.contains(&address.port()) => Port::Ours,
        Err(_) => Port::Taken,
    }
}

fn ports(config: &Config) -> Vec<Finding> {
    let ours = ports_in_use(&Layout::new(&config.data_dir));
    let wanted = [
        ("port of the API", config.api),
        ("port of the API (TLS)", config.api_tls),
        ("port of the router", config.router),
        ("port of the router (TLS)", config.router_tls),
        ("port of the rendezvous", config.rendezvous),
    ];
    let mut found: Vec<Finding> =
        wanted.iter().map(|(what, address)| port(what, *address, look_at(*address, &ours))).collect();
    let router = [config.router.port(), config.router_tls.port()];
    let others = PORTS_OF_THE_WEB.iter().filter(|port| !router.contains(port));
    let looked: Vec<(u16, Port)> =
        others.map(|port| (*port, look_at((Ipv4Addr::UNSPECIFIED, *port).into(), &ours))).collect();
    found.extend(web_ports(&looked));
    found
}

/// Ports of the running platform, from its own file.
fn ports_in_use(layout: &Layout) -> Vec<u16> {
    let text = fs::read_to_string(layout.endpoints()).unwrap_or_default();
    let Ok(endpoints) = serde_json::from_str::<Endpoints>(&text) else { return Vec::new() };
    let urls =
        [endpoints.api, endpoints.api_tls, endpoints.router, endpoints.router_tls, endpoints.rendezvous];
    urls.iter().filter_map(|url| url.rsplit(':').next()?.trim_end_matches('/').parse().ok()).collect()
}

fn port(what: &'static str, address: SocketAddr, seen: Port) -> Finding {
    match seen {
        Port::Free => Finding::ok(what, format!("{address} is free")),
        Port::Ours => Finding::ok(what, format!("{address} is this platform's")),
        Port::Taken => {
            let remedy =
                format!("see who has it with `ss -ltnp sport = {}`, or choose another", address.port());
            Finding::missing(what, format!("{address} is taken"), "the platform can't start", remedy)
                .stopping(Stops::Apps)
        }
        Port::Forbidden => {
            let remedy = "run the doctor as root; the units may listen there";
            Finding::weak(
                what,
                format!("{address} is not for this user"),
                "it could not be looked at",
                remedy,
            )
        }
    }
}

/// 80 and 443, where the router is told to listen elsewhere.
fn web_ports(looked: &[(u16, Port)]) -> Option<Finding> {
    let list = |wanted: Port| {
        let ports = looked.iter().filter(|(_, seen)| *seen == wanted).map(|(port, _)| port.to_string());
        ports.collect::<Vec<_>>().join(" and ")
    };
    let (free, taken) = (list(Port::Free), list(Port::Taken));
    if looked.is_empty() {
        return None;
    }
    if taken.is_empty() {
        let said = if free.is_empty() {
            "not looked at"
        } else {
            "free; --router '*:80' --router-tls '*:443' takes them"
        };
        return Some(Finding::ok("ports 80 and 443", said));
    }
    let remedy = "stop the other web server, or let it pass requests on to the router";
    let weakens = "apps are reached with a port in their address";
    Some(Finding::weak("ports 80 and 443", format!("{taken} taken by another program"), weakens, remedy))
}

fn units(systemd_runs: bool, units: &Path) -> Finding {
    let what = "start at boot";
    if !systemd_runs {
        let remedy = "let this machine's own init run `renga up`";
        return Finding::weak(what, "systemd is not the init here", "apps stay down after a reboot", remedy);
    }
    let names = ["node", "server", "router"].map(|role| format!("renga-{role}.service"));
    if names.iter().any(|name| !units.join(name).is_file()) {
        return Finding::weak(what, "no units", "apps stay down after a reboot", "sudo renga install");
    }
    let wanted = units.join("multi-user.target.wants");
    if names.iter().any(|name| wanted.join(name).symlink_metadata().is_err()) {
        let remedy = "systemctl enable --now renga-node renga-server renga-router";
        return Finding::weak(what, "units that are not enabled", "apps stay down after a reboot", remedy);
    }
    Finding::ok(what, "by systemd")
}

// === telling ===

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Weak => "weak",
        Verdict::Missing => "missing",
    }
}

fn as_json(findings: &[Finding]) -> Result<String> {
    let object = |finding: &Finding| -> Value {
        json!({
            "what": finding.what,
            "verdict": word(finding.verdict),
            "found": finding.found,
            "weakens": finding.weakens,
            "do": finding.remedy,
            "stops": match finding.stops {
                Stops::Nothing => "nothing",
                Stops::Starts => "starts",
                Stops::UnlessAllowed => "unless_allowed",
                Stops::Apps => "apps",
            },
        })
    };
    let list: Vec<Value> = findings.iter().map(object).collect();
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

fn as_text(findings: &[Finding], runs: bool, allowed: bool) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for finding in findings {
        let (verdict, what, found) = (word(finding.verdict), finding.what, &finding.found);
        // Writing to a string can't fail.
        writeln!(text, "{verdict:<8} {what:<width$}  {found}").ok();
        if finding.verdict != Verdict::Ok {
            let indent = " ".repeat(9 + width + 2);
            writeln!(text, "{indent}so:  {}\n{indent}do:  {}", finding.weakens, finding.remedy).ok();
        }
    }
    let fenceless = findings.iter().any(|finding| finding.stops == Stops::UnlessAllowed);
    let verdict = match (runs, fenceless) {
        (true, false) => "Apps can run here.",
        (true, true) if allowed => "Apps run here with weak isolation, as the configuration allows.",
        (false, true) if !allowed => {
            "Apps don't run here. Where only a fence is missing, --allow-weak-isolation runs them without it."
        }
        _ => "Apps don't run here.",
    };
    text + "\n" + verdict + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_ours_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(look_at(address, &[]), Port::Taken);
        assert_eq!(look_at(address, &[address.port()]), Port::Ours);
        drop(listener);
        assert_eq!(look_at(address, &[]), Port::Free);
        assert_eq!(port("x", address, Port::Taken).stops, Stops::Apps);
    }

    #[test]
    fn the_webs_ports_are_told_only_where_they_matter() {
        assert_eq!(web_ports(&[]), None);
        let verdict = |looked: &[(u16, Port)]| web_ports(looked).unwrap().verdict;
        assert_eq!(verdict(&[(80, Port::Free), (443, Port::Free)]), Verdict::Ok);
        assert_eq!(verdict(&[(80, Port::Taken), (443, Port::Free)]), Verdict::Weak);
        assert_eq!(verdict(&[(80, Port::Forbidden)]), Verdict::Ok);
    }

    #[test]
    fn units_are_there_and_enabled_or_told() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = folder.path().join("multi-user.target.wants");
        fs::create_dir(&wanted).unwrap();
        assert!(units(false, folder.path()).found.contains("not the init"));
        assert_eq!(units(true, folder.path()).found, "no units");
        for role in ["node", "server", "router"] {
            fs::write(folder.path().join(format!("renga-{role}.service")), "").unwrap();
        }
        assert_eq!(units(true, folder.path()).found, "units that are not enabled");
        for role in ["node", "server", "router"] {
            let name = format!("renga-{role}.service");
            std::os::unix::fs::symlink(folder.path().join(&name), wanted.join(name)).unwrap();
        }
        assert_eq!(units(true, folder.path()).verdict, Verdict::Ok);
    }

    #[test]
    fn each_line_says_what_it_weakens_and_what_to_do() {
        let fence =
            Finding::missing("seccomp", "no", "every call", "another kernel").stopping(Stops::UnlessAllowed);
        let findings = [Finding::ok("kernel", "Linux 6.12"), fence];
        assert!(is_in_the_way(&findings[1], false) && !is_in_the_way(&findings[1], true));
        let text = as_text(&findings, false, false);
        let expected = "ok       kernel   Linux 6.12\nmissing  seccomp  no\n                  so:  every call\n                  do:  another kernel\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("--allow-weak-isolation"), "{text}");
        assert!(as_text(&findings, true, true).contains("with weak isolation"));
        let parsed: Value = serde_json::from_str(&as_json(&findings).unwrap()).unwrap();
        assert_eq!(
            (parsed[1]["verdict"].as_str(), parsed[1]["stops"].as_str()),
            (Some("missing"), Some("unless_allowed"))
        );
    }
}

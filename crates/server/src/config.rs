//! The configuration: as typed ([`Typed`]: file and flags), then once as meant ([`Config`]). All mistakes are reported
//! together. This is the only place of the binary that reads the environment.

mod acme;
mod mail;
mod routing;
mod sizes;
mod tiers;
mod typed;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use renga_engine::{Invitations, Overcommit};
use renga_model::{Sizes, StackName, Tiers, limits};
pub(crate) use routing::Routing;
pub(crate) use typed::{ConfigArgs, Typed};

/// What the processes run by.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) domain: String,
    pub(crate) api: SocketAddr,
    pub(crate) api_tls: SocketAddr,
    pub(crate) router: SocketAddr,
    pub(crate) router_tls: SocketAddr,
    pub(crate) rendezvous: SocketAddr,
    /// The name or address under which others reach this machine; `localhost` unless told.
    pub(crate) public_host: String,
    /// Whether the API's certificate stands for Heroku's names too.
    pub(crate) heroku_names: bool,
    pub(crate) admin_email: String,
    pub(crate) admin_password_file: Option<PathBuf>,
    pub(crate) default_stack: StackName,
    pub(crate) stacks: Vec<(StackName, PathBuf)>,
    pub(crate) sizes: Sizes,
    pub(crate) tiers: Tiers,
    pub(crate) memory: Overcommit,
    pub(crate) disk: Overcommit,
    pub(crate) network_allow: Vec<String>,
    pub(crate) routing: Routing,
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) ca_bundle: Option<PathBuf>,
    pub(crate) build_env: BTreeMap<String, String>,
    /// None: links are handed over by hand.
    pub(crate) mail: Option<renga_mail::Config>,
    /// None: no certificates are fetched.
    pub(crate) acme: Option<renga_acme::Config>,
    pub(crate) allow_weak_isolation: bool,
    pub(crate) builds_max: usize,
    pub(crate) build_memory_bytes: u64,
    pub(crate) build_timeout: Duration,
    pub(crate) build_disk_bytes: u64,
    pub(crate) dyno_disk_bytes: u64,
    /// None: eco apps never sleep.
    pub(crate) sleep_after: Option<Duration>,
    /// None: web dynos of an app that sleeps stop at once.
    pub(crate) freeze_for: Option<Duration>,
    /// None: dynos are not replaced for their age.
    pub(crate) cycle_after: Option<Duration>,
    pub(crate) disk_budget_bytes: u64,
    pub(crate) disk_floor_bytes: u64,
    /// None: a dyno writes its disk as fast as the machine can.
    pub(crate) disk_write_bytes_per_s: Option<u64>,
    pub(crate) releases_kept: usize,
    pub(crate) invitations: Invitations,
}

/// Ports below this one are root's, and of those whom root lets.
const UNPRIVILEGED_PORT_MIN: u16 = 1024;
/// The stack of new apps.
const STACK: &str = "heroku-24";
/// Where the stack images of this machine are, unless the configuration says otherwise.
const STACK_CACHE: &str = "/var/cache/renga/stacks";
/// Resolvers that every machine has in one place.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the site's certificates lie in a dyno, and the variables by which build tools find them.
const DYNO_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const CA_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
];
/// Of the machine's memory, for everything that is no dyno.
const MEMORY_RESERVE_MIB: u64 = 512;
const MEMORY_RESERVE_MIB_MAX: u64 = 16 * 1024 * 1024;
/// Quotas per byte of memory: few dynos ever fill theirs.
const MEMORY_OVERCOMMIT: f64 = 4.0;
/// Disk of dynos per byte of free disk: most write hardly anything.
const DISK_OVERCOMMIT: f64 = 20.0;
/// What a dyno may write in the long run; about what the small virtual disks of cloud providers give (ours).
const DISK_WRITE_MIB_PER_S: u64 = 128;
const OVERCOMMITS: std::ops::RangeInclusive<f64> = 1.0..=100.0;
const MIB: u64 = 1024 * 1024;

impl Config {
    /// From flags, the environment and the configuration file; `Err` lists every mistake.
    pub(crate) fn read(args: &ConfigArgs) -> Result<Self, Vec<String>> {
        let path = args.config.clone().or_else(|| env_path("RENGA_CONFIG"));
        let mut typed = match path.or_else(default_file) {
            Some(path) => Typed::from_file(&path).map_err(|mistake| vec![mistake])?,
            None => Typed::default(),
        };
        typed.overlay(args);
        if typed.data_dir.is_none() {
            typed.data_dir = env_path("RENGA_DATA_DIR");
        }
        typed.finish()
    }

    /// Whether the server, which is not root, needs leave to listen where it is told to.
    pub(crate) fn server_on_low_port(&self) -> bool {
        let low = |address: SocketAddr| (1..UNPRIVILEGED_PORT_MIN).contains(&address.port());
        [self.api, self.api_tls, self.rendezvous].into_iter().any(low)
    }
}

fn env_path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the binary's config.rs")]
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The whole environment, for the commands of `cli`, which read no environment themselves.
pub(crate) fn user_environment() -> renga_cli::Environment {
    renga_cli::Environment { vars: std::env::vars().collect() }
}

/// What the environment says of the site; the configuration file wins. Builds get it, and `bin/demo` needs no file.
pub(crate) fn site_environment() -> BTreeMap<String, String> {
    const PASSED: [&str; 6] =
        ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];
    #[expect(clippy::disallowed_methods, reason = "this is the binary's config.rs")]
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    PASSED.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
}

/// The file that a site's private CA is usually named by.
pub(crate) fn site_ca_bundle() -> Option<PathBuf> {
    env_path("SSL_CERT_FILE").filter(|path| path.is_file())
}

fn default_file() -> Option<PathBuf> {
    let path = PathBuf::from("/etc/renga/renga.toml");
    path.exists().then_some(path)
}

impl Typed {
    /// As meant. Every key is looked at, whatever the others hold.
    pub(crate) fn finish(self) -> Result<Config, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut address = |key: &str, typed: &Option<String>, default: &str| {
            let text = typed.as_deref().unwrap_or(default);
            parse_address(text).unwrap_or_else(|why| {
                mistakes.push(format!("{key} = \"{text}\": {why}"));
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
            })
        };
        let api = address("api", &self.api, "127.0.0.1:4000");
        let api_tls = address("api_tls", &self.api_tls, "127.0.0.1:4443");
        let router = address("router", &self.router, "127.0.0.1:8080");
        let router_tls = address("router_tls", &self.router_tls, "127.0.0.1:8443");
        let rendezvous = address("rendezvous", &self.rendezvous, "127.0.0.1:4001");
        let domain = domain(self.domain, &mut mistakes);
        let (default_stack, stacks) = stacks(self.stack.as_deref(), &self.stacks, &mut mistakes);
        let sizes = sizes::sizes(&self.sizes, &mut mistakes);
        let admin_email = self.admin_email.unwrap_or_else(|| "admin@localhost".into());
        let tiers = tiers::tiers(&self.tiers, &admin_email, &mut mistakes);
        let (memory, disk) = (memory(&self.memory, &mut mistakes), disk(&self.disk, &mut mistakes));
        check_ranges(&self.network.allow, &mut mistakes);
        let routing = self.routing.finish(&mut mistakes);
        let dns = parse_dns(&self.site.dns, &mut mistakes);
        let (ca_bundle, build_env) = trust(self.site.ca_bundle, self.site.build_env, &mut mistakes);
        let mail = self.mail.and_then(|mail| mail.finish(ca_bundle.as_deref(), &mut mistakes));
        let acme = self.acme.and_then(|acme| acme.finish(ca_bundle.as_deref(), &mut mistakes));
        let invitations = invitations(self.accounts.invitations.as_deref(), &mut mistakes);
        refuse_zeros(&self.builds, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Config {
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/renga")),
            public_host: self.public_host.unwrap_or_else(|| "localhost".into()),
            heroku_names: self.heroku_names,
            admin_email,
            admin_password_file: self.admin_password_file,
            network_allow: self.network.allow,
            allow_weak_isolation: self.allow_weak_isolation,
            builds_max: self.builds.max.unwrap_or(2),
            build_timeout: self.builds.timeout_seconds.map_or(limits::BUILD_TIMEOUT, Duration::from_secs),
            build_memory_bytes: self.builds.memory_mib.unwrap_or(2560) * MIB,
            build_disk_bytes: self.builds.disk_mib.unwrap_or(8 * 1024) * MIB,
            dyno_disk_bytes: self.dynos.disk_mib.unwrap_or(2 * 1024) * MIB,
            sleep_after: seconds(self.dynos.sleep_after_seconds, limits::SLEEP_AFTER),
            freeze_for: seconds(self.dynos.freeze_seconds, limits::FREEZE_FOR),
            cycle_after: seconds(self.dynos.cycle_after_seconds, limits::CYCLE_AFTER),
            disk_budget_bytes: self.disk.budget_mib.unwrap_or(20 * 1024) * MIB,
            disk_floor_bytes: disk.reserve_bytes,
            disk_write_bytes_per_s: disk_write_rate(self.disk.write_mib_per_s),
            releases_kept: self.disk.releases_kept.unwrap_or(10),
            invitations,
            mail,
            acme,
            domain,
            api,
            api_tls,
            router,
            router_tls,
            rendezvous,
            routing,
            default_stack,
            stacks,
            sizes,
            tiers,
            memory,
            disk,
            dns,
            ca_bundle,
            build_env,
        })
    }
}

fn invitations(typed: Option<&str>, mistakes: &mut Vec<String>) -> Invitations {
    match typed.unwrap_or("anybody") {
        "anybody" => Invitations::Anybody,
        "operators" => Invitations::Operators,
        other => {
            mistakes.push(format!("accounts.invitations = \"{other}\": anybody or operators"));
            Invitations::Operators
        }
    }
}

/// Zero stands for never.
fn seconds(typed: Option<u64>, default: Duration) -> Option<Duration> {
    Some(typed.map_or(default, Duration::from_secs)).filter(|time| !time.is_zero())
}

fn disk_write_rate(typed: Option<u64>) -> Option<u64> {
    Some(typed.unwrap_or(DISK_WRITE_MIB_PER_S).saturating_mul(MIB)).filter(|rate| *rate > 0)
}

fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("must be HOST:PORT, for example 127.0.0.1:4000")?;
    let port = port.parse().map_err(|_| "the port must be a number from 0 (any free one) to 65535")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.parse().map_err(|_| "the host must be an IP address, localhost or *")?,
    };
    Ok(SocketAddr::new(host, port))
}

/// The default stack, and every stack image that is known.
fn stacks(
    default: Option<&str>,
    typed: &BTreeMap<String, PathBuf>,
    mistakes: &mut Vec<String>,
) -> (StackName, Vec<(StackName, PathBuf)>) {
    let default = parse_stack(default.unwrap_or(STACK), mistakes);
    let mut stacks = Vec::new();
    for (name, image) in typed {
        stacks.push((parse_stack(name, mistakes), image.clone()));
    }
    if !typed.contains_key(STACK) {
        stacks.push((parse_stack(STACK, mistakes), PathBuf::from(STACK_CACHE).join("heroku-24.erofs")));
    }
    if default.as_str() != "host" && !stacks.iter().any(|(name, _)| *name == default) {
        mistakes.push(format!("stack = \"{default}\": no such stack is configured under [stacks]"));
    }
    (default, stacks)
}

/// The site's CA, and what builds get of the site.
fn trust(
    typed_ca: Option<PathBuf>,
    typed_env: BTreeMap<String, String>,
    mistakes: &mut Vec<String>,
) -> (Option<PathBuf>, BTreeMap<String, String>) {
    let mut build_env = site_environment();
    build_env.extend(typed_env);
    let ca_bundle = typed_ca.or_else(site_ca_bundle);
    if let Some(missing) = ca_bundle.as_ref().filter(|path| !path.is_file()) {
        mistakes.push(format!("site.ca_bundle = \"{}\": there is no such file", missing.display()));
    }
    if ca_bundle.is_some() {
        let trusted = CA_VARIABLES.iter().map(|name| ((*name).to_owned(), DYNO_CA_BUNDLE.to_owned()));
        build_env = trusted.chain(build_env).collect();
    }
    (ca_bundle, build_env)
}

fn refuse_zeros(builds: &typed::Builds, mistakes: &mut Vec<String>) {
    if builds.max == Some(0) {
        mistakes.push("builds.max = 0: nothing could ever be deployed; use at least 1".into());
    }
    if builds.timeout_seconds == Some(0) {
        mistakes.push("builds.timeout_seconds = 0: every build would be stopped; use at least 1".into());
    }
}

/// What is promised to dynos.
fn memory(typed: &typed::Memory, mistakes: &mut Vec<String>) -> Overcommit {
    let reserve_mib = typed.reserve_mib.unwrap_or(MEMORY_RESERVE_MIB);
    if reserve_mib > MEMORY_RESERVE_MIB_MAX {
        mistakes
            .push(format!("memory.reserve_mib = {reserve_mib}: must be from 0 to {MEMORY_RESERVE_MIB_MAX}"));
    }
    let overcommit_percent = percent("memory", typed.overcommit, MEMORY_OVERCOMMIT, mistakes);
    Overcommit { reserve_bytes: reserve_mib.min(MEMORY_RESERVE_MIB_MAX) * MIB, overcommit_percent }
}

fn disk(typed: &typed::Disk, mistakes: &mut Vec<String>) -> Overcommit {
    let reserve_bytes = typed.floor_mib.unwrap_or(1024) * MIB;
    let overcommit_percent = percent("disk", typed.overcommit, DISK_OVERCOMMIT, mistakes);
    Overcommit { reserve_bytes, overcommit_percent }
}

fn percent(section: &str, typed: Option<f64>, default: f64, mistakes: &mut Vec<String>) -> u64 {
    let factor = typed.unwrap_or(default);
    if !OVERCOMMITS.contains(&factor) {
        let (least, most) = OVERCOMMITS.into_inner();
        mistakes.push(format!("{section}.overcommit = {factor}: must be from {least} to {most}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let percent = (factor.clamp(1.0, 100.0) * 100.0).round() as u64;
    percent
}

fn parse_stack(name: &str, mistakes: &mut Vec<String>) -> StackName {
    name.parse().unwrap_or_else(|why| {
        mistakes.push(format!("stack name \"{name}\": {why}"));
        "host".parse().expect("a legal stack name")
    })
}

fn parse_dns(typed: &[String], mistakes: &mut Vec<String>) -> Vec<SocketAddr> {
    let parsed =
        |text: &String| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).map_err(|_| text.clone());
    if typed.is_empty() {
        return resolvers(Path::new(RESOLV_CONF));
    }
    let (good, bad): (Vec<_>, Vec<_>) = typed.iter().map(parsed).partition(Result::is_ok);
    mistakes.extend(
        bad.into_iter().filter_map(Result::err).map(|t| format!("site.dns: \"{t}\" is not an IP address")),
    );
    good.into_iter().filter_map(Result::ok).collect()
}

fn resolvers(file: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|ip| Some(SocketAddr::new(ip.trim().parse().ok()?, 53))).collect()
}

fn domain(typed: Option<String>, mistakes: &mut Vec<String>) -> String {
    let domain = typed.unwrap_or_else(|| "localhost".into());
    if !is_domain(&domain) {
        mistakes.push(format!("domain = \"{domain}\": must be a host name such as apps.example.com"));
    }
    domain
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

fn check_ranges(typed: &[String], mistakes: &mut Vec<String>) {
    for cidr in typed.iter().filter(|cidr| !is_cidr(cidr)) {
        mistakes.push(format!("network.allow: \"{cidr}\" is not an IPv4 range such as 10.1.0.0/16"));
    }
}

fn is_cidr(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    address.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_together() {
        let typed: Typed = toml::from_str(
            "api = \"nowhere\"\nrouter = \"127.0.0.1:99999\"\ndomain = \"a b\"\n[network]\nallow = [\"10.0.0.0/33\"]\n[builds]\nmax = 0\n",
        )
        .unwrap();
        let mistakes = typed.finish().unwrap_err();
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
    }

    #[test]
    fn zero_is_never() {
        let times = |text: &str| {
            let config = toml::from_str::<Typed>(text).unwrap().finish().unwrap();
            (config.sleep_after, config.freeze_for, config.cycle_after)
        };
        let default = (Some(limits::SLEEP_AFTER), Some(limits::FREEZE_FOR), Some(limits::CYCLE_AFTER));
        assert_eq!(times(""), default);
        let never = "[dynos]\nsleep_after_seconds = 0\nfreeze_seconds = 0\ncycle_after_seconds = 0";
        assert_eq!(times(never), (None, None, None));
        let quick = "[dynos]\nsleep_after_seconds = 5\nfreeze_seconds = 6\ncycle_after_seconds = 7";
        let [five, six, seven] = [5, 6, 7].map(|time| Some(Duration::from_secs(time)));
        assert_eq!(times(quick), (five, six, seven));
    }

    #[test]
    fn who_invites_is_one_of_two() {
        let typed = |text: &str| toml::from_str::<Typed>(text).unwrap().finish();
        assert_eq!(typed("").unwrap().invitations, Invitations::Anybody);
        let operators = typed("[accounts]\ninvitations = \"operators\"");
        assert_eq!(operators.unwrap().invitations, Invitations::Operators);
        let mistakes = typed("[accounts]\ninvitations = \"nobody\"").unwrap_err();
        assert_eq!(mistakes, ["accounts.invitations = \"nobody\": anybody or operators"]);
    }

    #[test]
    fn unknown_keys_fail() {
        assert!(toml::from_str::<Typed>("prot = 1").is_err());
    }

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (text, meant) in
            [("localhost:0", "127.0.0.1:0"), ("*:80", "0.0.0.0:80"), ("[::]:443", "[::]:443")]
        {
            assert_eq!(parse_address(text).unwrap().to_string(), meant);
        }
    }
}

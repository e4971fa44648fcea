//! What an operator decides about the hand, and the limits that nobody has asked to change yet.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use renga_model::StackName;

/// Everything the hand is told. It reads no environment and guesses nothing.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATA_DIR`; the hand owns `DATA_DIR/node`.
    pub data_dir: PathBuf,
    /// Bridges, nft tables and cgroups are called after it.
    pub instance: InstanceName,
    /// Addresses of the bridge (the first) and of the dynos.
    pub subnet: Ipv4Cidr,
    /// Host user ids that belong to dynos: ranges of [`RANGE_IDS`], one for each dyno while they last.
    pub uid_base: u32,
    pub uid_count: u32,
    /// The server's user: may attach to dynos and read their output.
    pub server_uid: u32,
    /// The programs `renga-dyno` and `renga-build`.
    pub supervisor: PathBuf,
    pub builder: PathBuf,
    /// Stacks by name: EROFS images. The stack `host` is always there.
    pub stacks: Vec<(StackName, PathBuf)>,
    /// Private ranges that dynos may reach. A single address (`/32`) may also be one of this machine's.
    pub network_allow: Vec<Ipv4Cidr>,
    /// Where the DNS forwarder asks, in order.
    pub dns: Vec<SocketAddr>,
    /// Where the server leaves input files.
    pub exchange_dir: PathBuf,
    /// Certificates laid over `/etc/ssl/certs/ca-certificates.crt` of every dyno.
    pub ca_bundle: Option<PathBuf>,
    /// Starts and packs are refused when less than this would stay free on the data directory's disk.
    pub disk_floor_bytes: u64,
    /// How fast one dyno's writable disk may be written; none is as fast as the machine can.
    pub disk_write_bytes_per_s: Option<u64>,
    /// Go on where the kernel lacks user namespaces, seccomp or memory and process limits.
    pub allow_weak_isolation: bool,
}

/// Ids in one dyno's range: enough for every id that a stack's files have.
pub const RANGE_IDS: u32 = 65_536;
/// The dyno user inside (`app`).
pub(crate) const APP_ID: u32 = 1000;
/// Output segments of one dyno; builds and release commands keep `limits::OUTPUT_BYTES_MAX`.
pub(crate) const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What one dyno may log for long, 200 bytes for each line on top; `LOG_BYTES_MAX` may come at once (ours).
pub(crate) const LOG_BYTES_PER_S: u64 = 2 * 1024 * 1024;
/// What `DynoSpec::files` may hold together, and the tmpfs they lie on.
pub(crate) const SPEC_FILES_BYTES_MAX: usize = 1024 * 1024;
pub(crate) const SPEC_FILES_TMPFS_BYTES: u64 = 4 * 1024 * 1024;
/// The smallest writable layer; ext4 needs some room for itself.
pub(crate) const DISK_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Free memory below which nothing more is started.
pub(crate) const MEMORY_FLOOR_BYTES: u64 = 128 * 1024 * 1024;
/// Layers of one dyno, `mounts` included: the kernel stacks some hundred, options fit one page.
pub(crate) const LAYERS_MAX: usize = 64;
/// A layer image (slug layers are 500 MB at most in all; caches may be larger).
pub(crate) const LAYER_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// What `read_file` gives at most, whatever is asked.
pub(crate) const READ_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// From spawning a supervisor until it says that the process runs.
pub(crate) const STARTED_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a supervisor may live on after its `exit.json` before it is killed by `forget`.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(3);
/// Beyond the grace of a stop, before the whole cgroup is killed because the supervisor does not do it.
pub(crate) const STOP_SLACK: Duration = Duration::from_secs(10);
/// A layer mount without users is kept this long.
pub(crate) const LAYER_IDLE: Duration = Duration::from_secs(10 * 60);
pub(crate) const LAYER_SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often what is frozen may run for a moment, and for how long.
pub(crate) const BREATH_EVERY: Duration = Duration::from_secs(2);
pub(crate) const BREATH: Duration = Duration::from_millis(20);
/// How often the firewall rules are looked after: other programs flush and rewrite them.
pub(crate) const NETWORK_GUARD_EVERY: Duration = Duration::from_secs(15);
/// External programs: quick ones (nft, iptables, mkfs.ext4) and packing.
pub(crate) const PROGRAM_TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) const PACK_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Packs at one time: each uses a core.
pub(crate) const PACKS_MAX: usize = 2;
/// `changed` returns after this long without a change.
pub(crate) const CHANGED_TIMEOUT: Duration = Duration::from_secs(5);

/// Lower-case letters and digits, 1 to 8: it must fit interface names of 15 bytes with a prefix and a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {rule}")]
pub struct ConfigMistake {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InstanceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub(crate) fn bridge(&self) -> String {
        format!("rb{}", self.0)
    }
    pub(crate) fn veth_prefix(&self) -> String {
        format!("rv{}-", self.0)
    }
    pub(crate) fn veth(&self, index: u32) -> String {
        format!("{}{index:x}", self.veth_prefix())
    }
    pub(crate) fn table(&self) -> String {
        format!("renga_{}", self.0)
    }
    pub(crate) fn cgroup(&self) -> String {
        format!("renga-{}", self.0)
    }
}

impl FromStr for InstanceName {
    type Err = ConfigMistake;
    fn from_str(text: &str) -> Result<Self, ConfigMistake> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if text.is_empty() || text.len() > 8 || !text.bytes().all(legal) {
            let rule = "must be 1 to 8 lower-case letters and digits";
            return Err(ConfigMistake { what: "Instance", text: text.into(), rule });
        }
        Ok(Self(text.to_owned()))
    }
}

/// `10.201.0.0/16`: an IPv4 network without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Cidr {
    network: u32,
    prefix: u8,
}

impl Ipv4Cidr {
    pub fn prefix(self) -> u8 {
        self.prefix
    }
    /// Addresses in all, network and broadcast included.
    pub(crate) fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }
    pub(crate) fn nth(self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.network + index)
    }
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.network
    }
}

fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

impl FromStr for Ipv4Cidr {
    type Err = ConfigMistake;
    fn from_str(text: &str) -> Result<Self, ConfigMistake> {
        let refuse = |rule| ConfigMistake { what: "Network", text: text.into(), rule };
        let shape = "must look like 10.201.0.0/16";
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| refuse(shape))?;
        let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(|| refuse(shape))?;
        let network = u32::from(address);
        if network & !mask(prefix) != 0 {
            return Err(refuse("has bits set beyond its prefix"));
        }
        Ok(Self { network, prefix })
    }
}

impl std::fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

/// The name servers of a `resolv.conf`, for [`Config::dns`].
pub fn resolvers(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| -> Option<SocketAddr> {
        let mut words = line.split_whitespace();
        let server = (words.next()? == "nameserver").then(|| words.next())??;
        let address: IpAddr = server.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address, 53))
    };
    resolv_conf.lines().filter_map(address).collect()
}

impl Config {
    /// How many dynos can have a user id range of their own.
    pub(crate) fn ranges(&self) -> u32 {
        (self.uid_count / RANGE_IDS).max(1)
    }
    /// The range of the dyno with this address index. Beyond the last range they are shared.
    pub(crate) fn range_base(&self, index: u32) -> u32 {
        self.uid_base + (index % self.ranges()) * RANGE_IDS
    }
    pub(crate) fn range_ids(&self) -> u32 {
        self.uid_count.min(RANGE_IDS)
    }
    pub(crate) fn bridge_address(&self) -> Ipv4Addr {
        self.subnet.nth(1)
    }

    /// All mistakes at once, before anything is touched.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |wrong: bool, what: &str| {
            if wrong {
                found.push(what.to_owned());
            }
        };
        check(self.subnet.prefix > 28 || self.subnet.prefix < 8, "subnet must be a /8 to /28");
        check(self.uid_base < RANGE_IDS, "uid_base must be 65536 or more");
        check(self.uid_count <= APP_ID, "uid_count must be more than 1000");
        check(self.uid_base.checked_add(self.uid_count).is_none(), "the uid range ends beyond 2^32");
        for path in [&self.data_dir, &self.supervisor, &self.builder, &self.exchange_dir] {
            check(!path.is_absolute(), &format!("{} must be an absolute path", path.display()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_and_counted() {
        let net: Ipv4Cidr = "10.201.0.0/16".parse().unwrap();
        assert_eq!((net.size(), net.nth(1).to_string()), (65_536, "10.201.0.1".into()));
        assert!(net.contains("10.201.255.255".parse().unwrap()));
        assert!(!net.contains("10.202.0.0".parse().unwrap()));
        assert_eq!("192.0.2.7".parse::<Ipv4Cidr>().unwrap().to_string(), "192.0.2.7/32");
        for bad in ["10.201.0.1/16", "10.0.0.0/33", "x", "fd00::/8", ""] {
            assert!(bad.parse::<Ipv4Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names_fit() {
        let name: InstanceName = "abcd1234".parse().unwrap();
        assert!(name.veth(0xffff).len() <= 15 && name.bridge().len() <= 15);
        for bad in ["", "a-b", "ABC", "abcdefghi"] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn resolv_conf_is_read() {
        let text = "# x\nnameserver 10.0.0.2\nsearch a b\nnameserver fe80::1%eth0\nnameserver nonsense\n";
        let seen: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(seen, ["10.0.0.2:53", "[fe80::1]:53"]);
    }
}

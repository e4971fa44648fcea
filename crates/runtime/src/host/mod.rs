//! What this machine has of what dynos need: one account of it, for the node at its start and for `renga doctor`.
//!
//! [`HostFacts::read`] looks and decides nothing; [`judge`] decides and looks at nothing. What [`judge`] says of each
//! point is a [`Finding`]; its [`Stops`] tells whether the node runs apps all the same:
//!
//! ```text
//! files of /proc and /sys ──read──> HostFacts ──judge──> Finding ──> renga doctor: a line
//!                                                           └──────> renga node: refuses, or goes on weakly
//! ```

mod judge;
mod read;

pub use judge::judge;

/// As read; what could not be read is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel: String,
    pub is_root: bool,
    pub missing_programs: Vec<&'static str>,
    /// 1 (hybrid machines count as that), 2, or nothing mounted.
    pub cgroup_version: Option<u8>,
    pub controllers: Vec<String>,
    pub has_freezer: bool,
    /// Why no user namespace could be made.
    pub user_namespaces_refused: Option<String>,
    pub has_seccomp: bool,
    pub missing_file_systems: Vec<&'static str>,
    pub has_loop_devices: bool,
    /// Why nftables does not answer.
    pub nftables_refused: Option<String>,
    /// Chains of nftables on the way of forwarded packets that drop them, and that the node can't open.
    pub closed_by_others: Vec<String>,
    pub swap_bytes: u64,
    pub counts_swap: bool,
    pub memory_available_bytes: Option<u64>,
    pub disk_available_bytes: Option<u64>,
    pub disk_floor_bytes: u64,
    pub processes_max: Option<u64>,
    pub watchers_max: Option<u64>,
    pub open_files_max: Option<u64>,
    pub is_clock_synchronised: Option<bool>,
    pub forwards_ipv4: Option<bool>,
    pub has_ipv6: bool,
    /// Chains of iptables that drop what they don't know, which the node opens for dynos: `iptables-nft FORWARD`.
    pub closed_chains: Vec<String>,
    /// Who has rules there: `Docker`, `ufw`.
    pub firewalls: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// Apps run, with less than they could have.
    Weak,
    /// What is asked for is not there.
    Missing,
}

/// Whether a machine without it runs apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stops {
    Nothing,
    /// As it is now, nothing new is started; what runs goes on, and so does the node.
    Starts,
    /// A fence is missing: apps run only with `--allow-weak-isolation`.
    UnlessAllowed,
    Apps,
}

/// One point of the examination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    pub verdict: Verdict,
    /// What was seen.
    pub found: String,
    /// What it weakens, and what to do; empty when all is well.
    pub weakens: &'static str,
    pub remedy: String,
    pub stops: Stops,
}

impl Finding {
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Ok,
            found: found.into(),
            weakens: "",
            remedy: String::new(),
            stops: Stops::Nothing,
        }
    }

    pub fn weak(
        what: &'static str,
        found: impl Into<String>,
        weakens: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        let found = found.into();
        Self { verdict: Verdict::Weak, found, weakens, remedy: remedy.into(), ..Self::ok(what, "") }
    }

    pub fn missing(
        what: &'static str,
        found: impl Into<String>,
        weakens: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Missing, ..Self::weak(what, found, weakens, remedy) }
    }

    pub fn stopping(self, stops: Stops) -> Self {
        Self { stops, ..self }
    }
}

/// What keeps apps from running here, as one text; nothing when they may.
pub(crate) fn unfit(findings: &[Finding], allow_weak_isolation: bool) -> Option<String> {
    let in_the_way = |finding: &&Finding| match finding.stops {
        Stops::Nothing | Stops::Starts => false,
        Stops::UnlessAllowed => !allow_weak_isolation,
        Stops::Apps => true,
    };
    let told: Vec<String> = findings
        .iter()
        .filter(in_the_way)
        .map(|finding| format!("{}: {} ({})", finding.what, finding.found, finding.remedy))
        .collect();
    let hint = "`renga doctor` tells more";
    (!told.is_empty()).then(|| format!("this machine can't run apps safely: {}; {hint}", told.join("; ")))
}

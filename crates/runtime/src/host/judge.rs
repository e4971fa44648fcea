//! What the facts mean.

use super::{Finding, HostFacts, Stops};
use crate::config::MEMORY_FLOOR_BYTES;

/// Overlays over layers with shifted owners: 5.19. What is tested starts here.
const KERNEL_MIN: (u32, u32) = (6, 1);
const KERNEL_OVERLAYS: (u32, u32) = (5, 19);
/// From here on an image is mounted as a file, without a loop device.
const KERNEL_FILE_IMAGES: (u32, u32) = (6, 12);
/// Enough for a small app.
const MEMORY_BYTES_MIN: u64 = 1024 * 1024 * 1024;
const PROCESSES_MIN: u64 = 32_768;
const WATCHERS_MIN: u64 = 1024;
const OPEN_FILES_MIN: u64 = 10_000;
const MIB: u64 = 1024 * 1024;

/// Every point, in the order in which a machine is looked over.
pub fn judge(facts: &HostFacts) -> Vec<Finding> {
    let points: [fn(&HostFacts) -> Finding; 20] = [
        root,
        kernel,
        programs,
        user_namespaces,
        seccomp,
        cgroups,
        memory_limit,
        process_limit,
        cpu_shares,
        freezer,
        swap,
        file_systems,
        images,
        nftables,
        forwarding,
        firewall,
        limits,
        memory,
        disk,
        clock,
    ];
    let mut found: Vec<Finding> = points.iter().map(|point| point(facts)).collect();
    found.push(ipv6(facts));
    found
}

fn root(facts: &HostFacts) -> Finding {
    if facts.is_root {
        return Finding::ok("root", "yes");
    }
    let weakens = "the node makes mounts, control groups and networks; not all of this could be looked at";
    Finding::missing("root", "no", weakens, "run it with sudo").stopping(Stops::Apps)
}

/// `6.12.3-amd64`: the first two numbers.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn kernel(facts: &HostFacts) -> Finding {
    let found = format!("Linux {}", facts.kernel);
    let remedy = "install Linux 6.1 or newer (Debian 12, Ubuntu 24.04)";
    match version(&facts.kernel) {
        Some(version) if version >= KERNEL_MIN => Finding::ok("kernel", found),
        Some(version) if version >= KERNEL_OVERLAYS => {
            Finding::weak("kernel", found, "nobody has tried the platform on it", remedy)
        }
        _ => {
            let weakens = "apps can't have layers that lie over one another with owners of their own";
            Finding::missing("kernel", found, weakens, remedy).stopping(Stops::Apps)
        }
    }
}

fn programs(facts: &HostFacts) -> Finding {
    if facts.missing_programs.is_empty() {
        return Finding::ok("programs", "mkfs.erofs, mkfs.ext4, nft");
    }
    let found = format!("not installed: {}", facts.missing_programs.join(", "));
    let remedy = "apt-get install erofs-utils e2fsprogs nftables";
    Finding::missing("programs", found, "no slug, no disk and no network can be made", remedy)
        .stopping(Stops::Apps)
}

fn user_namespaces(facts: &HostFacts) -> Finding {
    let Some(refused) = &facts.user_namespaces_refused else {
        return Finding::ok("user namespaces", "yes");
    };
    let weakens = "an app would run with users of the machine, one bug in the kernel away from root";
    let remedy = "sysctl user.max_user_namespaces=10000; inside another container, allow nesting";
    Finding::missing("user namespaces", refused, weakens, remedy).stopping(Stops::UnlessAllowed)
}

fn seccomp(facts: &HostFacts) -> Finding {
    if facts.has_seccomp {
        return Finding::ok("seccomp", "yes");
    }
    let weakens = "an app may make every system call, those with a bad history among them";
    let remedy = "use a kernel with CONFIG_SECCOMP_FILTER (every distribution's has it)";
    Finding::missing("seccomp", "no", weakens, remedy).stopping(Stops::UnlessAllowed)
}

fn cgroups(facts: &HostFacts) -> Finding {
    let controllers = facts.controllers.join(" ");
    match facts.cgroup_version {
        Some(2) => Finding::ok("control groups", format!("version 2: {controllers}")),
        Some(_) => Finding::weak(
            "control groups",
            format!("version 1: {controllers}"),
            "swap and page cache are counted less exactly",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        None => Finding::missing(
            "control groups",
            "not mounted",
            "dynos can't be told apart, limited or ended",
            "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd",
        )
        .stopping(Stops::Apps),
    }
}

fn controller(
    facts: &HostFacts,
    what: &'static str,
    name: &str,
    weakens: &'static str,
    stops: Stops,
) -> Finding {
    if facts.controllers.iter().any(|known| known == name) {
        return Finding::ok(what, "yes");
    }
    let remedy = match name {
        "memory" => "boot with cgroup_enable=memory".to_owned(),
        _ => format!("boot without cgroup_disable={name}, or with a kernel that has this controller"),
    };
    Finding::missing(what, format!("no controller {name}"), weakens, remedy).stopping(stops)
}

fn memory_limit(facts: &HostFacts) -> Finding {
    let weakens = "one app can take all memory, and the kernel then ends whom it likes";
    controller(facts, "memory limits", "memory", weakens, Stops::UnlessAllowed)
}

fn process_limit(facts: &HostFacts) -> Finding {
    let weakens = "one app can start processes until nobody else can";
    controller(facts, "process limits", "pids", weakens, Stops::UnlessAllowed)
}

fn cpu_shares(facts: &HostFacts) -> Finding {
    let weakens = "a busy app slows its neighbours down more than its size allows";
    controller(facts, "CPU shares", "cpu", weakens, Stops::Nothing)
}

fn freezer(facts: &HostFacts) -> Finding {
    if facts.has_freezer {
        return Finding::ok("freezer", "yes");
    }
    let weakens = "idle apps can't be frozen, only stopped";
    Finding::weak("freezer", "no controller freezer", weakens, "use control groups version 2")
}

fn swap(facts: &HostFacts) -> Finding {
    let found = format!("{} MiB of swap", facts.swap_bytes / MIB);
    if facts.counts_swap || facts.swap_bytes == 0 {
        return Finding::ok("swap", found);
    }
    let weakens = "an app over its memory limit goes on in swap, and slows the machine down";
    Finding::weak("swap", format!("{found}, not counted"), weakens, "boot with swapaccount=1, or swapoff -a")
}

fn file_systems(facts: &HostFacts) -> Finding {
    if facts.missing_file_systems.is_empty() {
        return Finding::ok("file systems", "erofs, overlay, ext4");
    }
    let found = format!("this kernel has no {}", facts.missing_file_systems.join(", "));
    let remedy = "apt-get install linux-image-amd64 (a cloud kernel may leave modules out)";
    Finding::missing("file systems", found, "slugs can't be mounted", remedy).stopping(Stops::Apps)
}

fn images(facts: &HostFacts) -> Finding {
    if facts.has_loop_devices {
        return Finding::ok("loop devices", "yes");
    }
    let by_file = version(&facts.kernel).is_some_and(|version| version >= KERNEL_FILE_IMAGES);
    let found = if by_file { "none; images are mounted as files" } else { "none" };
    let weakens = "the writable disk of a dyno can't be mounted";
    Finding::missing("loop devices", found, weakens, "modprobe loop").stopping(Stops::Apps)
}

fn nftables(facts: &HostFacts) -> Finding {
    let Some(refused) = &facts.nftables_refused else { return Finding::ok("nftables", "yes") };
    let weakens = "dynos have no network, or one without a fence";
    let remedy = "modprobe nf_tables; use a kernel with CONFIG_NF_TABLES_INET";
    Finding::missing("nftables", refused, weakens, remedy).stopping(Stops::Apps)
}

fn forwarding(facts: &HostFacts) -> Finding {
    match facts.forwards_ipv4 {
        Some(true) => Finding::ok("IPv4 forwarding", "on"),
        Some(false) => Finding::ok("IPv4 forwarding", "off; the node turns it on when it starts"),
        None => Finding::missing(
            "IPv4 forwarding",
            "the kernel has no such setting",
            "dynos can't reach the internet",
            "use a kernel with IPv4",
        ),
    }
}

fn firewall(facts: &HostFacts) -> Finding {
    if !facts.closed_by_others.is_empty() {
        let found = format!("closed by nftables: {}", facts.closed_by_others.join(", "));
        let remedy =
            "add to that chain: iifname \"rb*\" accept; oifname \"rb*\" ct state established,related accept";
        return Finding::weak("firewall", found, "dynos can't reach the internet", remedy);
    }
    if facts.closed_chains.is_empty() {
        return Finding::ok("firewall", "nothing in the way");
    }
    let by =
        if facts.firewalls.is_empty() { String::new() } else { format!(" ({})", facts.firewalls.join(", ")) };
    Finding::ok(
        "firewall",
        format!("closed, and opened for dynos by the node: {}{by}", facts.closed_chains.join(", ")),
    )
}

fn limits(facts: &HostFacts) -> Finding {
    let seen = [
        ("processes", facts.processes_max, PROCESSES_MIN, "kernel.pid_max"),
        ("inotify instances", facts.watchers_max, WATCHERS_MIN, "fs.inotify.max_user_instances"),
        ("open files", facts.open_files_max, OPEN_FILES_MIN, "LimitNOFILE of the units"),
    ];
    let said = |max: Option<u64>| max.map_or("no limit".to_owned(), |max| max.to_string());
    let found: Vec<String> = seen.iter().map(|(what, max, ..)| format!("{what} {}", said(*max))).collect();
    let found = found.join(", ");
    // The node raises this one itself.
    let mended = |what: &str| what == "inotify instances" && facts.is_root;
    let low: Vec<String> = seen
        .iter()
        .filter(|(what, max, min, _)| max.is_some_and(|max| max < *min) && !mended(what))
        .map(|(_, _, min, setting)| format!("{setting} to {min} or more"))
        .collect();
    if low.is_empty() {
        return Finding::ok("system limits", found);
    }
    Finding::weak(
        "system limits",
        found,
        "many dynos together run into them",
        format!("set {}", low.join(", ")),
    )
}

fn memory(facts: &HostFacts) -> Finding {
    let Some(bytes) = facts.memory_available_bytes else {
        return Finding::weak(
            "memory",
            "unknown",
            "starts are not held back when it is short",
            "mount /proc",
        );
    };
    let found = format!("{} MiB available", bytes / MIB);
    let remedy = "stop something, or use a larger machine";
    if bytes < MEMORY_FLOOR_BYTES {
        return Finding::missing("memory", found, "nothing more is started", remedy).stopping(Stops::Starts);
    }
    if bytes < MEMORY_BYTES_MIN {
        return Finding::weak("memory", found, "builds may end for want of memory", remedy);
    }
    Finding::ok("memory", found)
}

fn disk(facts: &HostFacts) -> Finding {
    let Some(bytes) = facts.disk_available_bytes else {
        return Finding::weak("disk", "unknown", "how much fits is not known", "look at the data directory");
    };
    let (found, floor) = (format!("{} MiB free", bytes / MIB), facts.disk_floor_bytes);
    if bytes < floor {
        let remedy = format!("free some: {} MiB must stay free (disk.floor_mib)", floor / MIB);
        return Finding::missing("disk", found, "pushes, builds and starts are refused", remedy)
            .stopping(Stops::Starts);
    }
    if bytes < floor * 2 {
        return Finding::weak("disk", found, "pushes and starts will soon be refused", "free some");
    }
    Finding::ok("disk", found)
}

fn clock(facts: &HostFacts) -> Finding {
    match facts.is_clock_synchronised {
        Some(true) => Finding::ok("clock", "synchronised"),
        Some(false) => Finding::weak(
            "clock",
            "not synchronised",
            "log lines and certificates carry wrong times",
            "apt-get install systemd-timesyncd, or chrony",
        ),
        None => Finding::ok("clock", "the kernel doesn't say"),
    }
}

fn ipv6(facts: &HostFacts) -> Finding {
    if facts.has_ipv6 {
        return Finding::ok("IPv6", "yes; inside dynos for their own loopback interface only");
    }
    let remedy = "boot without ipv6.disable=1";
    Finding::weak("IPv6", "no", "apps that bind [::] don't start", remedy)
}

#[cfg(test)]
mod tests {
    use super::{super::unfit, *};
    use crate::host::Verdict;

    fn good() -> HostFacts {
        HostFacts {
            kernel: "6.12.38+deb13-amd64".into(),
            is_root: true,
            cgroup_version: Some(2),
            controllers: ["cpu", "memory", "pids", "io"].map(str::to_owned).to_vec(),
            has_freezer: true,
            has_seccomp: true,
            has_loop_devices: true,
            counts_swap: true,
            memory_available_bytes: Some(8 << 30),
            disk_available_bytes: Some(40 << 30),
            disk_floor_bytes: 1 << 30,
            processes_max: Some(4_194_304),
            watchers_max: Some(32_896),
            open_files_max: Some(524_288),
            is_clock_synchronised: Some(true),
            forwards_ipv4: Some(true),
            has_ipv6: true,
            ..HostFacts::default()
        }
    }

    /// The one point that a change makes worse, and whether apps still run: plainly, and with weak isolation allowed.
    fn check(change: impl FnOnce(&mut HostFacts), what: &str, verdict: Verdict, runs: (bool, bool)) {
        let mut facts = good();
        change(&mut facts);
        let findings = judge(&facts);
        let bad: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
        let seen: Vec<_> = bad.iter().map(|finding| (finding.what, finding.verdict)).collect();
        assert_eq!(seen, [(what, verdict)]);
        assert!(!bad[0].weakens.is_empty() && !bad[0].remedy.is_empty() && !bad[0].found.is_empty());
        assert_eq!((unfit(&findings, false).is_none(), unfit(&findings, true).is_none()), runs, "{what}");
    }

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let findings = judge(&good());
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:#?}");
        assert_eq!(unfit(&findings, false), None);
    }

    #[test]
    fn without_a_fence_apps_run_only_when_allowed() {
        let allowed = (false, true);
        let without =
            |name: &'static str| move |facts: &mut HostFacts| facts.controllers.retain(|c| c != name);
        let refused = |facts: &mut HostFacts| facts.user_namespaces_refused = Some("no space left".into());
        check(refused, "user namespaces", Verdict::Missing, allowed);
        check(|facts| facts.has_seccomp = false, "seccomp", Verdict::Missing, allowed);
        check(without("memory"), "memory limits", Verdict::Missing, allowed);
        check(without("pids"), "process limits", Verdict::Missing, allowed);
    }

    #[test]
    fn what_nothing_runs_without_is_not_to_be_allowed() {
        let never = (false, false);
        let missing = Verdict::Missing;
        check(|facts| facts.is_root = false, "root", missing, never);
        check(|facts| facts.kernel = "5.15.0-100-generic".into(), "kernel", missing, never);
        check(|facts| facts.kernel = "unknown".into(), "kernel", missing, never);
        check(|facts| facts.missing_programs = vec!["nft"], "programs", missing, never);
        check(|facts| facts.missing_file_systems = vec!["erofs"], "file systems", missing, never);
        check(|facts| facts.has_loop_devices = false, "loop devices", missing, never);
        check(|facts| facts.nftables_refused = Some("x".into()), "nftables", missing, never);
    }

    #[test]
    fn what_is_weak_is_told_and_apps_run() {
        let (weak, runs) = (Verdict::Weak, (true, true));
        check(|facts| facts.kernel = "5.19.0".into(), "kernel", weak, runs);
        check(|facts| facts.cgroup_version = Some(1), "control groups", weak, runs);
        check(|facts| facts.controllers.retain(|c| c != "cpu"), "CPU shares", Verdict::Missing, runs);
        check(|facts| facts.has_freezer = false, "freezer", weak, runs);
        let swap = |facts: &mut HostFacts| (facts.counts_swap, facts.swap_bytes) = (false, 1 << 30);
        check(swap, "swap", weak, runs);
        check(|facts| facts.closed_by_others = vec!["inet filter forward".into()], "firewall", weak, runs);
        check(|facts| facts.open_files_max = Some(1024), "system limits", weak, runs);
        check(|facts| facts.memory_available_bytes = Some(1 << 20), "memory", Verdict::Missing, runs);
        check(|facts| facts.memory_available_bytes = Some(512 << 20), "memory", weak, runs);
        check(|facts| facts.disk_available_bytes = Some(1 << 20), "disk", Verdict::Missing, runs);
        check(|facts| facts.disk_available_bytes = Some(3 << 29), "disk", weak, runs);
        check(|facts| facts.is_clock_synchronised = Some(false), "clock", weak, runs);
        check(|facts| facts.has_ipv6 = false, "IPv6", weak, runs);
    }

    #[test]
    fn dockers_and_ufws_chains_are_opened_and_told() {
        let facts = HostFacts {
            closed_chains: vec!["iptables-nft FORWARD".into()],
            firewalls: vec!["Docker", "ufw"],
            ..good()
        };
        let findings = judge(&facts);
        let firewall = findings.iter().find(|finding| finding.what == "firewall").unwrap();
        assert_eq!(firewall.verdict, Verdict::Ok);
        assert!(firewall.found.contains("iptables-nft FORWARD (Docker, ufw)"), "{firewall:?}");
    }

    #[test]
    fn no_control_groups_at_all_is_the_end() {
        let findings = judge(&HostFacts { cgroup_version: None, controllers: Vec::new(), ..good() });
        assert!(unfit(&findings, true).is_some_and(|text| text.contains("control groups: not mounted")));
    }

    #[test]
    fn versions_are_read_from_any_release() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert_eq!(version("x"), None);
    }
}

//! Looking at the machine. Every look is a short read; none changes anything.

use std::{fs, path::Path};

use rustix::process::{Resource, geteuid, getrlimit};

use super::HostFacts;
use crate::{
    cgroup,
    error::chain,
    files::{meminfo_bytes, memory_available},
    net,
    owners::can_shift,
    program,
    sys::clock,
};

/// File systems that roots of dynos are made of.
const FILE_SYSTEMS: [&str; 3] = ["erofs", "overlay", "ext4"];
/// Programs without which nothing can be made.
const PROGRAMS: [&str; 2] = ["mkfs.erofs", "mkfs.ext4"];

impl HostFacts {
    /// `data_dir` is where dynos will lie; the nearest folder above it that is there counts.
    pub fn read(data_dir: &Path, disk_floor_bytes: u64) -> Self {
        let (cgroup_version, controllers) = cgroup::available();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let own = PROGRAMS.into_iter().filter(|name| !program::exists(name));
        let missing_programs: Vec<_> = own.chain(net::missing_programs()).collect();
        let has_nft = !missing_programs.contains(&"nft");
        let (closed_chains, firewalls) = net::closed();
        Self {
            is_root: geteuid().is_root(),
            cgroup_version,
            has_freezer: cgroup_version == Some(2) || controllers.iter().any(|name| name == "freezer"),
            counts_swap: counts_swap(cgroup_version),
            controllers,
            user_namespaces_refused: can_shift().err().map(|error| chain(&error)),
            has_seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
            missing_file_systems: missing_file_systems(&kernel),
            kernel,
            has_loop_devices: Path::new("/dev/loop-control").exists(),
            nftables_refused: if has_nft { net::refused() } else { None },
            closed_by_others: net::closed_by_others().unwrap_or_default(),
            missing_programs,
            swap_bytes: meminfo_bytes("SwapTotal:").unwrap_or(0),
            memory_available_bytes: memory_available().ok(),
            disk_available_bytes: disk_available(data_dir),
            disk_floor_bytes,
            processes_max: number("/proc/sys/kernel/pid_max"),
            watchers_max: number("/proc/sys/fs/inotify/max_user_instances"),
            open_files_max: getrlimit(Resource::Nofile).maximum,
            is_clock_synchronised: clock::is_synchronised(),
            forwards_ipv4: number("/proc/sys/net/ipv4/ip_forward").map(|value| value != 0),
            has_ipv6: Path::new("/proc/sys/net/ipv6").is_dir(),
            closed_chains,
            firewalls,
        }
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Version 2 counts swap by itself; version 1 has the file only when the kernel was told to.
fn counts_swap(version: Option<u8>) -> bool {
    version == Some(2) || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
}

/// Neither there nor a module that a mount would load.
fn missing_file_systems(release: &str) -> Vec<&'static str> {
    let there = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let modules = fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    let known = |name: &&&str| {
        there.split_whitespace().any(|word| word == **name) || modules.contains(&format!("/{name}.ko"))
    };
    FILE_SYSTEMS.iter().filter(|name| !known(name)).copied().collect()
}

fn disk_available(data_dir: &Path) -> Option<u64> {
    let there = data_dir.ancestors().find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

//! Control groups: the parent that all dynos of the instance share, and the end of what is left in a dyno's own.
//!
//! The supervisor makes and removes its dyno's group, `renga-<instance>/<dyno id>`, below the root of each v1 hierarchy
//! or of the v2 tree. (Not below the node's own group: on a v2 machine that could then hold no process any more, and
//! a restarted service would not get back in.) The hand removes it only when the supervisor could not.

mod cores;
mod freezer;
mod listeners;
mod usage;
mod writes;

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use renga_model::DynoId;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::{
    config::Config,
    error::{Doing, HandError, Result, gone_is_fine},
};

const KILL_TIMEOUT: Duration = Duration::from_secs(5);
const KILL_PAUSE: Duration = Duration::from_millis(5);
/// Controllers that a dyno's limits and counters need; `freezer` belongs to v1 only.
const WANTED: [&str; 5] = ["cpu", "memory", "pids", "io", "cpuset"];

#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    version: Version,
    /// Roots of the hierarchies: one on v2, several on v1.
    roots: Vec<PathBuf>,
    parent: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Cgroups {
    /// As found, with nothing made and nothing asked of the machine.
    pub(crate) fn find(config: &Config) -> Result<Self> {
        let table = fs::read_to_string("/proc/self/mountinfo").doing("read", "/proc/self/mountinfo")?;
        let (version, roots, _) = hierarchies(&table);
        Ok(Self { version, roots, parent: config.instance.cgroup() })
    }

    pub(crate) fn open(config: &Config) -> Result<Self> {
        let cgroups = Self::find(config)?;
        cgroups.make_parents()?;
        Ok(cgroups)
    }

    /// The first move of a process to another group makes the kernel wait until every core has passed a quiet moment
    /// (8 ms, measured); further moves in the next few milliseconds do not wait. This takes that wait beside the other
    /// steps of a start: it moves us to where we are. The supervisor's moves then find the way free. It is no more
    /// than a help, so a failure is no failure of the start.
    pub(crate) fn prepare_moves(&self) {
        let place = fs::read_to_string("/proc/self/cgroup").ok().and_then(|table| self.own_group(&table));
        let Some(place) = place else { return };
        if let Err(error) = fs::write(place.join("cgroup.procs"), std::process::id().to_string()) {
            tracing::debug!(%error, "could not prepare a move between cgroups");
        }
    }

    /// Where this process is in one of the hierarchies.
    fn own_group(&self, table: &str) -> Option<PathBuf> {
        table.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let mut roots = self.roots.iter();
            let root = match self.version {
                Version::One => roots.find(|root| root.file_name().is_some_and(|name| name == controllers)),
                Version::Two => roots.next().filter(|_| controllers.is_empty()),
            };
            Some(root?.join(path.trim_start_matches('/')))
        })
    }

    /// For `SupervisorSpec::cgroup`.
    pub(crate) fn of(&self, dyno: DynoId) -> String {
        format!("{}/{dyno}", self.parent)
    }

    fn make_parents(&self) -> Result<()> {
        for root in &self.roots {
            let parent = root.join(&self.parent);
            match fs::create_dir(&parent) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(error).doing("make cgroup", parent.display());
                }
                _ => {}
            }
            match self.version {
                Version::One => inherit_cpuset(root, &parent)?,
                Version::Two => {
                    delegate(root)?;
                    delegate(&parent)?;
                }
            }
        }
        Ok(())
    }

    /// Dynos that have a group in any hierarchy.
    pub(crate) fn dynos(&self) -> Vec<DynoId> {
        let mut ids: Vec<DynoId> = self
            .roots
            .iter()
            .filter_map(|root| fs::read_dir(root.join(&self.parent)).ok())
            .flatten()
            .filter_map(io::Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// A handle of the dyno's supervisor, if it runs. It alone is in the child `supervisor`, and numbers given out
    /// again never get there: nothing else tells so surely who a process is.
    pub(crate) fn supervisor(&self, dyno: DynoId) -> Option<OwnedFd> {
        self.groups(dyno).find_map(|group| {
            let group = group.join("supervisor");
            let pid = *own_processes(&group).first()?;
            // The handle comes first: if the process is still there after it, the handle means that process.
            let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
            own_processes(&group).contains(&pid).then_some(handle)
        })
    }

    /// Kills every process of the dyno and waits until none is left.
    pub(crate) fn kill_all(&self, dyno: DynoId) -> Result<()> {
        let groups: Vec<PathBuf> = self.groups(dyno).collect();
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            let pids: Vec<Pid> = groups.iter().flat_map(|group| processes(group)).collect();
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(HandError::Refused(format!("processes of dyno {dyno} do not die: {pids:?}")));
            }
            // A frozen process dies only when it thaws (v1).
            self.thaw(dyno).ok();
            for pid in pids {
                // It may be gone by now; the next round looks again.
                kill_process(pid, Signal::KILL).ok();
            }
            thread::sleep(KILL_PAUSE);
        }
    }

    pub(crate) fn remove(&self, dyno: DynoId) -> Result<()> {
        self.groups(dyno).try_for_each(|group| remove_tree(&group))
    }

    /// The shared parent itself, when no dyno is left.
    pub(crate) fn remove_parents(&self) -> Result<()> {
        self.roots.iter().try_for_each(|root| remove_tree(&root.join(&self.parent)))
    }

    fn groups(&self, dyno: DynoId) -> impl Iterator<Item = PathBuf> {
        let name = self.of(dyno);
        self.roots.iter().map(move |root| root.join(&name))
    }
}

/// Version and controllers of this machine, for an account of it.
pub(crate) fn available() -> (Option<u8>, Vec<String>) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let (version, roots, controllers) = hierarchies(&table);
    let number = match version {
        Version::One => 1,
        Version::Two => 2,
    };
    // Version 1 names them among the options of its mounts.
    let is_controller = |word: &&str| !["rw", "ro"].contains(word) && !word.contains('=');
    let mut names: Vec<String> = controllers.into_iter().filter(is_controller).map(str::to_owned).collect();
    names.dedup();
    ((!roots.is_empty()).then_some(number), names)
}

/// Version, mount points, and names of the controllers that can be used.
fn hierarchies(mountinfo: &str) -> (Version, Vec<PathBuf>, Vec<&str>) {
    let mut one: Vec<(PathBuf, &str)> = Vec::new();
    let mut two: Option<PathBuf> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let mut fields = right.split(' ');
        match fields.next() {
            Some("cgroup") => one.push((PathBuf::from(point), fields.nth(1).unwrap_or_default())),
            Some("cgroup2") => two = Some(PathBuf::from(point)),
            _ => {}
        }
    }
    // A path may be mounted over itself (container managers do); one of each is enough.
    one.sort();
    one.dedup_by(|a, b| a.0 == b.0);
    match two {
        Some(root) if one.is_empty() => {
            let available = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            let names = WANTED.into_iter().filter(|name| available.split_whitespace().any(|w| w == *name));
            (Version::Two, vec![root], names.collect())
        }
        _ => {
            let names = one.iter().flat_map(|(_, options)| options.split(',')).collect();
            (Version::One, one.into_iter().map(|(point, _)| point).collect(), names)
        }
    }
}

/// v1: a new cpuset group can hold no process until it has been told its processors and memory nodes.
fn inherit_cpuset(root: &Path, parent: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let target = parent.join(name);
        let Ok(now) = fs::read_to_string(&target) else { return Ok(()) };
        if now.trim().is_empty() {
            let value = fs::read_to_string(root.join(name)).doing("read", name)?;
            fs::write(&target, value).doing("write", target.display())?;
        }
    }
    Ok(())
}

/// v2: children may use the controllers that we want and the parent has.
fn delegate(group: &Path) -> Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers")).doing("read", group.display())?;
    let control = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).doing("read", control.display())?;
    for name in WANTED {
        let has = |list: &str| list.split_whitespace().any(|word| word == name);
        if has(&available) && !has(&enabled) {
            fs::write(&control, format!("+{name}")).doing("enable controllers in", control.display())?;
        }
    }
    Ok(())
}

/// Processes of a group and of the groups below it.
fn processes(group: &Path) -> Vec<Pid> {
    let below = children(group);
    own_processes(group).into_iter().chain(below.iter().flat_map(|child| processes(child))).collect()
}

fn own_processes(group: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)).collect()
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    let folders = entries.filter_map(io::Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

fn remove_tree(group: &Path) -> Result<()> {
    children(group).iter().try_for_each(|child| remove_tree(child))?;
    // A process that has just died may still be counted for a moment.
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                thread::sleep(KILL_PAUSE);
            }
            other => return gone_is_fine(other, "remove cgroup", group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_machines_count_as_version_one() {
        let table = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     32 24 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                     33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let (version, roots, controllers) = hierarchies(table);
        assert_eq!((version, roots.len()), (Version::One, 2));
        assert!(controllers.contains(&"memory") && controllers.contains(&"pids"));
    }

    #[test]
    fn our_own_group_is_found_in_either_version() {
        let cgroups = |version, root: &str| Cgroups { version, roots: vec![root.into()], parent: "p".into() };
        let one = cgroups(Version::One, "/sys/fs/cgroup/cpu,cpuacct");
        let table = "5:devices:/\n3:cpu,cpuacct:/system.slice/x\n0::/\n";
        assert_eq!(one.own_group(table), Some("/sys/fs/cgroup/cpu,cpuacct/system.slice/x".into()));
        assert_eq!(one.own_group("0::/x\n"), None);
        let two = cgroups(Version::Two, "/sys/fs/cgroup");
        assert_eq!(two.own_group("0::/system.slice/x\n"), Some("/sys/fs/cgroup/system.slice/x".into()));
    }
}

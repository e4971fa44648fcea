//! The dyno's control groups, version 1 and 2.
//!
//! ```text
//! <spec.cgroup>              cpu shares: what the dyno and its supervisor use together is the dyno's
//!   ├─ app                   memory and pids limits; made, filled and removed by the container library
//!   └─ supervisor            this process; removed, with its parent, by the node when it forgets the dyno
//! ```
//!
//! Version 2 wants processes in leaves only, hence the two children. Paths are below the usual `/sys/fs/cgroup`.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::inotify,
};

use crate::{detach::note, error::SupervisorError};

const ROOT: &str = "/sys/fs/cgroup";
const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// Where the supervisor's own use is counted (v1).
const SUPERVISOR_CONTROLLERS: [&str; 3] = ["cpu", "cpuacct", "memory"];
/// What must be handed down the tree (v2).
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

#[derive(Debug)]
pub(crate) struct Cgroup {
    version: Version,
    /// Relative, without `..`.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Cgroup {
    pub(crate) fn new(path: &str) -> Result<Self, SupervisorError> {
        let path = path.trim_matches('/');
        let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !plain {
            return Err(SupervisorError::Refused(format!("{path:?} is no path of a cgroup")));
        }
        let root = rustix::fs::statfs(ROOT).map_err(SupervisorError::io("inspect", ROOT))?;
        // The type of the number differs between machines.
        #[allow(clippy::unnecessary_cast)]
        let version = if root.f_type as i64 == CGROUP2_MAGIC { Version::V2 } else { Version::V1 };
        Ok(Self { version, path: path.to_owned() })
    }

    /// Path of the container's group below each root.
    pub(crate) fn app(&self) -> String {
        format!("{}/app", self.path)
    }

    /// Moves this process into the dyno's group and gives the group its share of the CPU.
    pub(crate) fn enter(&self, cpu_shares: u64) -> Result<(), SupervisorError> {
        match self.version {
            Version::V1 => self.enter_v1(cpu_shares),
            Version::V2 => self.enter_v2(cpu_shares),
        }
    }

    fn enter_v1(&self, cpu_shares: u64) -> Result<(), SupervisorError> {
        for controller in SUPERVISOR_CONTROLLERS {
            let root = Path::new(ROOT).join(controller);
            if !root.is_dir() {
                note(&format!("there is no cgroup controller {controller}"));
                continue;
            }
            let group = root.join(&self.path);
            make(&group.join("supervisor"))?;
            if controller == "cpu" {
                write(&group.join("cpu.shares"), cpu_shares)?;
            }
            write(&group.join("supervisor/cgroup.procs"), std::process::id())?;
        }
        Ok(())
    }

    fn enter_v2(&self, cpu_shares: u64) -> Result<(), SupervisorError> {
        let group = Path::new(ROOT).join(&self.path);
        make(&group.join("supervisor"))?;
        let mut level = PathBuf::from(ROOT);
        hand_down(&level);
        for part in Path::new(&self.path).components() {
            level.push(part);
            hand_down(&level);
        }
        write(&group.join("cpu.weight"), weight(cpu_shares))?;
        write(&group.join("supervisor/cgroup.procs"), std::process::id())
    }

    /// Whether memory and swap can be limited together here.
    pub(crate) fn counts_swap(&self) -> bool {
        match self.version {
            Version::V1 => Path::new(ROOT).join("memory/memory.memsw.limit_in_bytes").exists(),
            Version::V2 => Path::new(ROOT).join(&self.path).join("memory.swap.max").exists(),
        }
    }

    fn memory_file(&self, name: &str) -> PathBuf {
        let root = match self.version {
            Version::V1 => Path::new(ROOT).join("memory"),
            Version::V2 => PathBuf::from(ROOT),
        };
        root.join(self.app()).join(name)
    }

    /// Watches for out-of-memory kills; the container's group must be there.
    pub(crate) fn watch_memory(&self) -> Result<MemoryWatch, SupervisorError> {
        let (file, event) = match self.version {
            Version::V1 => {
                let file = self.memory_file("memory.oom_control");
                let error = SupervisorError::io("watch", file.display());
                let event = self.watch_v1(&file).map_err(error)?;
                (file, event)
            }
            Version::V2 => {
                let file = self.memory_file("memory.events");
                // Half a dyno helps nobody: the kernel ends them all. (v1 has no such thing; the supervisor does it.)
                write(&self.memory_file("memory.oom.group"), 1)?;
                let error = SupervisorError::io("watch", file.display());
                let event = watch_v2(&file).map_err(error)?;
                (file, event)
            }
        };
        Ok(MemoryWatch { peak: self.peak_file(), file, event })
    }

    /// Where the kernel keeps the most that was used at one time, with swap where that is counted.
    fn peak_file(&self) -> PathBuf {
        match self.version {
            Version::V1 if self.counts_swap() => self.memory_file("memory.memsw.max_usage_in_bytes"),
            Version::V1 => self.memory_file("memory.max_usage_in_bytes"),
            Version::V2 => self.memory_file("memory.peak"),
        }
    }

    fn watch_v1(&self, file: &Path) -> io::Result<OwnedFd> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let control = fs::File::open(file)?;
        let order = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        fs::write(self.memory_file("cgroup.event_control"), order)?;
        Ok(event)
    }
}

fn watch_v2(file: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, file, inotify::WatchFlags::MODIFY)?;
    Ok(watch)
}

// === MemoryWatch ===

/// Becomes readable when there may have been an out-of-memory kill.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    file: PathBuf,
    peak: PathBuf,
    event: OwnedFd,
}

impl MemoryWatch {
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.event
    }

    pub(crate) fn acknowledge(&self) {
        let mut events = [0; 1024];
        while rustix::io::read(&self.event, &mut events).is_ok_and(|bytes| bytes > 0) {}
    }

    /// None where the kernel does not tell (version 2 before 5.19).
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        fs::read_to_string(&self.peak).ok()?.trim().parse().ok()
    }

    /// Processes of the container that the kernel has killed for memory so far.
    pub(crate) fn kills(&self) -> u64 {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }
}

// === files ===

fn make(path: &Path) -> Result<(), SupervisorError> {
    fs::create_dir_all(path).map_err(SupervisorError::io("create", path.display()))
}

fn write(path: &Path, value: impl ToString) -> Result<(), SupervisorError> {
    fs::write(path, value.to_string()).map_err(SupervisorError::io("write", path.display()))
}

/// One at a time: a controller that is missing must not keep the others back. What is really missing shows when the
/// limits are set.
fn hand_down(level: &Path) {
    for controller in CONTROLLERS {
        fs::write(level.join("cgroup.subtree_control"), format!("+{controller}")).unwrap_or_default();
    }
}

/// v1 shares (2 to 262,144, usually 1,024) as a v2 weight (1 to 10,000, usually 100), as systemd and runc convert.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + ((shares - 2) * 9_999) / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_and_shares_become_weights() {
        for path in ["", "/", "a/../b", "../a"] {
            assert!(Cgroup::new(path).is_err(), "{path}");
        }
        assert_eq!(Cgroup::new("/renga-x/1/").unwrap().app(), "renga-x/1/app");
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(weight), [1, 1, 39, 10_000, 10_000]);
    }
}

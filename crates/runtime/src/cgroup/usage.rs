//! What a dyno takes, as its control group tells: one small file for memory (two on version 2), and, for those that
//! are metered, one more for each task. The supervisor is not in it; its memory is not the dyno's.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use renga_model::{DynoId, MemoryUsage, PagesMoved};

use super::{Cgroups, Version};

/// Tasks looked at in one dyno; its load does not show what others do besides.
const TASKS_MAX: usize = 1024;
/// Of `/proc/<task>/stat`; the state comes behind a name of at most 64 bytes.
const TASK_BYTES_MAX: u64 = 256;

impl Cgroups {
    /// None when the dyno has no group, yet or any more.
    pub(crate) fn memory(&self, dyno: DynoId) -> Option<MemoryUsage> {
        let group = self.app(dyno)?;
        let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
        match self.version {
            Version::One => memory_one(&stat),
            Version::Two => {
                // Absent where the kernel does not swap.
                let swap = fs::read_to_string(group.join("memory.swap.current")).unwrap_or_default();
                memory_two(&stat, swap.trim().parse().unwrap_or(0))
            }
        }
    }

    /// Tasks that have a processor or wait for one.
    pub(crate) fn runnable_tasks(&self, dyno: DynoId) -> Option<u32> {
        let list = match self.version {
            Version::One => "tasks",
            Version::Two => "cgroup.threads",
        };
        let list = BufReader::new(File::open(self.app(dyno)?.join(list)).ok()?);
        let tasks = list.lines().map_while(io::Result::ok).take(TASKS_MAX);
        let runnable = tasks.filter(|task| stat_of(task).is_some_and(|stat| is_runnable(&stat))).count();
        u32::try_from(runnable).ok()
    }

    /// Of the dyno and its supervisor.
    pub(crate) fn cpu_time(&self, dyno: DynoId) -> Option<Duration> {
        let read = |root: &PathBuf, file: &str| fs::read_to_string(root.join(self.of(dyno)).join(file)).ok();
        match self.version {
            Version::One => {
                // Whichever hierarchy counts it.
                let nanoseconds = self.roots.iter().find_map(|root| read(root, "cpuacct.usage"))?;
                Some(Duration::from_nanos(nanoseconds.trim().parse().ok()?))
            }
            Version::Two => {
                let stat = self.roots.first().and_then(|root| read(root, "cpu.stat"))?;
                Some(Duration::from_micros(figure(&stat, "usage_usec")?))
            }
        }
    }

    /// The group of the dyno's own processes, where their memory is counted.
    pub(super) fn app(&self, dyno: DynoId) -> Option<PathBuf> {
        let mut roots = self.roots.iter();
        let root = match self.version {
            Version::One => roots.find(|root| root.ends_with("memory")),
            Version::Two => roots.next(),
        };
        Some(root?.join(self.of(dyno)).join("app"))
    }
}

/// v1: `cache` has shared memory in it, `rss` has not. Groups below are in the `total_` figures only.
fn memory_one(stat: &str) -> Option<MemoryUsage> {
    let [anonymous, cache] = ["total_rss", "total_cache"].map(|name| figure(stat, name));
    let shared = figure(stat, "total_shmem").unwrap_or(0);
    let pages = figure(stat, "total_pgpgin").zip(figure(stat, "total_pgpgout"));
    Some(MemoryUsage {
        resident_bytes: anonymous?.saturating_add(shared),
        cache_bytes: cache?.saturating_sub(shared),
        swap_bytes: figure(stat, "total_swap").unwrap_or(0),
        pages: pages.map(|(pages_in, pages_out)| PagesMoved { pages_in, pages_out }),
    })
}

/// v2: the same of `file` and `anon`; pages moved are not counted.
fn memory_two(stat: &str, swap_bytes: u64) -> Option<MemoryUsage> {
    let [anonymous, file] = ["anon", "file"].map(|name| figure(stat, name));
    let shared = figure(stat, "shmem").unwrap_or(0);
    Some(MemoryUsage {
        resident_bytes: anonymous?.saturating_add(shared),
        cache_bytes: file?.saturating_sub(shared),
        swap_bytes,
        pages: None,
    })
}

fn figure(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// None of a task that has ended meanwhile.
fn stat_of(task: &str) -> Option<Vec<u8>> {
    let file = File::open(Path::new("/proc").join(task).join("stat")).ok()?;
    let mut stat = Vec::new();
    file.take(TASK_BYTES_MAX).read_to_end(&mut stat).ok()?;
    Some(stat)
}

/// The name before the state is the task's own choice, parentheses and all; figures follow the state.
fn is_runnable(stat: &[u8]) -> bool {
    let name_end = stat.iter().rposition(|byte| *byte == b')');
    name_end.is_some_and(|end| stat[end..].starts_with(b") R"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_cache_is_apart_in_both_versions() {
        let one = "cache 1\nrss 1\nshmem 1\nswap 1\ntotal_cache 900\ntotal_rss 5000\ntotal_rss_huge 7\n\
                   total_shmem 300\ntotal_swap 20\ntotal_pgpgin 348836\ntotal_pgpgout 343403\n";
        let pages = Some(PagesMoved { pages_in: 348_836, pages_out: 343_403 });
        let usage = memory_one(one).unwrap();
        assert_eq!(usage, MemoryUsage { resident_bytes: 5300, cache_bytes: 600, swap_bytes: 20, pages });
        assert_eq!((usage.counted_bytes(), usage.total_bytes()), (5320, 5920));
        let two = "anon 5000\nfile 900\nkernel 77\nshmem 300\nfile_mapped 8\nanon_thp 9\npgfault 3\n";
        assert_eq!(memory_two(two, 20), Some(MemoryUsage { pages: None, ..usage }));
    }

    #[test]
    fn little_is_told_by_little() {
        let swapless = "total_cache 1\ntotal_rss 2\n";
        let usage = MemoryUsage { resident_bytes: 2, cache_bytes: 1, swap_bytes: 0, pages: None };
        assert_eq!(memory_one(swapless), Some(usage));
        assert_eq!(memory_one("rss 5\n"), None);
        assert_eq!(memory_two("", 0), None);
    }

    #[test]
    fn a_task_cannot_name_itself_runnable() {
        assert!(is_runnable(b"7 (python3) R 1 7 7"));
        assert!(is_runnable(b"7 (a) S (b) R 1 7 7"));
        assert!(!is_runnable(b"7 (a) R (b) S 1 7 7"));
        assert!(!is_runnable(b"7 (sleep) D 1"));
        assert!(!is_runnable(b""));
    }

    #[test]
    fn groups_are_found_in_either_version() {
        let cgroups = |version, roots: &[&str]| Cgroups {
            version,
            roots: roots.iter().map(PathBuf::from).collect(),
            parent: "renga-t".into(),
        };
        let id = DynoId::random();
        let one = cgroups(Version::One, &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"]);
        assert_eq!(one.app(id), Some(format!("/sys/fs/cgroup/memory/renga-t/{id}/app").into()));
        let two = cgroups(Version::Two, &["/sys/fs/cgroup"]);
        assert_eq!(two.app(id), Some(format!("/sys/fs/cgroup/renga-t/{id}/app").into()));
        assert_eq!(cgroups(Version::One, &["/sys/fs/cgroup/cpu"]).memory(id), None);
    }
}

//! What an app's log is told of the memory and load of its dynos.
//!
//! Over the quota it is told each time that somebody looks, for as long as it lasts (R14); a dyno of an app with the
//! feature `log-runtime-metrics`, which is one that has a load, also tells of itself when all is well.

use std::time::Duration;

use renga_model::{DiskUsage, MemoryUsage};

/// How often an app is told of a disk that stays full.
const DISK_TOLD_EVERY: Duration = Duration::from_secs(10 * 60);
/// A disk with less than this share free, or this many bytes, is full: the next write of some size fails.
const DISK_FREE_PERCENT_MIN: u64 = 1;
const DISK_FREE_BYTES_MIN: u64 = 1024 * 1024;

/// Average numbers of runnable tasks over the last 1, 5 and 15 minutes, damped exponentially.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    pub minute_1: f64,
    pub minutes_5: f64,
    pub minutes_15: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UsageNews {
    Load(Load),
    Memory { memory: MemoryUsage, quota_bytes: u64 },
    OverQuota { counted_bytes: u64, quota_bytes: u64 },
    DiskFull(DiskUsage),
}

impl Load {
    /// The averages when `elapsed` has passed since the last ones, and so many tasks are runnable now.
    #[must_use]
    pub fn after(self, elapsed: Duration, runnable_tasks: u32) -> Load {
        let towards = |average: f64, period_s: f64| {
            let kept = (-elapsed.as_secs_f64() / period_s).exp();
            (1.0 - kept) * f64::from(runnable_tasks) + kept * average
        };
        Load {
            minute_1: towards(self.minute_1, 60.0),
            minutes_5: towards(self.minutes_5, 300.0),
            minutes_15: towards(self.minutes_15, 900.0),
        }
    }
}

/// `load` is that of a metered dyno, none of others.
pub fn usage_news(memory: &MemoryUsage, quota_bytes: u64, load: Option<Load>) -> Vec<UsageNews> {
    let counted_bytes = memory.counted_bytes();
    let over = (counted_bytes > quota_bytes).then_some(UsageNews::OverQuota { counted_bytes, quota_bytes });
    let metrics =
        load.map(|load| [UsageNews::Load(load), UsageNews::Memory { memory: *memory, quota_bytes }]);
    metrics.into_iter().flatten().chain(over).collect()
}

/// `told_ago`: when the app was last told that this dyno's disk is full.
pub fn disk_news(disk: &DiskUsage, told_ago: Option<Duration>) -> Option<UsageNews> {
    let least = (disk.total_bytes / 100 * DISK_FREE_PERCENT_MIN).max(DISK_FREE_BYTES_MIN);
    let full = disk.free_bytes < least || disk.files_free == 0;
    let due = told_ago.is_none_or(|ago| ago >= DISK_TOLD_EVERY);
    (full && due).then_some(UsageNews::DiskFull(*disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_now_and_then() {
        const MIB: u64 = 1024 * 1024;
        let disk = |total_mib, free_bytes, files_free| DiskUsage {
            total_bytes: total_mib * MIB,
            free_bytes,
            files_free,
        };
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        for (disk, told_ago, expected) in [
            (disk(64, MIB, 9), None, false),
            (disk(64, MIB - 1, 9), None, true),
            (disk(64, 0, 9), minutes(9), false),
            (disk(64, 0, 9), minutes(10), true),
            (disk(1000, 10 * MIB, 9), None, false),
            (disk(1000, 9 * MIB, 9), None, true),
            (disk(1000, 900 * MIB, 0), None, true),
        ] {
            assert_eq!(disk_news(&disk, told_ago).is_some(), expected, "{disk:?} {told_ago:?}");
        }
    }

    const QUOTA: u64 = 512;

    fn memory(resident_bytes: u64, cache_bytes: u64, swap_bytes: u64) -> MemoryUsage {
        MemoryUsage { resident_bytes, cache_bytes, swap_bytes, pages: None }
    }

    #[test]
    fn over_the_quota_counts_swap_and_no_cache() {
        let told = |memory: MemoryUsage| usage_news(&memory, QUOTA, None);
        assert_eq!(told(memory(512, 10_000, 0)), []);
        assert_eq!(told(memory(0, u64::MAX, 0)), []);
        for over in [memory(513, 0, 0), memory(500, 0, 13)] {
            assert_eq!(told(over), [UsageNews::OverQuota { counted_bytes: 513, quota_bytes: QUOTA }]);
        }
    }

    #[test]
    fn a_metered_dyno_always_tells() {
        let load = Load { minute_1: 1.0, ..Load::default() };
        let metrics = |memory| vec![UsageNews::Load(load), UsageNews::Memory { memory, quota_bytes: QUOTA }];
        let (well, over) = (memory(1, 2, 3), memory(600, 0, 0));
        assert_eq!(usage_news(&well, QUOTA, Some(load)), metrics(well));
        let mut expected = metrics(over);
        expected.push(UsageNews::OverQuota { counted_bytes: 600, quota_bytes: QUOTA });
        assert_eq!(usage_news(&over, QUOTA, Some(load)), expected);
    }

    #[test]
    fn loads_come_and_go_with_their_periods() {
        let every = Duration::from_secs(20);
        let shown = |load: Load| [load.minute_1, load.minutes_5, load.minutes_15].map(|n| format!("{n:.2}"));
        let first = Load::default().after(every, 4);
        assert_eq!(shown(first), ["1.13", "0.26", "0.09"]);
        let long = (0..1_000).fold(first, |load, _| load.after(every, 4));
        assert_eq!(shown(long), ["4.00", "4.00", "4.00"]);
        assert_eq!(shown(long.after(Duration::from_secs(60), 0)), ["1.47", "3.27", "3.74"]);
        // However often one looks, what lasts is weighed by the time it lasted.
        let thrice = first.after(every, 2).after(every, 2).after(every, 2);
        assert_eq!(shown(thrice), shown(first.after(every * 3, 2)));
        assert_eq!(first.after(Duration::ZERO, 100), first);
    }
}

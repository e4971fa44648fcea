//! How long apps that sleep are kept frozen: a frozen dyno answers at once, and keeps its memory for that.
//!
//! Memory decides: while it is short nothing is frozen, and what is frozen goes first, those that sleep longest before
//! others, until enough is free again.

use std::time::Duration;

use jiff::Timestamp;
use renga_model::AppId;

/// Memory counts as short also when tasks wait for it for more than this share of the time,
const STALLED_PERCENT_MAX: u8 = 10;
/// unless so many times of what must be free is free: then it is a dyno that has come to its own limit.
const PLENTY: u64 = 4;

/// The machine's memory at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySeen {
    pub free_bytes: u64,
    /// Share of the last seconds in which some task waited for memory; none where nobody counts it.
    pub stalled_percent: Option<u8>,
}

/// An app that is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrozenApp {
    pub app: AppId,
    pub since: Timestamp,
    /// What its dynos hold.
    pub bytes: u64,
}

/// Of an app that falls asleep now. None: it is not frozen, but stopped. `freeze_for` of none: that is never done.
pub fn frozen_until(
    freeze_for: Option<Duration>,
    memory: Option<MemorySeen>,
    free_bytes_min: u64,
    now: Timestamp,
) -> Option<Timestamp> {
    // A node that can't tell can't be trusted with more to hold.
    let memory = memory?;
    if memory.missing_bytes(free_bytes_min) > 0 {
        return None;
    }
    now.checked_add(freeze_for?).ok()
}

/// Which of the frozen apps are to be stopped for want of memory.
pub fn to_stop(mut frozen: Vec<FrozenApp>, memory: MemorySeen, free_bytes_min: u64) -> Vec<AppId> {
    frozen.sort_by_key(|app| (app.since, app.app));
    let mut missing = memory.missing_bytes(free_bytes_min);
    let goes = |app: FrozenApp| {
        if missing == 0 {
            return None;
        }
        missing = missing.saturating_sub(app.bytes);
        Some(app.app)
    };
    frozen.into_iter().map_while(goes).collect()
}

impl MemorySeen {
    fn missing_bytes(&self, free_bytes_min: u64) -> u64 {
        let plenty = self.free_bytes >= free_bytes_min.saturating_mul(PLENTY);
        let stalls = !plenty && self.stalled_percent.is_some_and(|percent| percent > STALLED_PERCENT_MAX);
        // One app goes at least; whether that was enough the next look shows.
        free_bytes_min.saturating_sub(self.free_bytes).max(u64::from(stalls))
    }
}

#[cfg(test)]
mod tests {
    use renga_model::Id;

    use super::*;

    const MIN: u64 = 1_000;

    fn memory(free_bytes: u64, stalled_percent: u8) -> MemorySeen {
        MemorySeen { free_bytes, stalled_percent: Some(stalled_percent) }
    }

    #[test]
    fn an_app_is_frozen_while_there_is_memory() {
        let (now, ten) = (Timestamp::UNIX_EPOCH, Duration::from_secs(600));
        let until = |freeze_for, memory| frozen_until(freeze_for, memory, MIN, now);
        assert_eq!(until(Some(ten), Some(memory(1_000, 10))), Some(now + ten));
        assert_eq!(until(None, Some(memory(1_000, 0))), None, "switched off");
        assert_eq!(until(Some(ten), Some(memory(999, 0))), None, "too little is free");
        assert_eq!(until(Some(ten), Some(memory(3_999, 11))), None, "tasks wait for memory");
        assert_eq!(until(Some(ten), Some(memory(4_000, 100))), Some(now + ten), "not for the machine's");
        assert_eq!(until(Some(ten), None), None, "nobody knows");
        let uncounted = MemorySeen { free_bytes: 1_000, stalled_percent: None };
        assert_eq!(until(Some(ten), Some(uncounted)), Some(now + ten));
    }

    #[test]
    fn those_that_sleep_longest_go_first_and_no_more_than_needed() {
        let app = |n: u128| Id::from_uuid(format!("{n:032x}").parse().unwrap());
        let frozen = |n: u128, bytes| FrozenApp {
            app: app(n),
            since: Timestamp::UNIX_EPOCH - Duration::from_secs(n.try_into().unwrap()),
            bytes,
        };
        let all = vec![frozen(1, 100), frozen(3, 50), frozen(2, 0)];
        for (seen, expected) in [
            (memory(1_000, 0), vec![]),
            (memory(999, 0), vec![3]),
            (memory(950, 0), vec![3]),
            (memory(949, 0), vec![3, 2, 1]),
            (memory(0, 0), vec![3, 2, 1]),
            (memory(1_000, 10), vec![]),
            (memory(1_000, 11), vec![3]),
        ] {
            let expected: Vec<AppId> = expected.into_iter().map(app).collect();
            assert_eq!(to_stop(all.clone(), seen, MIN), expected, "{seen:?}");
        }
    }
}

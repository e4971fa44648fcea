//! When a crashed dyno may start again (`heroku-behaviour.md` §10, crash policy of 2014, cap of the newer pages).
//!
//! The first crash is followed by a restart at once; each further one within ten minutes of its start by a pause of
//! 10, 20, 40 ... minutes, at most 320. A dyno that ran for more than ten minutes starts its count anew. One that
//! the platform could not run (no room, its supervisor lost) has not crashed: it is tried again after 10 seconds.

use jiff::{SignedDuration, Timestamp};

pub(crate) const YOUNG: SignedDuration = SignedDuration::from_mins(10);
const PAUSE_FIRST: SignedDuration = SignedDuration::from_mins(10);
const PAUSE_MAX: SignedDuration = SignedDuration::from_mins(320);
const PAUSE_EXCUSED: SignedDuration = SignedDuration::from_secs(10);

/// The crashes of one slot (`web.1`) since its release, restart or last long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crashes {
    /// None at all means that the platform could not run it when it was tried last.
    pub count: u32,
    pub last_at: Timestamp,
}

impl Crashes {
    /// The count after one more crash of a dyno that was started at `started_at`.
    pub fn one_more(before: Option<Crashes>, started_at: Timestamp, at: Timestamp) -> Crashes {
        let young = at.duration_since(started_at) < YOUNG;
        let count = before.filter(|_| young).map_or(0, |crashes| crashes.count);
        Crashes { count: count + 1, last_at: at }
    }

    pub fn excused(at: Timestamp) -> Crashes {
        Crashes { count: 0, last_at: at }
    }
}

/// The earliest time of the next start.
pub fn restart_at(crashes: Option<Crashes>) -> Option<Timestamp> {
    let crashes = crashes?;
    let pause = match crashes.count {
        0 => PAUSE_EXCUSED,
        1 => return None,
        count => PAUSE_MAX.min(PAUSE_FIRST * 2i32.pow((count - 2).min(10))),
    };
    Some(crashes.last_at + pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_a_long_run_forgives() {
        let at = |minutes: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let pause = |count| {
            let crashes = Crashes { count, last_at: at(0) };
            restart_at(Some(crashes)).map(|t| t.duration_since(at(0)).as_mins())
        };
        assert_eq!(
            [pause(1), pause(2), pause(3), pause(4), pause(9)],
            [None, Some(10), Some(20), Some(40), Some(320)]
        );
        assert_eq!(restart_at(Some(Crashes::excused(at(0)))), Some(at(0) + SignedDuration::from_secs(10)));
        let twice = Crashes { count: 2, last_at: at(0) };
        assert_eq!(Crashes::one_more(Some(twice), at(1), at(2)).count, 3);
        assert_eq!(Crashes::one_more(Some(twice), at(1), at(60)).count, 1);
    }
}

//! Which apps fall asleep: those whose web dynos are of a size that sleeps and that had no web traffic for a while.
//!
//! Waking is not planned here: a request that waits, a release, a restart or a change of the formation says so.

use std::time::Duration;

use jiff::Timestamp;
use renga_model::AppId;

/// An app that is awake and may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleeper {
    pub app: AppId,
    /// When its users last did something that keeps it awake: a release, a restart, another formation.
    pub awake_since: Timestamp,
    /// Time without a request as the router knows it; none if it does not know the app, or a request is under way.
    pub idle: Option<Duration>,
}

/// `after` of none: no app ever sleeps.
pub fn falls_asleep(sleeper: &Sleeper, after: Option<Duration>, now: Timestamp) -> bool {
    let awake_for = Duration::try_from(now.duration_since(sleeper.awake_since)).unwrap_or_default();
    let quiet_for = sleeper.idle.map(|idle| idle.min(awake_for));
    matches!((quiet_for, after), (Some(quiet_for), Some(after)) if quiet_for >= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_hour_without_traffic_and_without_a_change_is_tiring() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let now = Timestamp::UNIX_EPOCH + minutes(1_000);
        let asleep = |idle: Option<u64>, awake: u64, after: Option<u64>| {
            let sleeper = Sleeper {
                app: AppId::from_uuid(Default::default()),
                awake_since: now - minutes(awake),
                idle: idle.map(minutes),
            };
            falls_asleep(&sleeper, after.map(minutes), now)
        };
        assert!(asleep(Some(30), 30, Some(30)));
        assert!(asleep(Some(500), 31, Some(30)));
        assert!(!asleep(Some(29), 500, Some(30)), "a request came");
        assert!(!asleep(Some(500), 29, Some(30)), "a release came");
        assert!(!asleep(None, 500, Some(30)), "a request is under way, or the router knows nothing");
        assert!(!asleep(Some(500), 500, None), "never");
        // A clock that was set back.
        let sleeper = Sleeper {
            app: AppId::from_uuid(Default::default()),
            awake_since: now + minutes(5),
            idle: Some(minutes(40)),
        };
        assert!(!falls_asleep(&sleeper, Some(minutes(30)), now));
    }
}

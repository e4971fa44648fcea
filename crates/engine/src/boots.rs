//! How many web dynos boot at one time. After a power cut every app wants to start at once; if all of them did, each
//! would take longer than its 60 seconds, be stopped (R10), and begin again, taking time from those that come after.
//!
//! Only in memory: after a restart of the server a few more may boot than should, once.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};

use jiff::{SignedDuration, Timestamp};
use renga_model::{AppId, DynoId};

/// A dyno that boots for longer keeps nobody else back any more: it may be one that never listens.
const SHARE: SignedDuration = SignedDuration::from_secs(20);
/// Longer than any boot may take: one whose end nobody told us of.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug, Default)]
pub(crate) struct Boots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    booting: BTreeMap<DynoId, Timestamp>,
    /// Apps of dynos that were kept back, oldest first.
    waiting: VecDeque<AppId>,
}

impl Boots {
    /// Whether the dyno may boot now. If not, its app is named by `over` in its turn.
    pub(crate) fn begin(&self, dyno: DynoId, app: AppId, now: Timestamp, max: usize) -> bool {
        let mut state = self.0.lock().expect("nothing panics while it holds this lock");
        if state.booting.contains_key(&dyno) {
            return true;
        }
        state.booting.retain(|_, since| now.duration_since(*since) < FORGOTTEN);
        if state.booting.values().filter(|since| now.duration_since(**since) < SHARE).count() < max {
            state.booting.insert(dyno, now);
            return true;
        }
        if !state.waiting.contains(&app) {
            state.waiting.push_back(app);
        }
        false
    }

    /// The dyno is up, or gone. Returns the app whose turn it is.
    pub(crate) fn over(&self, dyno: DynoId) -> Option<AppId> {
        let mut state = self.0.lock().expect("nothing panics while it holds this lock");
        state.booting.remove(&dyno)?;
        state.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_boot_and_the_others_follow_in_their_order() {
        let (boots, now) = (Boots::default(), Timestamp::UNIX_EPOCH);
        let dynos: [DynoId; 4] = std::array::from_fn(|_| DynoId::random());
        let apps: [AppId; 4] = std::array::from_fn(|_| AppId::random());
        let begins = |n: usize, now| boots.begin(dynos[n], apps[n], now, 2);
        assert_eq!(
            [begins(0, now), begins(1, now), begins(2, now), begins(3, now)],
            [true, true, false, false]
        );
        // Asking again changes nothing.
        assert_eq!([begins(0, now), begins(2, now)], [true, false]);
        assert_eq!(boots.over(dynos[2]), None);
        assert_eq!(boots.over(dynos[1]), Some(apps[2]));
        assert_eq!([begins(2, now), begins(3, now)], [true, false]);
        assert_eq!(boots.over(dynos[0]), Some(apps[3]));
        assert_eq!((begins(3, now), boots.over(dynos[3])), (true, None));
        // Two that never listen.
        assert!(begins(0, now) && !begins(1, now) && begins(1, now + SHARE));
        assert!(begins(0, now + SHARE) && begins(3, now + SHARE * 2));
    }
}

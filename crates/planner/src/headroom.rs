//! A roll of web dynos in the memory that there is.
//!
//! [`plan`](crate::plan) starts the successor of every web slot at once, beside the dyno that serves. Each needs its
//! quota twice meanwhile. Where that is not free, as many start as there is room for, and the rest wait for the room
//! that their predecessors give back: one by one in the end. When there is not even room for one, a predecessor stops
//! first, one at a time, and the router holds requests if it was the last; so no release waits for memory that never
//! comes. While a slot is without a dyno that is up, or waits out a crash, no other dyno is taken away.

use renga_model::{DynoId, DynoName, DynoState};

use crate::formation::{Action, Live};

/// Why a dyno stops before its successor has started; its log tells.
pub const NO_ROOM: &str = "no memory is free for its successor beside it";

/// Whether any of these starts a dyno beside one of the same name that is still there.
pub fn doubles(actions: &[Action], live: &[Live]) -> bool {
    actions.iter().any(|action| starts_beside(action, live).is_some())
}

/// `room_bytes`: quota that is free beside all dynos that live. `quota`: that of a slot. Dynos without a predecessor
/// start in any case: they were admitted when they were asked for.
pub fn within(
    room_bytes: u64,
    actions: Vec<Action>,
    live: &[Live],
    quota: impl Fn(&DynoName) -> u64,
) -> Vec<Action> {
    let owed = |action: &Action| match action {
        Action::Start { name, .. } if starts_beside(action, live).is_none() => quota(name),
        _ => 0,
    };
    let mut room_bytes = actions.iter().map(owed).fold(room_bytes, u64::saturating_sub);
    let mut busy = is_busy(&actions, live);
    let mut kept = Vec::with_capacity(actions.len());
    for action in actions {
        let Some(name) = starts_beside(&action, live) else {
            kept.push(action);
            continue;
        };
        if let Some(rest) = room_bytes.checked_sub(quota(name)) {
            (room_bytes, busy) = (rest, true);
            kept.push(action);
        } else if let Some(id) = serving(name, live).filter(|_| !busy) {
            busy = true;
            kept.push(Action::Stop { id, name: name.clone(), why: NO_ROOM });
        }
    }
    kept
}

/// Whether room is about to come, or a slot is without a dyno that is up: then the others wait.
fn is_busy(actions: &[Action], live: &[Live]) -> bool {
    let moves = live.iter().any(|dyno| match dyno.state {
        DynoState::Up => false,
        DynoState::Stopping => true,
        _ => dyno.name.process_type().is_web(),
    });
    let acts = actions.iter().any(|action| match action {
        Action::Stop { .. } => true,
        Action::Wait { name, .. } => name.process_type().is_web(),
        Action::Start { name, .. } => name.process_type().is_web() && starts_beside(action, live).is_none(),
        Action::Freeze { .. } | Action::Thaw { .. } | Action::Keep { .. } => false,
    });
    moves || acts
}

fn starts_beside<'a>(action: &'a Action, live: &[Live]) -> Option<&'a DynoName> {
    match action {
        Action::Start { name, .. } => Some(name).filter(|name| live.iter().any(|dyno| dyno.name == **name)),
        _ => None,
    }
}

fn serving(name: &DynoName, live: &[Live]) -> Option<DynoId> {
    let up = |dyno: &&Live| dyno.name == *name && dyno.state == DynoState::Up;
    live.iter().rev().find(up).map(|dyno| dyno.id)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use renga_model::{Id, ReleaseId};

    use super::*;
    use crate::formation::{Rest, Slot, Want, plan};

    fn release(version: u64) -> ReleaseId {
        Id::from_uuid(format!("00000000-0000-4000-8000-{version:012}").parse().unwrap())
    }

    /// `web.1 v3 up`
    fn live(words: &str, number: u64) -> Live {
        let [name, version, state] = words.split(' ').collect::<Vec<_>>()[..] else { panic!("{words}") };
        Live {
            id: Id::from_uuid(format!("00000000-0000-4000-9000-{number:012}").parse().unwrap()),
            name: name.parse().unwrap(),
            release: Some(release(version[1..].parse().unwrap())),
            size: "Basic".into(),
            epoch: 0,
            state: DynoState::parse(state).unwrap(),
            cycle_at: None,
        }
    }

    fn want(slots: &str) -> Want {
        let slot = |name: &str| Slot {
            name: name.parse().unwrap(),
            size: "Basic".into(),
            epoch: 0,
            crashes: None,
            rest: Rest::Awake,
        };
        Want { release: release(4), slots: slots.split(' ').map(slot).collect(), preboot: true }
    }

    /// Each dyno has a quota of 10; `room` is what is free beside those that are seen. Release 4 is wanted.
    fn check(slots: &str, room: u64, seen: &[&str], expected: &[&str]) {
        let seen: Vec<Live> = (1..).zip(seen).map(|(number, words)| live(words, number)).collect();
        let actions = plan(Some(&want(slots)), &seen, Timestamp::UNIX_EPOCH);
        let said: Vec<String> = within(room, actions, &seen, |_| 10).iter().map(said).collect();
        assert_eq!(said, expected);
    }

    fn said(action: &Action) -> String {
        match action {
            Action::Start { name, .. } => format!("start {name}"),
            Action::Stop { name, why, .. } if *why == NO_ROOM => format!("stop {name} first"),
            Action::Stop { name, .. } => format!("stop {name}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn with_room_all_roll_at_once() {
        check("web.1 web.2", 20, &["web.1 v3 up", "web.2 v3 up"], &["start web.1", "start web.2"]);
    }

    #[test]
    fn with_room_for_one_they_roll_one_by_one() {
        check("web.1 web.2", 19, &["web.1 v3 up", "web.2 v3 up"], &["start web.1"]);
        check("web.1 web.2", 9, &["web.1 v3 up", "web.2 v3 up", "web.1 v4 starting"], &[]);
        check("web.1 web.2", 9, &["web.1 v3 up", "web.2 v3 up", "web.1 v4 up"], &["stop web.1"]);
        check("web.1 web.2", 9, &["web.1 v3 stopping", "web.2 v3 up", "web.1 v4 up"], &[]);
        check("web.1 web.2", 19, &["web.2 v3 up", "web.1 v4 up"], &["start web.2"]);
    }

    #[test]
    fn without_room_one_at_a_time_stops_first() {
        check("web.1 web.2", 0, &["web.1 v3 up", "web.2 v3 up"], &["stop web.1 first"]);
        check("web.1 web.2", 0, &["web.1 v3 stopping", "web.2 v3 up"], &[]);
        // What the first has left is its successor's, though it looks free.
        check("web.1 web.2", 10, &["web.2 v3 up"], &["start web.1"]);
        check("web.1 web.2", 0, &["web.2 v3 up", "web.1 v4 starting"], &[]);
        check("web.1 web.2", 0, &["web.2 v3 up", "web.1 v4 up"], &["stop web.2 first"]);
        check("web.1", 0, &["web.1 v3 up"], &["stop web.1 first"]);
        check("web.1", 0, &["web.1 v3 stopping"], &[]);
        check("web.1", 0, &[], &["start web.1"]);
    }

    #[test]
    fn room_that_is_about_to_come_is_waited_for() {
        check("web.1 clock.1", 0, &["web.1 v3 up", "clock.1 v3 up"], &["stop clock.1"]);
        check("web.1 clock.1", 0, &["web.1 v3 up", "clock.1 v3 stopping"], &[]);
        // The clock's successor comes first.
        check("web.1 clock.1", 10, &["web.1 v3 up"], &["stop web.1 first", "start clock.1"]);
        check("web.1", 0, &["web.1 v3 up", "web.2 v3 up"], &["stop web.2"]);
    }

    #[test]
    fn a_release_that_crashes_takes_one_dyno_and_no_more() {
        let seen = [live("web.2 v3 up", 1)];
        let wait = Action::Wait { name: "web.1".parse().unwrap(), until: Timestamp::MAX };
        let start = Action::Start { name: "web.2".parse().unwrap(), why: "" };
        let left = within(0, vec![wait.clone(), start], &seen, |_| 10);
        assert_eq!(left, [wait]);
    }

    #[test]
    fn every_roll_comes_to_its_end_within_the_room() {
        for (dynos, room) in [(1, 0), (3, 0), (3, 1), (3, 2), (5, 9)] {
            let slots: Vec<String> = (1..=dynos).map(|n| format!("web.{n}")).collect();
            let want = want(&slots.join(" "));
            let mut seen: Vec<Live> =
                (1..).zip(&slots).map(|(n, name)| live(&format!("{name} v3 up"), n)).collect();
            for round in 100.. {
                assert!(round < 200, "{dynos} dynos with room for {room} more never settle");
                let free = dynos + room - u64::try_from(seen.len()).unwrap();
                let actions = plan(Some(&want), &seen, Timestamp::UNIX_EPOCH);
                let actions = within(free, actions, &seen, |_| 1);
                if actions.is_empty() && seen.iter().all(|dyno| dyno.state == DynoState::Up) {
                    break;
                }
                seen.retain(|dyno| dyno.state != DynoState::Stopping);
                seen.iter_mut().for_each(|dyno| dyno.state = DynoState::Up);
                for action in actions {
                    match action {
                        Action::Start { name, .. } => seen.push(live(&format!("{name} v4 planned"), round)),
                        Action::Stop { id, .. } => {
                            seen.iter_mut()
                                .filter(|d| d.id == id)
                                .for_each(|d| d.state = DynoState::Stopping);
                        }
                        other => panic!("{other:?}"),
                    }
                }
                let lives = u64::try_from(seen.len()).unwrap();
                assert!(lives <= dynos + room, "{lives} of {}", dynos + room);
            }
            assert!(seen.iter().all(|dyno| dyno.release == Some(release(4))));
        }
    }
}

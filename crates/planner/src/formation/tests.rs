//! One `check`: `want` and `seen` as words, the actions as words.

use jiff::SignedDuration;
use renga_model::{Id, limits};

use super::*;

fn release(n: u64) -> ReleaseId {
    Id::from_uuid(format!("00000000-0000-4000-8000-{n:012}").parse().unwrap())
}

/// `web.1 v7 up`, `worker.1 v6 stopping`, with an optional epoch `e2`, or `old` for one that has run for a day.
fn live(words: &str, n: u64) -> Live {
    let mut parts = words.split_whitespace();
    let name = parts.next().unwrap().parse().unwrap();
    let version: u64 = parts.next().unwrap().trim_start_matches('v').parse().unwrap();
    let state = DynoState::parse(parts.next().unwrap()).unwrap();
    let last = parts.next();
    let cycle_at = Some(if last == Some("old") { Timestamp::UNIX_EPOCH } else { Timestamp::MAX });
    let epoch = last.and_then(|e| e.strip_prefix('e')).map_or(0, |e| e.parse().unwrap());
    let id = Id::from_uuid(format!("00000000-0000-4000-9000-{n:012}").parse().unwrap());
    Live { id, name, release: Some(release(version)), size: "Basic".into(), epoch, state, cycle_at }
}

fn check_with(
    want: &str,
    preboot: bool,
    epoch: u64,
    crashes: Option<Crashes>,
    seen: &[&str],
    expected: &[&str],
) {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    let (want, rest) = match want.rsplit_once(' ').unwrap_or_default() {
        (want, "asleep") => (want, Rest::Stopped),
        (want, "frozen") => (want, Rest::Frozen { until: now + SignedDuration::from_mins(5) }),
        (want, "thawing") => (want, Rest::Frozen { until: now }),
        _ => (want, Rest::Awake),
    };
    let want = (!want.is_empty()).then(|| {
        let (version, slots) = want.split_once(':').unwrap();
        let slot =
            |name: &str| Slot { name: name.parse().unwrap(), size: "basic".into(), epoch, crashes, rest };
        let release = release(version.trim_start_matches('v').parse().unwrap());
        Want { release, slots: slots.split_whitespace().map(slot).collect(), preboot }
    });
    let seen: Vec<_> = (1..).zip(seen).map(|(n, words)| live(words, n)).collect();
    let number = |id: DynoId| {
        id.to_string().trim_start_matches("00000000-0000-4000-9000-0").trim_start_matches('0').to_owned()
    };
    let said: Vec<_> = plan(want.as_ref(), &seen, now)
        .into_iter()
        .map(|action| match action {
            Action::Start { name, .. } => format!("start {name}"),
            Action::Stop { name, id, .. } => format!("stop {name} #{}", number(id)),
            Action::Freeze { name, id } => format!("freeze {name} #{}", number(id)),
            Action::Thaw { name, id } => format!("thaw {name} #{}", number(id)),
            Action::Keep { .. } => "keep".into(),
            Action::Wait { name, .. } => format!("wait {name}"),
        })
        .collect();
    assert_eq!(said, expected);
}

fn check(want: &str, seen: &[&str], expected: &[&str]) {
    check_with(want, true, 0, None, seen, expected);
}

#[test]
fn a_first_deploy_starts_what_is_wanted() {
    check("v3: web.1 web.2 worker.1", &[], &["start web.1", "start web.2", "start worker.1"]);
}

#[test]
fn nothing_to_do_is_nothing() {
    check("v3: web.1 worker.1", &["web.1 v3 up", "worker.1 v3 starting"], &[]);
}

#[test]
fn web_rolls_with_surge() {
    check("v4: web.1", &["web.1 v3 up"], &["start web.1"]);
    check("v4: web.1", &["web.1 v3 up", "web.1 v4 starting"], &[]);
    check("v4: web.1", &["web.1 v3 up", "web.1 v4 up"], &["stop web.1 #1"]);
    check("v4: web.1", &["web.1 v3 stopping", "web.1 v4 up"], &[]);
}

#[test]
fn a_release_that_never_comes_up_takes_nothing_away() {
    check("v5: web.1", &["web.1 v3 up", "web.1 v4 starting"], &["stop web.1 #2", "start web.1"]);
}

#[test]
fn releases_that_follow_fast_do_not_pile_up() {
    check(
        "v5: web.1",
        &["web.1 v3 starting", "web.1 v4 planned"],
        &["stop web.1 #1", "stop web.1 #2", "start web.1"],
    );
    check("v5: web.1", &["web.1 v3 up", "web.1 v4 up"], &["stop web.1 #1", "start web.1"]);
    check("v5: web.1", &["web.1 v3 up", "web.1 v4 starting", "web.1 v5 starting"], &["stop web.1 #2"]);
    check("v5: web.1", &["web.1 v3 up", "web.1 v4 stopping", "web.1 v5 starting"], &[]);
}

#[test]
fn other_types_stop_before_they_start() {
    check("v4: clock.1", &["clock.1 v3 up"], &["stop clock.1 #1"]);
    check("v4: clock.1", &["clock.1 v3 stopping"], &[]);
    check("v4: clock.1", &[], &["start clock.1"]);
}

#[test]
fn preboot_off_is_the_classic_order() {
    check_with("v4: web.1", false, 0, None, &["web.1 v3 up"], &["stop web.1 #1"]);
}

#[test]
fn scaling_down_takes_the_surplus() {
    check("v3: web.1", &["web.1 v3 up", "web.2 v3 up", "old.1 v3 up"], &["stop web.2 #2", "stop old.1 #3"]);
    check("", &["web.1 v3 up", "web.2 v3 stopping"], &["stop web.1 #1"]);
}

#[test]
fn a_restart_replaces_what_is_older_than_its_epoch() {
    check_with("v3: web.1", true, 2, None, &["web.1 v3 up e1"], &["start web.1"]);
    check_with("v3: web.1", true, 2, None, &["web.1 v3 up e1", "web.1 v3 up e2"], &["stop web.1 #1"]);
}

#[test]
fn after_a_day_each_type_is_replaced_in_its_way() {
    check("v3: web.1", &["web.1 v3 up old"], &["start web.1"]);
    check("v3: web.1", &["web.1 v3 up old", "web.1 v3 starting"], &[]);
    check("v3: web.1", &["web.1 v3 up old", "web.1 v3 up"], &["stop web.1 #1"]);
    check("v3: web.1", &["web.1 v3 starting old"], &[]);
    check("v3: clock.1", &["clock.1 v3 up old"], &["stop clock.1 #1"]);
    check("v3: clock.1", &["clock.1 v3 stopping old"], &[]);
    check_with("v3: web.1", false, 0, None, &["web.1 v3 up old"], &["stop web.1 #1"]);
    // A release that comes meanwhile takes over.
    check("v4: web.1", &["web.1 v3 up old", "web.1 v3 starting"], &["stop web.1 #2", "start web.1"]);
}

#[test]
fn why_tells_a_cycle_from_other_replacements() {
    let why = |preboot, words: &str| {
        let slot = Slot {
            name: "web.1".parse().unwrap(),
            size: "Basic".into(),
            epoch: 0,
            crashes: None,
            rest: Rest::Awake,
        };
        let want = Want { release: release(3), slots: vec![slot], preboot };
        match plan(Some(&want), &[live(words, 1)], Timestamp::UNIX_EPOCH).remove(0) {
            Action::Start { why, .. } | Action::Stop { why, .. } => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([why(true, "web.1 v3 up old"), why(false, "web.1 v3 up old")], [CYCLES, CYCLES]);
    assert_eq!(why(true, "web.1 v2 up old"), "a newer release or a restart asks for it");
}

#[test]
fn what_sleeps_stops_and_starts_when_it_wakes() {
    check(
        "v3: web.1 web.2 asleep",
        &["web.1 v3 up", "web.2 v3 starting"],
        &["stop web.1 #1", "stop web.2 #2"],
    );
    check("v3: web.1 asleep", &["web.1 v2 up", "web.1 v3 starting"], &["stop web.1 #1", "stop web.1 #2"]);
    check("v3: web.1 asleep", &["web.1 v3 stopping"], &[]);
    check("v3: web.1 asleep", &[], &[]);
    // A request came while it was still stopping: its successor does not wait for its end.
    check("v3: web.1", &["web.1 v3 stopping"], &["start web.1"]);
}

#[test]
fn what_sleeps_is_frozen_for_a_while() {
    check("v3: web.1 web.2 frozen", &["web.1 v3 up", "web.2 v3 up"], &["freeze web.1 #1", "freeze web.2 #2"]);
    check("v3: web.1 frozen", &["web.1 v3 frozen"], &["keep"]);
    // What does not serve has nothing to keep; of two releases the one that serves is kept.
    check("v3: web.1 frozen", &["web.1 v2 up", "web.1 v3 starting"], &["freeze web.1 #1", "stop web.1 #2"]);
    check("v3: web.1 frozen", &["web.1 v3 stopping"], &[]);
    check("v3: web.1 frozen", &[], &[]);
    check("v3: web.1 thawing", &["web.1 v3 frozen"], &["stop web.1 #1"]);
    check("v3: web.1 asleep", &["web.1 v3 frozen"], &["stop web.1 #1"]);
    check("v3: web.1 asleep", &["web.1 v3 stopping"], &[]);
}

#[test]
fn what_is_frozen_serves_when_its_app_wakes() {
    check("v3: web.1", &["web.1 v3 frozen"], &["thaw web.1 #1"]);
    check("v3: web.1", &["web.1 v3 frozen old"], &["thaw web.1 #1"]);
    // A release came: the old one serves until the new one is up.
    check("v4: web.1", &["web.1 v3 frozen"], &["thaw web.1 #1", "start web.1"]);
    check("v4: web.1", &["web.1 v3 frozen", "web.1 v4 starting"], &["thaw web.1 #1"]);
    check("v4: web.1", &["web.1 v3 frozen", "web.1 v4 up"], &["stop web.1 #1"]);
    check("v4: web.1", &["web.1 v3 frozen", "web.1 v3 up"], &["stop web.1 #1", "start web.1"]);
    check_with("v4: web.1", false, 0, None, &["web.1 v3 frozen"], &["stop web.1 #1"]);
    check_with("v3: web.1", false, 0, None, &["web.1 v3 frozen"], &["thaw web.1 #1"]);
    // A smaller formation, an app that goes.
    check("v3:", &["web.1 v3 frozen"], &["stop web.1 #1"]);
    check("", &["web.1 v3 frozen"], &["stop web.1 #1"]);
}

#[test]
fn doubles_go() {
    check("v3: web.1", &["web.1 v3 starting", "web.1 v3 up"], &["stop web.1 #1"]);
}

#[test]
fn crashes_wait() {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
    let crashes = |count| Some(Crashes { count, last_at: now - SignedDuration::from_secs(1) });
    check_with("v3: web.1", true, 0, crashes(1), &[], &["start web.1"]);
    check_with("v3: web.1", true, 0, crashes(2), &[], &["wait web.1"]);
}

#[test]
fn planning_again_after_the_actions_yields_nothing() {
    // Every combination of two dynos in a slot settles within a few rounds, whatever was there before.
    let states = ["planned", "starting", "up", "frozen", "stopping"];
    for (a, b, name) in
        states.iter().flat_map(|a| states.iter().flat_map(move |b| ["web.1", "clock.1"].map(|n| (a, b, n))))
    {
        let want = Want {
            release: release(4),
            slots: vec![Slot {
                name: name.parse().unwrap(),
                size: "Basic".into(),
                epoch: 0,
                crashes: None,
                rest: Rest::Awake,
            }],
            preboot: true,
        };
        let mut seen = vec![live(&format!("{name} v3 {a}"), 1), live(&format!("{name} v4 {b}"), 2)];
        let mut next_id = 3;
        for round in 0.. {
            let actions = plan(Some(&want), &seen, Timestamp::UNIX_EPOCH);
            let moved = carry_out(&mut seen, &actions, &mut next_id);
            if actions.is_empty() && !moved {
                break;
            }
            assert!(round < limits::DYNOS_PER_APP_MAX, "does not settle from {a}, {b}");
        }
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].state, seen[0].release), (DynoState::Up, Some(release(4))));
    }
}

/// The world: what is stopping goes, what is starting comes up; then the actions.
fn carry_out(seen: &mut Vec<Live>, actions: &[Action], next_id: &mut u64) -> bool {
    let before = seen.len();
    seen.retain(|dyno| dyno.state != DynoState::Stopping);
    let mut moved = seen.len() != before;
    let boots = |dyno: &&mut Live| matches!(dyno.state, DynoState::Planned | DynoState::Starting);
    for dyno in seen.iter_mut().filter(boots) {
        dyno.state = DynoState::Up;
        moved = true;
    }
    for action in actions {
        match action {
            Action::Start { name, .. } => {
                seen.push(live(&format!("{name} v4 planned"), *next_id));
                *next_id += 1;
            }
            Action::Stop { id, .. } => {
                seen.iter_mut().filter(|d| d.id == *id).for_each(|d| d.state = DynoState::Stopping);
            }
            Action::Freeze { id, .. } => {
                seen.iter_mut().filter(|d| d.id == *id).for_each(|d| d.state = DynoState::Frozen);
            }
            Action::Thaw { id, .. } => {
                seen.iter_mut().filter(|d| d.id == *id).for_each(|d| d.state = DynoState::Up);
            }
            Action::Wait { .. } | Action::Keep { .. } => {}
        }
    }
    moved
}

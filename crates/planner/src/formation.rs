//! Which dynos to start and stop so that an app's formation is what is wanted.
//!
//! A *slot* is a name such as `web.1`. A live dyno *fits* its slot when it runs the wanted release, in the wanted
//! size, was planned after the last restart, and has not run for a day. Web slots roll with surge: the successor starts
//! while the predecessor serves, which is asked to stop when the successor is up; so a release that does not boot never
//! takes the old one away. A successor that is overtaken before it is up goes at once: a slot has one dyno that serves
//! and one that is to follow it, never more. Every other process type stops before it starts: no clock runs twice. In an
//! app that sleeps, slots of sizes that sleep have none, or, for a while, one that is frozen; it is as good as up when
//! the app wakes.

use jiff::Timestamp;
use renga_model::{DynoId, DynoName, DynoState, ProcessType, ReleaseId};

use crate::backoff::{Crashes, restart_at};

/// What the current release and the formation ask for.
#[derive(Debug, Clone)]
pub struct Want {
    pub release: ReleaseId,
    pub slots: Vec<Slot>,
    /// Whether web successors start before their predecessors stop (the app feature `preboot`, on by default).
    pub preboot: bool,
}

#[derive(Debug, Clone)]
pub struct Slot {
    pub name: DynoName,
    pub size: String,
    pub epoch: u64,
    pub crashes: Option<Crashes>,
    pub rest: Rest,
}

/// Whether the app sleeps, and with it dynos of the slot's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Awake,
    /// What is up is frozen and kept until then.
    Frozen {
        until: Timestamp,
    },
    Stopped,
}

/// Why a dyno stops whose slot rests: its log tells of it in a word of its own.
pub const SLEEPS: &str = "its app sleeps";
/// The same of a dyno that was frozen. Its log has that word already.
const SLEEPS_ON: &str = "its app sleeps on: it was frozen for its time, or memory is short";
/// Why a dyno is replaced that has run for a day; told as well, of a web dyno's successor when it starts, of any other
/// dyno when it stops.
pub const CYCLES: &str = "its day is over";

/// A formation dyno that has not exited.
#[derive(Debug, Clone)]
pub struct Live {
    pub id: DynoId,
    pub name: DynoName,
    pub release: Option<ReleaseId>,
    pub size: String,
    pub epoch: u64,
    pub state: DynoState,
    /// When its day is over; none: it may run for ever.
    pub cycle_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Start {
        name: DynoName,
        why: &'static str,
    },
    Stop {
        id: DynoId,
        name: DynoName,
        why: &'static str,
    },
    /// Its app sleeps: it leaves the route table, and then runs no more for a while.
    Freeze {
        id: DynoId,
        name: DynoName,
    },
    /// It is to take requests again.
    Thaw {
        id: DynoId,
        name: DynoName,
    },
    /// Nothing to do for this slot before then: there is a pause after crashes.
    Wait {
        name: DynoName,
        until: Timestamp,
    },
    /// Nothing to do for this slot before then: what is in it is frozen.
    Keep {
        until: Timestamp,
    },
}

/// `want` of none means that nothing may run: no code yet, or the app is going. `live` is in order of age, those of
/// one name at least.
pub fn plan(want: Option<&Want>, live: &[Live], now: Timestamp) -> Vec<Action> {
    let Some(want) = want else {
        return live.iter().filter_map(|dyno| stop(dyno, "nothing is wanted")).collect();
    };
    let is_wanted = |dyno: &&Live| want.slots.iter().any(|slot| slot.name == dyno.name);
    let surplus = live.iter().filter(|dyno| !is_wanted(dyno));
    let mut actions: Vec<_> = surplus.filter_map(|dyno| stop(dyno, "the formation is smaller")).collect();
    for slot in &want.slots {
        let of_slot: Vec<_> = live.iter().filter(|dyno| dyno.name == slot.name).collect();
        plan_slot(want, slot, &of_slot, now, &mut actions);
    }
    actions
}

fn plan_slot(want: &Want, slot: &Slot, live: &[&Live], now: Timestamp, actions: &mut Vec<Action>) {
    if slot.rest != Rest::Awake {
        actions.extend(live.iter().filter_map(|dyno| put_to_rest(slot.rest, dyno, now)));
        return;
    }
    let (fitting, others): (Vec<&Live>, Vec<&Live>) =
        live.iter().partition(|dyno| is_wanted(dyno, want, slot) && !is_old(dyno, now));
    let cycles = others.iter().any(|dyno| is_wanted(dyno, want, slot));
    let surges = surges(want, slot.name.process_type());
    if let Some((kept, doubles)) = keep_best(fitting) {
        actions.extend(doubles.into_iter().filter_map(|dyno| stop(dyno, "a second of the same name")));
        actions.extend(thaw(kept));
        if kept.state == DynoState::Up || !surges {
            actions.extend(others.into_iter().filter_map(|dyno| stop(dyno, "replaced by its successor")));
        } else {
            actions.extend(overtaken(&others));
        }
        return;
    }
    if !surges && !others.is_empty() {
        let why = if cycles { CYCLES } else { "its successor waits for its end" };
        actions.extend(others.into_iter().filter_map(|dyno| stop(dyno, why)));
        return;
    }
    actions.extend(overtaken(&others));
    match restart_at(slot.crashes) {
        Some(until) if until > now => actions.push(Action::Wait { name: slot.name.clone(), until }),
        _ => {
            let why = start_reason(slot, &others, cycles);
            actions.push(Action::Start { name: slot.name.clone(), why });
        }
    }
}

/// Stops of those that do not fit, but for the youngest that is up (or would be, but that it is frozen), which serves
/// until its successor does. Without them releases that follow each other faster than they boot would pile up in one
/// slot.
fn overtaken(others: &[&Live]) -> Vec<Action> {
    let youngest = |state| others.iter().rev().find(move |dyno| dyno.state == state);
    let serving = youngest(DynoState::Up).or_else(|| youngest(DynoState::Frozen));
    let goes = others.iter().filter(|dyno| Some(dyno.id) != serving.map(|serving| serving.id));
    let stops = goes.filter_map(|dyno| stop(dyno, "overtaken before it served"));
    stops.chain(serving.and_then(|dyno| thaw(dyno))).collect()
}

fn put_to_rest(rest: Rest, dyno: &Live, now: Timestamp) -> Option<Action> {
    match (rest, dyno.state) {
        (Rest::Frozen { until }, DynoState::Up) if until > now => {
            Some(Action::Freeze { id: dyno.id, name: dyno.name.clone() })
        }
        (Rest::Frozen { until }, DynoState::Frozen) if until > now => Some(Action::Keep { until }),
        (_, DynoState::Frozen) => stop(dyno, SLEEPS_ON),
        _ => stop(dyno, SLEEPS),
    }
}

fn thaw(dyno: &Live) -> Option<Action> {
    (dyno.state == DynoState::Frozen).then(|| Action::Thaw { id: dyno.id, name: dyno.name.clone() })
}

fn is_wanted(dyno: &Live, want: &Want, slot: &Slot) -> bool {
    dyno.state != DynoState::Stopping
        && dyno.release == Some(want.release)
        && dyno.epoch >= slot.epoch
        && dyno.size.eq_ignore_ascii_case(&slot.size)
}

/// One that is still booting gets its time.
fn is_old(dyno: &Live, now: Timestamp) -> bool {
    dyno.state == DynoState::Up && dyno.cycle_at.is_some_and(|at| at <= now)
}

/// The one that is furthest on stays.
fn keep_best(fitting: Vec<&Live>) -> Option<(&Live, Vec<&Live>)> {
    let rank = |dyno: &Live| match dyno.state {
        DynoState::Up => 0,
        DynoState::Frozen => 1,
        DynoState::Starting => 2,
        _ => 3,
    };
    let mut sorted = fitting;
    sorted.sort_by_key(|dyno| (rank(dyno), dyno.id));
    let mut rest = sorted.into_iter();
    rest.next().map(|best| (best, rest.collect()))
}

fn surges(want: &Want, process_type: &ProcessType) -> bool {
    want.preboot && process_type.is_web()
}

fn start_reason(slot: &Slot, others: &[&Live], cycles: bool) -> &'static str {
    if cycles {
        return CYCLES;
    }
    match (slot.crashes.map(|crashes| crashes.count), others.is_empty()) {
        (Some(0), _) => "the platform could not run it before",
        (Some(_), _) => "it crashed",
        (None, true) => "the formation asks for it",
        (None, false) => "a newer release or a restart asks for it",
    }
}

fn stop(dyno: &Live, why: &'static str) -> Option<Action> {
    (dyno.state != DynoState::Stopping).then(|| Action::Stop { id: dyno.id, name: dyno.name.clone(), why })
}

#[cfg(test)]
mod tests;

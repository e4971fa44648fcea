//! What was decided about an app's dynos, and why: the newest few decisions, for `renga why`.
//!
//! Only in memory: a restart of the server forgets them, and says since when it remembers. What is wanted, what is seen
//! and until when a start is put off come from rows, and survive.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use jiff::Timestamp;
use renga_model::{AppId, DynoName};

/// Of one app.
const DECISIONS_MAX: usize = 50;
/// Of further apps nothing is remembered until another one is forgotten.
const APPS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub at: Timestamp,
    pub dyno: DynoName,
    pub action: DecisionKind,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    Start,
    Stop,
    Freeze,
    Thaw,
    /// Not yet.
    Wait,
    /// Not decided by us: it ended.
    Ended,
}

impl DecisionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Wait => "wait",
            Self::Ended => "ended",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Decisions(Mutex<BTreeMap<AppId, VecDeque<Decision>>>);

impl Decisions {
    pub(crate) fn note(
        &self,
        app: AppId,
        at: Timestamp,
        dyno: &DynoName,
        (action, reason): (DecisionKind, impl Into<String>),
    ) {
        let decision = Decision { at, dyno: dyno.clone(), action, reason: reason.into() };
        let mut apps = self.lock();
        if apps.len() >= APPS_MAX && !apps.contains_key(&app) {
            return;
        }
        let of_app = apps.entry(app).or_default();
        // Every pass comes to the same: once is enough.
        let newest = of_app.iter().rev().find(|known| known.dyno == decision.dyno);
        if newest.is_some_and(|known| same_wait(known, &decision)) {
            return;
        }
        if of_app.len() == DECISIONS_MAX {
            of_app.pop_front();
        }
        of_app.push_back(decision);
    }

    /// The newest first.
    pub(crate) fn of(&self, app: AppId) -> Vec<Decision> {
        self.lock().get(&app).map(|known| known.iter().rev().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn forget(&self, app: AppId) {
        self.lock().remove(&app);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppId, VecDeque<Decision>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

fn same_wait(known: &Decision, new: &Decision) -> bool {
    new.action == DecisionKind::Wait && known.action == new.action && known.reason == new.reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_a_wait_is_noted_once() {
        let decisions = Decisions::default();
        let (app, web) = (AppId::random(), "web.1".parse::<DynoName>().unwrap());
        let at = Timestamp::from_second;
        for n in 0..100 {
            decisions.note(app, at(n).unwrap(), &web, (DecisionKind::Start, format!("reason {n}")));
        }
        for n in 100..110 {
            decisions.note(app, at(n).unwrap(), &web, (DecisionKind::Wait, "until noon"));
        }
        let known = decisions.of(app);
        assert_eq!((known.len(), known[0].at, known[1].reason.as_str()), (50, at(100).unwrap(), "reason 99"));
        decisions.forget(app);
        assert!(decisions.of(app).is_empty());
    }
}

//! What this process has already asked of the node, and what it has heard: only to spare repetitions. Losing it (a
//! restart) means asking again, which changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use jiff::Timestamp;
use renga_model::DynoId;

#[derive(Debug, Default)]
pub(crate) struct Asked {
    starts: Mutex<BTreeSet<DynoId>>,
    stops: Mutex<BTreeSet<DynoId>>,
    freezes: Mutex<BTreeSet<DynoId>>,
    begun: Mutex<BTreeMap<DynoId, Timestamp>>,
}

impl Asked {
    /// Whether this is the first time that the start of this dyno is asked for.
    pub(crate) fn start(&self, dyno: DynoId) -> bool {
        self.starts.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    pub(crate) fn stop(&self, dyno: DynoId) -> bool {
        self.stops.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    pub(crate) fn freeze(&self, dyno: DynoId) -> bool {
        self.freezes.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    /// Whether the freeze of this dyno was asked for.
    pub(crate) fn has_frozen(&self, dyno: DynoId) -> bool {
        self.freezes.lock().expect("nothing panics while it holds this lock").contains(&dyno)
    }

    /// When the processes of the dynos in the newest inventory began. A boot is measured from there: between the row
    /// and the process a machine may have been without power.
    pub(crate) fn set_begun(&self, begun: BTreeMap<DynoId, Timestamp>) {
        *self.begun.lock().expect("nothing panics while it holds this lock") = begun;
    }
    pub(crate) fn begun_at(&self, dyno: DynoId) -> Option<Timestamp> {
        self.begun.lock().expect("nothing panics while it holds this lock").get(&dyno).copied()
    }
    /// The asking failed, or the dyno is not where it should be: ask again.
    pub(crate) fn ask_again(&self, dyno: DynoId) {
        self.starts.lock().expect("nothing panics while it holds this lock").remove(&dyno);
        self.stops.lock().expect("nothing panics while it holds this lock").remove(&dyno);
        self.freezes.lock().expect("nothing panics while it holds this lock").remove(&dyno);
    }
}

/// One-off dynos whose client is connected to the rendezvous. A restart of the server cuts them all.
#[derive(Debug, Default)]
pub struct Attached(Mutex<BTreeSet<DynoId>>);

impl Attached {
    /// Whether the dyno had no client before.
    pub fn come(&self, dyno: DynoId) -> bool {
        self.0.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    pub fn has(&self, dyno: DynoId) -> bool {
        self.0.lock().expect("nothing panics while it holds this lock").contains(&dyno)
    }
    pub fn gone(&self, dyno: DynoId) {
        self.0.lock().expect("nothing panics while it holds this lock").remove(&dyno);
    }
}

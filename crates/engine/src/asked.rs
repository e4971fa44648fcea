//! What this process has already asked of the node: only to spare repetitions. Losing it (a restart) means asking
//! again, which changes nothing.

use std::{collections::BTreeSet, sync::Mutex};

use renga_model::DynoId;

#[derive(Debug, Default)]
pub(crate) struct Asked {
    starts: Mutex<BTreeSet<DynoId>>,
    stops: Mutex<BTreeSet<DynoId>>,
}

impl Asked {
    /// Whether this is the first time that the start of this dyno is asked for.
    pub(crate) fn start(&self, dyno: DynoId) -> bool {
        self.starts.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    pub(crate) fn stop(&self, dyno: DynoId) -> bool {
        self.stops.lock().expect("nothing panics while it holds this lock").insert(dyno)
    }
    /// The asking failed, or the dyno is not where it should be: ask again.
    pub(crate) fn ask_again(&self, dyno: DynoId) {
        self.starts.lock().expect("nothing panics while it holds this lock").remove(&dyno);
        self.stops.lock().expect("nothing panics while it holds this lock").remove(&dyno);
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

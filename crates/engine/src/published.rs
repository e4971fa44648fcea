//! What the router last said: the table it routes by, and the requests still under way. Kept in memory only, because
//! after a restart the next publication says it again.

use std::{collections::BTreeSet, sync::RwLock};

use renga_model::{DynoId, RouteTable};
use renga_ports::Published;

#[derive(Debug, Default)]
pub struct PublishedRoutes(RwLock<Option<Said>>);

#[derive(Debug)]
struct Said {
    table: RouteTable,
    routed: BTreeSet<DynoId>,
    answer: Published,
}

impl PublishedRoutes {
    pub(crate) fn record(&self, table: RouteTable, answer: Published) {
        let routed = table.apps.iter().flat_map(|app| app.dynos.iter().map(|dyno| dyno.id)).collect();
        *self.0.write().expect("nothing panics while it holds this lock") =
            Some(Said { table, routed, answer });
    }
    pub(crate) fn forget(&self) {
        *self.0.write().expect("nothing panics while it holds this lock") = None;
    }
    /// Whether the router has let go of a dyno: not in its table, and no request under way.
    pub(crate) fn has_left(&self, dyno: DynoId) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| !s.routed.contains(&dyno) && !s.answer.in_flight.contains_key(&dyno))
    }
    /// Whether requests go to this dyno by now.
    pub fn routes_to(&self, dyno: DynoId) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.routed.contains(&dyno))
    }
    /// Whether requests are under way to dynos that are no longer routed to.
    pub(crate) fn is_draining(&self) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.answer.in_flight.keys().any(|dyno| !s.routed.contains(dyno)))
    }
    pub(crate) fn last(&self) -> Option<RouteTable> {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().map(|s| s.table.clone())
    }
}

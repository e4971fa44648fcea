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
    leaving: BTreeSet<DynoId>,
    answer: Published,
}

impl PublishedRoutes {
    /// `leaving` are the dynos whose rows said so when the table was made.
    pub(crate) fn record(&self, table: RouteTable, leaving: BTreeSet<DynoId>, answer: Published) {
        let routed = table.apps.iter().flat_map(|app| app.dynos.iter().map(|dyno| dyno.id)).collect();
        *self.0.write().expect("nothing panics while it holds this lock") =
            Some(Said { table, routed, leaving, answer });
    }
    pub(crate) fn forget(&self) {
        *self.0.write().expect("nothing panics while it holds this lock") = None;
    }
    /// Whether the router has let go of a dyno: its table was made when the dyno was leaving already, and no request is
    /// under way. A table from before may lack a dyno that the next one, on its way, still has.
    pub(crate) fn has_left(&self, dyno: DynoId) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.leaving.contains(&dyno) && !s.answer.in_flight.contains_key(&dyno))
    }
    /// Whether requests are under way to a dyno although its row said that it leaves.
    pub(crate) fn is_kept(&self, dyno: DynoId) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.leaving.contains(&dyno) && s.answer.in_flight.contains_key(&dyno))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_from_before_a_dyno_left_does_not_let_go_of_it() {
        let (published, dyno) = (PublishedRoutes::default(), DynoId::random());
        assert!(!published.has_left(dyno));
        published.record(RouteTable::default(), BTreeSet::new(), Published::default());
        assert!(!published.has_left(dyno));
        let busy = Published { generation: 2, in_flight: [(dyno, 1)].into() };
        published.record(RouteTable::default(), BTreeSet::from([dyno]), busy);
        assert!(!published.has_left(dyno) && published.is_kept(dyno));
        published.record(RouteTable::default(), BTreeSet::from([dyno]), Published::default());
        assert!(published.has_left(dyno) && !published.is_kept(dyno));
    }
}

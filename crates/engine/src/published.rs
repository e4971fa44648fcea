//! What the router last said: the table it routes by, and the requests still under way. Kept in memory only, because
//! after a restart the next publication says it again.

use std::{collections::BTreeSet, sync::RwLock};

use renga_model::{DynoId, RouteApp, RouteChange, RouteTable};
use renga_ports::Published;

#[derive(Debug, Default)]
pub struct PublishedRoutes(RwLock<Option<Said>>);

/// What led to the table that was published, and the apps as they were before it.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) change: RouteChange,
    pub(crate) replaced: Vec<RouteApp>,
}

#[derive(Debug)]
struct Said {
    generation: u64,
    routed: BTreeSet<DynoId>,
    leaving: BTreeSet<DynoId>,
    /// Tokens of the table that certificate authorities find an answer to.
    tokens: BTreeSet<String>,
    answer: Published,
}

impl PublishedRoutes {
    /// `leaving` are the dynos whose rows said so when the table was made.
    pub(crate) fn record(
        &self,
        table: &RouteTable,
        change: &Change,
        leaving: BTreeSet<DynoId>,
        answer: Published,
    ) {
        fn dynos(apps: &[RouteApp]) -> impl Iterator<Item = DynoId> {
            apps.iter().flat_map(|app| app.dynos.iter().map(|dyno| dyno.id))
        }
        let mut said = self.0.write().expect("nothing panics while it holds this lock");
        let routed = match said.take() {
            Some(before) if before.generation == change.change.from => {
                let mut routed = before.routed;
                dynos(&change.replaced).for_each(|dyno| _ = routed.remove(&dyno));
                routed.extend(dynos(&change.change.changed));
                routed
            }
            _ => dynos(&table.apps).collect(),
        };
        let tokens = table.challenges.keys().cloned().collect();
        *said = Some(Said { generation: table.generation, routed, leaving, tokens, answer });
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
    /// Whether a certificate authority finds the answer to this token by now.
    pub(crate) fn answers(&self, token: &str) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.tokens.contains(token))
    }
    /// Whether requests are under way to dynos that are no longer routed to.
    pub(crate) fn is_draining(&self) -> bool {
        let said = self.0.read().expect("nothing panics while it holds this lock");
        said.as_ref().is_some_and(|s| s.answer.in_flight.keys().any(|dyno| !s.routed.contains(dyno)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_from_before_a_dyno_left_does_not_let_go_of_it() {
        let (published, dyno) = (PublishedRoutes::default(), DynoId::random());
        let record = |leaving, answer| {
            published.record(&RouteTable::default(), &Change::default(), leaving, answer);
        };
        assert!(!published.has_left(dyno));
        record(BTreeSet::new(), Published::default());
        assert!(!published.has_left(dyno));
        let busy = Published { generation: 2, in_flight: [(dyno, 1)].into() };
        record(BTreeSet::from([dyno]), busy);
        assert!(!published.has_left(dyno) && published.is_kept(dyno));
        record(BTreeSet::from([dyno]), Published::default());
        assert!(published.has_left(dyno) && !published.is_kept(dyno));
    }
}

//! A router that takes every newer table, and has no traffic but what a test says.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use renga_model::{RouteChange, RouteTable, WebState};
use renga_ports::{DynoPhase, Published, RouteFeed, RouteFeedError, Traffic};

use super::{Faults, World, faults::call};

/// How often a question for traffic looks whether a test has let a request come.
const TRAFFIC_LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct WorldRoutes {
    pub(crate) world: World,
    pub(crate) faults: Faults,
}

#[async_trait]
impl RouteFeed for WorldRoutes {
    async fn publish(&self, table: &RouteTable) -> Result<Published, RouteFeedError> {
        let publish = || {
            let mut state = self.world.state();
            let seen = state.table.generation;
            if table.generation < seen {
                return Err(RouteFeedError::Stale { seen });
            }
            let starting = table.apps.iter().flat_map(|app| &app.dynos).filter(|route| {
                state.dynos.get(&route.id).is_some_and(|dyno| dyno.phase == DynoPhase::Starting)
            });
            let starting: Vec<_> = starting.map(|route| route.name.to_string()).collect();
            state
                .complaints
                .extend(starting.into_iter().map(|name| format!("{name} got requests before it was up")));
            let frozen = table.apps.iter().flat_map(|app| &app.dynos);
            let frozen = frozen.filter(|route| state.dynos.get(&route.id).is_some_and(|dyno| dyno.frozen));
            let frozen: Vec<_> = frozen.map(|route| route.name.to_string()).collect();
            state.complaints.extend(frozen.into_iter().map(|name| format!("{name} got requests, frozen")));
            state.table = table.clone();
            let in_flight = state.busy.iter().map(|dyno| (*dyno, 1)).collect();
            Ok(Published { generation: table.generation, in_flight })
        };
        let known = self.world.state().table == *table;
        if known && !self.faults.is_dead() {
            // The same table again: not counted, it changes nothing.
            return publish();
        }
        call!(self.faults, RouteFeedError::Away(std::io::ErrorKind::ConnectionRefused.into()), publish())
    }

    /// Whoever has the table before comes to the same table by the change.
    async fn publish_change(
        &self,
        table: &RouteTable,
        change: &RouteChange,
    ) -> Result<Published, RouteFeedError> {
        let mut led = self.world.state().table.clone();
        if led.generation == change.from && !self.faults.is_dead() {
            led.apply(change);
            assert_eq!(led, *table, "the change does not lead to the table");
        }
        self.publish(table).await
    }

    /// Looking changes nothing: it is not counted.
    async fn traffic(&self, wait: Duration) -> Result<Traffic, RouteFeedError> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            if self.faults.is_dead() {
                return Err(RouteFeedError::Away(std::io::ErrorKind::ConnectionRefused.into()));
            }
            let traffic = self.world.state().traffic();
            if !traffic.waiting.is_empty() || tokio::time::Instant::now() >= end {
                return Ok(traffic);
            }
            tokio::time::sleep(TRAFFIC_LOOK.min(wait)).await;
        }
    }
}

impl super::state::State {
    fn traffic(&self) -> Traffic {
        let asleep: BTreeSet<_> =
            self.table.apps.iter().filter(|app| app.web == WebState::Asleep).map(|app| app.id).collect();
        let known = self.table.apps.iter().filter(|app| !self.requested.contains(&app.id));
        Traffic {
            waiting: self.requested.intersection(&asleep).copied().collect(),
            idle: known.map(|app| (app.id, self.quiet_for)).collect(),
        }
    }
}

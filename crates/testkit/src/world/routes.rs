//! A router that takes every newer table and never has a request under way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use renga_model::RouteTable;
use renga_ports::{DynoPhase, Published, RouteFeed, RouteFeedError};

use super::{Faults, World, faults::call};

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
            state.table = table.clone();
            Ok(Published { generation: table.generation, in_flight: BTreeMap::new() })
        };
        let known = self.world.state().table == *table;
        if known && !self.faults.is_dead() {
            // The same table again: not counted, it changes nothing.
            return publish();
        }
        call!(self.faults, RouteFeedError::Away(std::io::ErrorKind::ConnectionRefused.into()), publish())
    }
}

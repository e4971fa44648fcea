//! A router that routes by whatever table it was given last.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use renga_model::RouteTable;
use renga_ports::{Published, RouteFeed, RouteFeedError, Traffic};

#[derive(Debug, Default)]
pub struct SimRoutes(Mutex<RouteTable>);

impl SimRoutes {
    pub fn table(&self) -> RouteTable {
        self.0.lock().expect("nothing panics while it holds this lock").clone()
    }
}

#[async_trait]
impl RouteFeed for SimRoutes {
    async fn publish(&self, table: &RouteTable) -> Result<Published, RouteFeedError> {
        let mut last = self.0.lock().expect("nothing panics while it holds this lock");
        if table.generation < last.generation {
            return Err(RouteFeedError::Stale { seen: last.generation });
        }
        *last = table.clone();
        Ok(Published { generation: table.generation, in_flight: BTreeMap::new() })
    }
    async fn traffic(&self, wait: Duration) -> Result<Traffic, RouteFeedError> {
        tokio::time::sleep(wait).await;
        Ok(Traffic::default())
    }
}

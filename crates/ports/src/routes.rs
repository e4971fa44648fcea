//! The route feed: whole tables, one way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use renga_model::{DynoId, RouteTable};

#[async_trait]
pub trait RouteFeed: Send + Sync + 'static {
    /// Returns when the router routes by this table.
    async fn publish(&self, table: &RouteTable) -> Result<Published, RouteFeedError>;
}

/// What the router says of the table that it routes by now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    pub generation: u64,
    /// Requests still under way, of dynos that are no longer in the table too: they may be stopped at zero.
    pub in_flight: BTreeMap<DynoId, u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum RouteFeedError {
    #[error("the router is away")]
    Away(#[source] std::io::Error),
    /// It has seen a newer generation; the feed must start above it.
    #[error("the router has seen generation {seen}")]
    Stale { seen: u64 },
}

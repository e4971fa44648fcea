//! The route feed: whole tables, one way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use renga_model::{AppId, DynoId, RouteChange, RouteTable};

#[async_trait]
pub trait RouteFeed: Send + Sync + 'static {
    /// Returns when the router routes by this table.
    async fn publish(&self, table: &RouteTable) -> Result<Published, RouteFeedError>;

    /// The same, for somebody who knows what leads to this table from one before: a router that has that one needs no
    /// more.
    async fn publish_change(
        &self,
        table: &RouteTable,
        _change: &RouteChange,
    ) -> Result<Published, RouteFeedError> {
        self.publish(table).await
    }

    /// Returns as soon as requests wait for an app that sleeps, at once if some do already, and after `wait` otherwise.
    /// Whoever misses an answer asks again: it says what is, not what has changed.
    async fn traffic(&self, wait: Duration) -> Result<Traffic, RouteFeedError>;
}

/// What the router says of the apps in its table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Apps that sleep by the router's table and for which requests wait.
    pub waiting: BTreeSet<AppId>,
    /// Time since the last request came, or since the router knows of the app; none while a request is under way.
    pub idle: BTreeMap<AppId, Duration>,
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

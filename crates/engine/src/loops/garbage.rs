//! Collection: what no row needs goes at once; over the byte budget, what is needed least goes too.
//!
//! ```text
//! look ──layers, outputs and files without a row──> gone
//!   │
//!   └─ within the budget? ──yes──> rest
//!            └─no──> git's unreachable objects ──> outputs of old builds ──> slugs of old releases ──> look again
//! ```
//!
//! Never touched: what the current release and the newest releases of an app need (`[disk] releases_kept`), and what a
//! build that runs may be about to name.

mod files;
mod layers;
mod outputs;
mod repositories;

use std::time::Duration;

use renga_model::{Fault, Refusal};

use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    wakes::Bell,
};

/// Releases expired in one pass before the sizes are looked at again.
const EXPIRE_AT_ONCE: usize = 16;

/// When layers that were too young have aged, or the node is back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(crate) struct Garbage {
    engine: Engine,
    repositories: repositories::Collected,
}

impl Garbage {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, repositories: repositories::Collected::default() }
    }
}

impl Loop for Garbage {
    type Key = ();
    const NAME: &'static str = "garbage";

    fn bell(&self) -> &Bell<()> {
        &self.engine.wake.garbage
    }
    fn period(&self) -> Duration {
        Duration::from_secs(600)
    }
    async fn scan(&self) -> Result<Vec<()>, Refusal> {
        Ok(vec![()])
    }
    async fn pass(&self, (): ()) -> Result<Next, Refusal> {
        let engine = &self.engine;
        files::sweep(engine).await?;
        let layers = match layers::sweep(engine).await {
            // As it is for a moment after every start.
            Err(refusal) if refusal.fault == Fault::Unavailable => return Ok(Next::Again(LOOK_AGAIN)),
            other => other?,
        };
        let outputs = outputs::sweep(engine).await?;
        let repositories = repositories::measure(engine).await?;
        let rest = if layers.any_young { Next::Again(LOOK_AGAIN) } else { Next::Rest };
        let held = layers.bytes + outputs.bytes + repositories.bytes;
        let over = held.saturating_sub(engine.settings.disk_budget_bytes);
        if over == 0 {
            return Ok(rest);
        }
        let relieved = self.repositories.collect(engine, &repositories).await?
            || outputs::remove_oldest(engine, outputs, over).await?
            || expire(engine).await?;
        if relieved {
            return Ok(Next::Again(Duration::ZERO));
        }
        let (held, budget) = (held >> 20, engine.settings.disk_budget_bytes >> 20);
        tracing::warn!(
            disk.held_mib = held,
            disk.budget_mib = budget,
            "what the kept releases need takes {held} MiB; the budget is {budget} MiB"
        );
        Ok(rest)
    }
}

async fn expire(engine: &Engine) -> Result<bool, Refusal> {
    let (keep, now) = (engine.settings.releases_kept, engine.now());
    let expired = engine
        .store
        .write(move |tx| tx.release_expire_oldest(keep, EXPIRE_AT_ONCE, now).map_err(error::store));
    Ok(expired.await? > 0)
}

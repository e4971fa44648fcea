//! Collection: layers that no row needs go; over the byte budget, the slugs of the oldest releases go too, never one
//! of the releases that are kept whole.

use std::{collections::BTreeSet, time::Duration};

use renga_model::{LayerDigest, Refusal};
use renga_ports::RuntimeError;

use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    wakes::Bell,
};

/// Releases expired in one pass before the sizes are looked at again.
const EXPIRE_AT_ONCE: usize = 16;

pub(crate) struct Garbage {
    engine: Engine,
}

impl Garbage {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
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
        // A build packs layers before the row that names them: while one runs, nothing is judged.
        let building = engine.store.read(|read| read.build_list_unfinished().map_err(error::store)).await?;
        if !building.is_empty() {
            return Ok(Next::Rest);
        }
        let kept = sweep(engine).await?;
        if kept <= engine.settings.disk_budget_bytes {
            return Ok(Next::Rest);
        }
        let (keep, now) = (engine.settings.releases_kept, engine.now());
        let expired = engine
            .store
            .write(move |tx| tx.release_expire_oldest(keep, EXPIRE_AT_ONCE, now).map_err(Refusal::from));
        Ok(if expired.await? > 0 { Next::Again(Duration::ZERO) } else { Next::Rest })
    }
}

/// Removes what nothing names, and returns the bytes that stay.
async fn sweep(engine: &Engine) -> Result<u64, Refusal> {
    let layers = engine.runtime.layers().await.map_err(error::runtime)?;
    let named: BTreeSet<LayerDigest> =
        engine.store.read(|read| read.layers_in_use().map_err(error::store)).await?;
    let (kept, loose): (Vec<_>, Vec<_>) =
        layers.into_iter().partition(|l| l.in_use || named.contains(&l.digest));
    for layer in loose {
        match engine.runtime.layer_remove(&layer.digest).await {
            Ok(()) => {
                tracing::info!(layer.digest = %layer.digest, layer.bytes = layer.bytes, "removed an unused layer")
            }
            // Mounted again since we looked.
            Err(RuntimeError::Refused(_) | RuntimeError::NotFound(_)) => {}
            Err(failed) => return Err(error::runtime(failed)),
        }
    }
    Ok(kept.iter().map(|layer| layer.bytes).sum())
}

//! Layer images: those that no slug and no cache names.

use jiff::{SignedDuration, Timestamp};
use renga_model::{LayerDigest, Refusal};
use renga_ports::RuntimeError;

use crate::{Engine, error};

/// Times of files are some milliseconds behind the clock.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_millis(100);

pub(super) struct Layers {
    /// Of those that stay.
    pub(super) bytes: u64,
    /// Some that nothing names were packed a moment ago: look again.
    pub(super) any_young: bool,
}

/// Removes what nothing names.
pub(super) async fn sweep(engine: &Engine) -> Result<Layers, Refusal> {
    let (oldest_build, named) = engine
        .store
        .read(|read| -> Result<_, Refusal> {
            let oldest = read.build_list_unfinished()?.first().map(|build| build.created_at);
            Ok((oldest, read.layers_in_use()?))
        })
        .await?;
    // A build packs layers before the row that names them, and may find that one of them is there already.
    let packed_before = oldest_build.unwrap_or_else(|| engine.now()) - CLOCK_MARGIN;
    let mut layers = Layers { bytes: 0, any_young: false };
    for layer in engine.runtime.layers().await.map_err(error::runtime)? {
        let is_loose = !layer.in_use && !named.contains(&layer.digest);
        if is_loose && layer.packed_at < packed_before && remove(engine, &layer.digest, packed_before).await?
        {
            tracing::info!(layer.digest = %layer.digest, layer.bytes = layer.bytes, "removed an unused layer");
        } else {
            layers.bytes += layer.bytes;
            layers.any_young |= is_loose && oldest_build.is_none();
        }
    }
    Ok(layers)
}

/// False if it is needed after all: mounted, or packed again, since we looked.
async fn remove(engine: &Engine, layer: &LayerDigest, packed_before: Timestamp) -> Result<bool, Refusal> {
    match engine.runtime.layer_remove(layer, packed_before).await {
        Ok(()) | Err(RuntimeError::NotFound(_)) => Ok(true),
        Err(RuntimeError::Refused(_)) => Ok(false),
        Err(failed) => Err(error::runtime(failed)),
    }
}

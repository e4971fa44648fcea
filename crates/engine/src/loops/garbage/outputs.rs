//! Outputs of builds and release commands: those whose row is gone, and, when space is short, those of old builds and
//! releases.

use renga_model::Refusal;
use renga_ports::OutputInfo;

use crate::{Engine, error};

/// What is there, after what nobody owns has gone.
pub(super) struct Outputs {
    pub(super) bytes: u64,
    all: Vec<OutputInfo>,
}

pub(super) async fn sweep(engine: &Engine) -> Result<Outputs, Refusal> {
    let all = engine.logs.outputs().await.map_err(error::logs)?;
    let judged = engine.store.read(move |read| -> Result<_, Refusal> {
        let mut owned = Vec::with_capacity(all.len());
        for output in all {
            owned.push((read.output_has_owner(&output.name)?, output));
        }
        Ok(owned)
    });
    let mut kept = Outputs { bytes: 0, all: Vec::new() };
    for (is_owned, output) in judged.await? {
        if is_owned {
            kept.bytes += output.bytes;
            kept.all.push(output);
        } else {
            remove(engine, &output).await?;
        }
    }
    Ok(kept)
}

/// The oldest go first, until `bytes` are free or only those are left that are kept whole. False if none went.
pub(super) async fn remove_oldest(engine: &Engine, outputs: Outputs, bytes: u64) -> Result<bool, Refusal> {
    let keep = engine.settings.releases_kept;
    let needed = engine.store.read(move |read| read.outputs_kept(keep).map_err(error::store)).await?;
    let mut expendable: Vec<_> =
        outputs.all.into_iter().filter(|output| !needed.contains(&output.name)).collect();
    expendable.sort_by_key(|output| output.changed_at);
    let mut freed = 0;
    for output in &expendable {
        if freed >= bytes {
            break;
        }
        remove(engine, output).await?;
        freed += output.bytes;
    }
    Ok(!expendable.is_empty())
}

async fn remove(engine: &Engine, output: &OutputInfo) -> Result<(), Refusal> {
    tracing::info!(output = %output.name, output.bytes, "removed an old output");
    engine.logs.output_remove(&output.name).await.map_err(error::logs)
}

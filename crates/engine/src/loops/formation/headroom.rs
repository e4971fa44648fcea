//! What the planner is told of memory when successors are to start beside the dynos that serve.

use renga_model::{DynoName, Refusal};
use renga_planner::Action;
use renga_ports::RuntimeError;

use super::Facts;
use crate::{Engine, error, operations};

/// Two apps that roll at the same moment may both be given the same room: it is a promise, not what they take.
pub(super) async fn within(
    engine: &Engine,
    facts: &Facts,
    actions: Vec<Action>,
) -> Result<Vec<Action>, Refusal> {
    let live = facts.live(engine.settings.cycle_after);
    if !renga_planner::doubles(&actions, &live) {
        return Ok(actions);
    }
    let capacity = match engine.runtime.capacity().await {
        Ok(capacity) => capacity,
        // Nothing starts without the node; it judges for itself when it is back.
        Err(RuntimeError::Away(_)) => return Ok(actions),
        Err(failed) => return Err(error::runtime(failed)),
    };
    let settings = engine.settings.clone();
    let held_bytes = engine.store.read(move |read| operations::quotas_held(read, &settings)).await?;
    let policy = &engine.settings.memory;
    let room_bytes = policy.room_bytes(capacity.memory_bytes_total, capacity.memory_bytes_free, held_bytes);
    Ok(renga_planner::within(room_bytes, actions, &live, |name| quota(engine, facts, name)))
}

fn quota(engine: &Engine, facts: &Facts, name: &DynoName) -> u64 {
    let formation = facts.formation_of(name);
    formation.map_or(0, |formation| engine.settings.size(&formation.size).memory_bytes())
}

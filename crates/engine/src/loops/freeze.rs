//! Steps of the formation's pass with dynos that are frozen while their app sleeps.
//!
//! ```text
//! Up ──planned, row──> Frozen ──the router has let go──> frozen at the node ──app awake──> thawed at the node ──row──> Up
//!                        └──a request is under way: its app wakes────────────────────────────^
//! ```
//!
//! The row says it first, so that no route leads to what is frozen; it says `Up` again only when the node has thawed it.
//! What the node can't freeze is stopped instead, as if its time in the freezer were over.

use renga_model::{App, Dyno, DynoEvent, DynoId, DynoState, Refusal};
use renga_planner::Action;
use renga_ports::RuntimeError;
use renga_store::OrNone;

use super::formation::Facts;
use crate::{Engine, error, words};

/// Thaws what is to serve again. Whether there was any.
pub(super) async fn thaw(engine: &Engine, app: &App, actions: &[Action]) -> Result<bool, Refusal> {
    let mut moves = Vec::new();
    for action in actions {
        let Action::Thaw { id, name } = action else { continue };
        tracing::info!(app.name = %app.name, dyno.name = %name, dyno.id = %id, "thaw {name}: its app is awake");
        let event = match engine.runtime.thaw(*id).await {
            Ok(()) => DynoEvent::Thaw,
            Err(away @ RuntimeError::Away(_)) => return Err(error::runtime(away)),
            // Its end is about to be recorded, or it can't be helped: another takes its place.
            Err(failed) => {
                tracing::warn!(dyno.id = %id, "could not thaw {name}: {failed}");
                DynoEvent::Ask
            }
        };
        engine.asked.ask_again(*id);
        moves.push((*id, event));
    }
    if moves.is_empty() {
        return Ok(false);
    }
    move_frozen(engine, moves).await?;
    engine.wake.routes();
    engine.wake.formation(app.id);
    Ok(true)
}

/// Has the node freeze what the router has let go of.
pub(super) async fn freeze(engine: &Engine, facts: &Facts) -> Result<(), Refusal> {
    let frozen =
        || facts.dynos.iter().filter(|dyno| facts.sleep.is_some() && dyno.state == DynoState::Frozen);
    if frozen().any(|dyno| engine.published.is_kept(dyno.id)) {
        return stay_awake(engine, &facts.app, frozen()).await;
    }
    for dyno in frozen() {
        // Whoever publishes the table without it rings for the next look.
        if engine.published.has_left(dyno.id) && engine.asked.freeze(dyno.id) {
            ask_to_freeze(engine, dyno).await?;
        }
    }
    Ok(())
}

/// A request came while its app fell asleep.
async fn stay_awake(engine: &Engine, app: &App, frozen: impl Iterator<Item = &Dyno>) -> Result<(), Refusal> {
    let (id, now) = (app.id, engine.now());
    tracing::info!(app.name = %app.name, "an app wakes: a request came while it fell asleep");
    let lines: Vec<_> = frozen.map(|dyno| words::heroku(now, &dyno.name, words::UNIDLING)).collect();
    let wake = engine.store.write(move |tx| {
        tx.sleep_end(id, now)?;
        lines.iter().try_for_each(|line| tx.say(id, line))
    });
    wake.await.map_err(error::store)?;
    engine.wake.formation(id);
    Ok(())
}

async fn ask_to_freeze(engine: &Engine, dyno: &Dyno) -> Result<(), Refusal> {
    match engine.runtime.freeze(dyno.id).await {
        // It has ended: its exit is about to be recorded.
        Ok(()) | Err(RuntimeError::NotFound(_)) => Ok(()),
        Err(away @ RuntimeError::Away(_)) => {
            engine.asked.ask_again(dyno.id);
            Err(error::runtime(away))
        }
        Err(refused) => {
            tracing::warn!(dyno.id = %dyno.id, "could not freeze dyno {}, so it stops: {refused}", dyno.name);
            move_frozen(engine, vec![(dyno.id, DynoEvent::Ask)]).await?;
            engine.wake.routes();
            engine.wake.formation(dyno.app);
            Ok(())
        }
    }
}

/// Of rows that are still frozen.
async fn move_frozen(engine: &Engine, moves: Vec<(DynoId, DynoEvent)>) -> Result<(), Refusal> {
    let now = engine.now();
    let write = engine.store.write(move |tx| -> Result<(), Refusal> {
        for (id, event) in moves {
            let row = tx.dyno_fetch(id).or_none()?;
            if let Some(row) = row.filter(|row| row.state == DynoState::Frozen) {
                tx.dyno_move(id, row.generation, event, now)?;
            }
        }
        Ok(())
    });
    write.await
}

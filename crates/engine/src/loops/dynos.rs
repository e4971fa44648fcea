//! Steps that several loops take with a dyno.

use std::time::Duration;

use jiff::SignedDuration;
use renga_model::{Dyno, DynoEvent, DynoId, DynoSize, DynoState, Exit, ExitReason, LogLine, Refusal, Worker};
use renga_planner::Crashes;
use renga_ports::{DynoSpec, RuntimeError};

use crate::{DecisionKind, Engine, error, operations, words};
use renga_store::{OrNone, Read, Slot, Told};

/// A dyno that ran for so long and loses its supervisor is replaced at once.
const EXCUSED_AGE: SignedDuration = SignedDuration::from_secs(10);

/// Asks the node for a dyno whose row stands in `Starting`, unless this process has asked already. What can't be made
/// is recorded as an exit, so that the owner of the row sees it like any other end.
pub(crate) async fn ask_to_start(engine: &Engine, dyno: &Dyno, spec: DynoSpec) -> Result<(), Refusal> {
    if !engine.asked.start(dyno.id) {
        return Ok(());
    }
    match engine.runtime.start(spec).await {
        Ok(()) => Ok(()),
        Err(away @ RuntimeError::Away(_)) => {
            engine.asked.ask_again(dyno.id);
            Err(error::runtime(away))
        }
        Err(refused) => {
            tracing::warn!(dyno.id = %dyno.id, dyno.name = %dyno.name, "could not start dyno {}: {refused}", dyno.name);
            let reason = match refused {
                RuntimeError::NoRoom(why) => ExitReason::NoRoom(why),
                other => ExitReason::NotStarted(other.to_string()),
            };
            record_exit(engine, dyno, Exit::new(1, reason, engine.now())).await
        }
    }
}

/// Passes the wish to stop on to the node. When it could not be passed on, it is passed on with the next pass.
pub(crate) async fn ask_to_stop(engine: &Engine, dyno: DynoId, grace: Duration) -> Result<(), Refusal> {
    engine.runtime.stop(dyno, grace).await.map_err(|failed| {
        engine.asked.ask_again(dyno);
        error::runtime(failed)
    })
}

/// Ends a dyno of a destroyed app. The row moves first: one whose dyno was never begun would wait for ever for an exit
/// that nobody reports, but one that is asked to go and unknown to the node counts as gone.
pub(crate) async fn end_now(engine: &Engine, dyno: &Dyno) -> Result<(), Refusal> {
    let (id, generation, now) = (dyno.id, dyno.generation, engine.now());
    if dyno.state != DynoState::Stopping {
        let ask = engine.store.write(move |tx| tx.dyno_move(id, generation, DynoEvent::Ask, now).map(drop));
        ask.await.map_err(error::store)?;
    }
    engine.runtime.stop(id, Duration::ZERO).await.map_err(error::runtime)
}

/// Records how a dyno ended and tells whoever waits for it. A formation dyno that was asked to stop, or was frozen and so
/// did not end for anything that it did, leaves no row, unless its app sleeps: then it stays as `Exited` (idle) until it
/// wakes. One that ended by itself stays as `Exited` (crashed)
/// until its successor is planned. The rows of one-offs, builds and release commands are their loops' business.
pub(crate) async fn record_exit(engine: &Engine, dyno: &Dyno, exit: Exit) -> Result<(), Refusal> {
    let (row, ended, now) = (dyno.clone(), exit.clone(), engine.now());
    let lines = exit_lines(engine, dyno, &exit);
    let formation = dyno.worker == Worker::Formation;
    let recorded = engine.store.write(move |tx| -> Result<bool, Refusal> {
        let Some(current) = tx.dyno_fetch(row.id).or_none()? else { return Ok(false) };
        if current.state == DynoState::Exited {
            return Ok(false);
        }
        if formation && matches!(current.state, DynoState::Stopping | DynoState::Frozen) {
            match rests(tx, &current)? {
                true => {
                    let idled = Exit { reason: ExitReason::Idled, ..ended };
                    tx.dyno_set_exit(row.id, current.generation, &idled, now)?;
                }
                false => drop(tx.dyno_delete(row.id)?),
            }
        } else {
            tx.dyno_set_exit(row.id, current.generation, &ended, now)?;
            if formation {
                let slots = tx.slot_fetch_all(row.app)?;
                let before = slots.iter().find(|slot| slot.name == row.name);
                let before = before.map(|slot| Crashes { count: slot.crashes, last_at: slot.last_crash_at });
                if let Some(Crashes { count, last_at }) = counted(before, &row, &ended) {
                    tx.slot_put(&Slot {
                        app: row.app,
                        name: row.name,
                        crashes: count,
                        last_crash_at: last_at,
                    })?;
                }
            }
        }
        lines.iter().try_for_each(|line| tx.say(row.app, line))?;
        Ok(true)
    });
    let recorded = recorded.await?;
    boot_is_over(engine, dyno.id);
    if recorded {
        if formation {
            let how = operations::ended(&exit).trim_end().to_owned();
            engine.decisions.note(dyno.app, exit.at, &dyno.name, (DecisionKind::Ended, how));
        }
        wake_owner(engine, dyno).await?;
    }
    Ok(())
}

/// What is told of a dyno once, whoever comes to it again, before what it tells of is asked of the node. Where that fails,
/// so does the asking.
pub(crate) async fn tell(
    engine: &Engine,
    dyno: &Dyno,
    what: Told,
    texts: Vec<String>,
) -> Result<(), Refusal> {
    let (id, app, now) = (dyno.id, dyno.app, engine.now());
    let lines: Vec<_> = texts.into_iter().map(|text| words::heroku(now, &dyno.name, text)).collect();
    let tell = engine.store.write(move |tx| -> Result<(), Refusal> {
        if tx.dyno_tell(id, what)? {
            lines.iter().try_for_each(|line| tx.say(app, line))?;
        }
        Ok(())
    });
    tell.await.inspect_err(|_| engine.asked.ask_again(id))
}

/// Another may boot.
pub(crate) fn boot_is_over(engine: &Engine, dyno: DynoId) {
    if let Some(app) = engine.boots.over(dyno) {
        engine.wake.formations.ring(app);
    }
}

/// Whether it ends because its app sleeps.
fn rests(read: &Read<'_>, dyno: &Dyno) -> Result<bool, Refusal> {
    let asleep = read.sleep_fetch(dyno.app)?.is_some_and(|sleep| sleep.asleep);
    Ok(asleep && DynoSize::sleeps(&dyno.size))
}

/// What the end means for the next start. None: it may come at once, and nothing is held against the app.
fn counted(before: Option<Crashes>, row: &Dyno, exit: &Exit) -> Option<Crashes> {
    match exit.reason {
        ExitReason::NoRoom(_) => Some(Crashes::excused(exit.at)),
        // After a power cut, say; but a supervisor that dies at once must not be started in a circle.
        ExitReason::SupervisorLost if exit.at.duration_since(row.created_at) > EXCUSED_AGE => None,
        ExitReason::SupervisorLost => Some(Crashes::excused(exit.at)),
        ExitReason::Idled => None,
        ExitReason::Exited | ExitReason::OutOfMemory | ExitReason::GraceOver | ExitReason::NotStarted(_) => {
            Some(Crashes::one_more(before, row.created_at, exit.at))
        }
    }
}

/// What users are told of an end.
fn exit_lines(engine: &Engine, dyno: &Dyno, exit: &Exit) -> Vec<LogLine> {
    if dyno.worker == Worker::Build {
        return Vec::new();
    }
    let mut texts: Vec<String> = Vec::new();
    texts.extend(words::exit_error(exit, engine.settings.size(&dyno.size).memory_bytes()));
    if !matches!(exit.reason, ExitReason::NotStarted(_) | ExitReason::NoRoom(_)) {
        texts.push(words::exited(exit));
    }
    let to = match (&dyno.worker, dyno.state) {
        (Worker::Formation, DynoState::Stopping | DynoState::Frozen) => "down",
        (Worker::Formation, _) => "crashed",
        _ => "complete",
    };
    let from = if dyno.state == DynoState::Stopping { "up" } else { words::state(dyno.state) };
    texts.push(words::state_changed(from, to));
    texts.into_iter().map(|text| words::heroku(exit.at, &dyno.name, text)).collect()
}

/// Rings the bell of the loop that owns the row.
pub(crate) async fn wake_owner(engine: &Engine, dyno: &Dyno) -> Result<(), Refusal> {
    match &dyno.worker {
        Worker::Formation => {
            engine.wake.formation(dyno.app);
            engine.wake.routes();
        }
        Worker::OneOff(_) => engine.wake.one_off(dyno.id),
        Worker::ReleasePhase => engine.wake.releases(dyno.app),
        Worker::Build => {
            let unfinished =
                engine.store.read(|read| read.build_list_unfinished().map_err(error::store)).await?;
            unfinished
                .iter()
                .filter(|build| build.dyno == dyno.id)
                .for_each(|build| engine.wake.builds(build.id));
        }
    }
    Ok(())
}

/// Frees what the node holds of an exited dyno, once its output has been taken over.
pub(crate) async fn forget(engine: &Engine, dyno: DynoId) -> Result<(), Refusal> {
    engine.logs.drained(dyno).await.map_err(error::logs)?;
    free(engine, dyno).await
}

/// The same for a dyno whose output nobody follows.
pub(crate) async fn free(engine: &Engine, dyno: DynoId) -> Result<(), Refusal> {
    match engine.runtime.forget(dyno).await {
        Ok(()) | Err(RuntimeError::NotFound(_)) => {
            engine.asked.ask_again(dyno);
            Ok(())
        }
        Err(failed) => Err(error::runtime(failed)),
    }
}

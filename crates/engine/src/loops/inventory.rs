//! Seen: what the node reports becomes rows.
//!
//! Every look compares the whole inventory with all rows. What runs with a row is adopted; what has exited is
//! recorded and, when nobody wants to look into it any more, forgotten; what runs without a row and was met twice is
//! stopped. A row whose dyno the node does not know is asked for again (`Starting`) or counts as lost (`Up`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use renga_model::{Dyno, DynoEvent, DynoId, DynoState, Exit, ExitReason, Refusal, Worker};
use renga_ports::{DynoPhase, DynoReport};
use tokio_util::sync::CancellationToken;

use super::dynos::{boot_is_over, forget, record_exit, wake_owner};
use crate::{Engine, error, words};

/// Pause after a look that failed.
const RETRY: Duration = Duration::from_millis(200);

pub(crate) async fn run(engine: Engine, cancel: CancellationToken) {
    let mut memory = Memory::default();
    loop {
        let turn = async {
            let looked = look(&engine, &mut memory).await;
            let changed = engine.runtime.changed().await;
            let looked_badly = looked.is_err();
            if let Err(refusal) = looked {
                let context = refusal.context.as_deref().unwrap_or_default();
                tracing::warn!("could not take the inventory: {refusal} {context}");
                tokio::time::sleep(RETRY).await;
            }
            memory.node_was_away |= looked_badly || changed.is_err();
            if changed.is_err() {
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = turn => {}
        }
    }
}

/// What was met once and is judged only when met again.
#[derive(Default)]
struct Memory {
    strangers: BTreeSet<DynoId>,
    /// With the row's generation: what it was when the first look missed it. A dyno that was begun, and asked to go,
    /// between an inventory and the rows is not lost.
    missing: BTreeMap<DynoId, u64>,
    /// It may be another process now, which knows nothing of what the one before was asked for a moment ago.
    node_was_away: bool,
}

async fn look(engine: &Engine, memory: &mut Memory) -> Result<(), Refusal> {
    // The inventory first: a row that is younger than it can only be `Planned` or `Starting`.
    let reports = engine.runtime.inventory().await.map_err(error::runtime)?;
    let rows = engine.store.read(|read| read.dyno_list().map_err(error::store)).await?;
    let reports: BTreeMap<_, _> = reports.into_iter().map(|report| (report.id, report)).collect();

    let begun = reports.values().filter_map(|report| Some((report.id, report.started_at?)));
    engine.asked.set_begun(begun.collect());
    if std::mem::take(&mut memory.node_was_away) {
        ask_all_again(engine, &rows).await?;
    }
    let mut missing = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state != DynoState::Exited) {
        match reports.get(&row.id) {
            Some(report) => adopt(engine, row, report).await?,
            None => {
                missing.insert(row.id, row.generation);
                if memory.missing.get(&row.id) == Some(&row.generation) {
                    miss(engine, row).await?;
                }
            }
        }
    }
    memory.missing = missing;
    memory.strangers = dispose(engine, &reports, &memory.strangers).await?;
    Ok(())
}

async fn ask_all_again(engine: &Engine, rows: &[Dyno]) -> Result<(), Refusal> {
    for row in rows.iter().filter(|row| row.state != DynoState::Exited) {
        engine.asked.ask_again(row.id);
        wake_owner(engine, row).await?;
    }
    Ok(())
}

/// Formation dynos leave nothing that anybody reads after their exit; builds and others are forgotten by their loops.
fn is_done_with(row: &Dyno) -> bool {
    row.state == DynoState::Exited && row.worker == Worker::Formation
}

async fn adopt(engine: &Engine, row: &Dyno, report: &DynoReport) -> Result<(), Refusal> {
    if let DynoPhase::Exited(exit) = &report.phase {
        follow(engine, row);
        return record_exit(engine, row, exit.clone()).await;
    }
    follow(engine, row);
    reconcile_freeze(engine, row, report).await?;
    if report.phase == DynoPhase::Ready && row.state == DynoState::Starting {
        let (id, generation, address, now) = (row.id, row.generation, report.address, engine.now());
        let line = words::heroku(now, &row.name, words::state_changed("starting", "up"));
        let told = (row.worker != Worker::Build).then_some((row.app, line));
        let up = engine.store.write(move |tx| -> Result<(), Refusal> {
            if let Some(address) = address {
                tx.dyno_set_address(id, address)?;
            }
            tx.dyno_move(id, generation, DynoEvent::Ready, now)?;
            told.iter().try_for_each(|(app, line)| tx.say(*app, line))?;
            Ok(())
        });
        up.await?;
        boot_is_over(engine, row.id);
        wake_owner(engine, row).await?;
    }
    Ok(())
}

/// After a crash of either side between asking and doing.
async fn reconcile_freeze(engine: &Engine, row: &Dyno, report: &DynoReport) -> Result<(), Refusal> {
    match (row.state, report.frozen) {
        (DynoState::Frozen, false) if engine.asked.has_frozen(row.id) => {
            engine.asked.ask_again(row.id);
            wake_owner(engine, row).await
        }
        // One that is to stop is thawed by that.
        (DynoState::Planned | DynoState::Starting | DynoState::Up, true) => {
            // Between the report and the row it may have been thawed; then this changes nothing.
            engine.runtime.thaw(row.id).await.map_err(error::runtime)
        }
        _ => Ok(()),
    }
}

/// Output of formation dynos and detached one-offs belongs in the app's log.
fn follow(engine: &Engine, row: &Dyno) {
    let to_log = match &row.worker {
        Worker::Formation => true,
        Worker::OneOff(one_off) => one_off.attach_hash.is_none(),
        Worker::ReleasePhase | Worker::Build => false,
    };
    if to_log {
        engine.logs.follow_dyno(row.app, row.id, &row.name.to_string());
    }
}

async fn miss(engine: &Engine, row: &Dyno) -> Result<(), Refusal> {
    match row.state {
        DynoState::Planned | DynoState::Starting => {
            engine.asked.ask_again(row.id);
            wake_owner(engine, row).await
        }
        _ => record_exit(engine, row, Exit::new(137, ExitReason::SupervisorLost, engine.now())).await,
    }
}

/// Clears away what no row needs any more, exits that were recorded a moment ago among it. Returns the strangers met
/// this time.
async fn dispose(
    engine: &Engine,
    reports: &BTreeMap<DynoId, DynoReport>,
    met: &BTreeSet<DynoId>,
) -> Result<BTreeSet<DynoId>, Refusal> {
    let rows = engine.store.read(|read| read.dyno_list().map_err(error::store)).await?;
    let needed: BTreeSet<_> = rows.iter().filter(|row| !is_done_with(row)).map(|row| row.id).collect();
    let mut now_met = BTreeSet::new();
    for report in reports.values().filter(|report| !needed.contains(&report.id)) {
        now_met.insert(report.id);
        if let Err(refusal) = clear_away(engine, report, met.contains(&report.id)).await {
            let context = refusal.context.as_deref().unwrap_or_default();
            tracing::warn!(dyno.id = %report.id, "could not clear away dyno {}: {refusal} {context}", report.id);
        }
    }
    Ok(now_met)
}

async fn clear_away(engine: &Engine, report: &DynoReport, met_before: bool) -> Result<(), Refusal> {
    if matches!(report.phase, DynoPhase::Exited(_)) {
        forget(engine, report.id).await?;
        // Its layers may have been all that an app which is gone had left.
        engine.wake.garbage();
    } else if met_before {
        tracing::warn!(dyno.id = %report.id, "a dyno runs that no row wants: stopping {}", report.id);
        engine.runtime.stop(report.id, Duration::ZERO).await.map_err(error::runtime)?;
    }
    Ok(())
}

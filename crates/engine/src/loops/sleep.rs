//! Sleep: which apps fall asleep for want of web traffic, and which wake because a request waits for them.
//!
//! ```text
//! awake ──quiet for `sleep_after`──> asleep, frozen ──`freeze_for` is over, memory is short──> asleep, stopped
//!   ^                                       │                                                        │
//!   └──a request waits; a release, a restart, another formation (the operations do it)───────────────┘
//! ```
//!
//! Asleep is a row: the formation freezes or stops what rests, the routes say so to the router, which holds requests
//! then and answers a question that this loop always has open. The router alone knows when an app had its last request;
//! it forgets when it is started anew, and then all apps count as just asked for. This process remembers nothing.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use renga_model::{AppId, DynoId, DynoName, DynoSize, DynoState, Refusal, Worker};
use renga_planner::{FrozenApp, MemorySeen, Sleeper, falls_asleep, frozen_until, to_stop};
use renga_ports::Traffic;
use renga_store::{OrNone, Read, Sleep};
use tokio_util::sync::CancellationToken;

use crate::{Engine, error, words};

/// How often it is looked whether apps have become quiet: twice in the time that makes them tired, within these bounds.
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(10);
/// Pause after requests waited: until the router hears that their app is awake, it says the same again.
const WOKEN_PAUSE: Duration = Duration::from_millis(25);
/// Pause after the router did not answer.
const RETRY: Duration = Duration::from_millis(100);

pub(crate) async fn run(engine: Engine, cancel: CancellationToken) {
    while let Some(pause) = cancel.run_until_cancelled(turn(&engine)).await {
        if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn every(sleep_after: Option<Duration>) -> Duration {
    sleep_after.map_or(EVERY_MAX, |after| (after / 2).clamp(EVERY_MIN, EVERY_MAX))
}

/// One question and what follows from its answer. How long to pause.
async fn turn(engine: &Engine) -> Duration {
    let traffic = match engine.routes.traffic(every(engine.settings.sleep_after)).await {
        Ok(traffic) => traffic,
        Err(away) => {
            tracing::debug!("could not ask for traffic: {away}");
            return RETRY;
        }
    };
    let pause = if traffic.waiting.is_empty() { Duration::ZERO } else { WOKEN_PAUSE };
    let acted = match wake(engine, traffic.waiting.clone()).await {
        Ok(()) => put_to_sleep(engine, traffic).await,
        failed => failed,
    };
    let acted = match acted {
        Ok(()) => stop_for_memory(engine).await,
        failed => failed,
    };
    match acted {
        Ok(()) => pause,
        Err(refusal) => {
            let context = refusal.context.as_deref().unwrap_or_default();
            tracing::warn!("could not wake apps or put them to sleep: {refusal} {context}");
            RETRY
        }
    }
}

// === waking ===

/// Those of them that sleep.
pub(crate) async fn wake(engine: &Engine, apps: BTreeSet<AppId>) -> Result<(), Refusal> {
    if apps.is_empty() {
        return Ok(());
    }
    let asleep = engine.store.read(move |read| asleep(read, apps)).await?;
    if asleep.is_empty() {
        // They are awake already, and the router is about to hear of it.
        return Ok(());
    }
    let now = engine.now();
    let woken = engine.store.write(move |tx| -> Result<_, Refusal> {
        let asleep = self::asleep(tx, asleep)?;
        for app in &asleep {
            tx.sleep_end(*app, now)?;
            for name in resting(tx, *app)? {
                tx.say(*app, &words::heroku(now, name, words::UNIDLING))?;
            }
        }
        Ok(asleep)
    });
    for app in woken.await? {
        tracing::info!(app.id = %app, "an app wakes: a request waits for it");
        engine.wake.formation(app);
    }
    engine.wake.routes();
    Ok(())
}

fn asleep(read: &Read<'_>, apps: BTreeSet<AppId>) -> Result<BTreeSet<AppId>, Refusal> {
    let mut asleep = BTreeSet::new();
    for app in apps {
        if read.sleep_fetch(app)?.is_some_and(|sleep| sleep.asleep) {
            asleep.insert(app);
        }
    }
    Ok(asleep)
}

/// The web dynos that come back.
fn resting(read: &Read<'_>, app: AppId) -> Result<Vec<DynoName>, Refusal> {
    let formation = read.formation_list(app)?.into_iter();
    let web = formation.filter(|row| row.process_type.is_web() && DynoSize::sleeps(&row.size));
    Ok(web
        .flat_map(|row| (1..=row.quantity).map(move |n| DynoName::new(row.process_type.clone(), n)))
        .collect())
}

// === falling asleep ===

async fn put_to_sleep(engine: &Engine, traffic: Traffic) -> Result<(), Refusal> {
    let (after, now) = (engine.settings.sleep_after, engine.now());
    // Most looks end here: nothing is read while every app has traffic.
    let Some(shortest) = after.filter(|after| traffic.idle.values().any(|idle| idle >= after)) else {
        return Ok(());
    };
    let quiet = move |read: &Read<'_>| -> Result<Vec<AppId>, Refusal> {
        let mut sleepers = sleepers(read, &traffic)?;
        sleepers.retain(|sleeper| falls_asleep(sleeper, Some(shortest), now));
        Ok(sleepers.into_iter().map(|sleeper| sleeper.app).collect())
    };
    let tired = engine.store.read(quiet.clone()).await?;
    if tired.is_empty() {
        return Ok(());
    }
    let memory = memory(engine).await;
    let settings = &engine.settings;
    let frozen_until = frozen_until(settings.freeze_for, memory, settings.memory.reserve_bytes, now);
    let sleep = engine.store.write(move |tx| -> Result<_, Refusal> {
        // Looked at again: a release may have come between.
        let tired = quiet(tx)?;
        let sleep = |app: &AppId| Sleep { app: *app, asleep: true, frozen_until, since: now };
        tired.iter().try_for_each(|app| tx.sleep_put(sleep(app)))?;
        Ok(tired)
    });
    for app in sleep.await? {
        tracing::info!(app.id = %app, "an app falls asleep: it had no web traffic");
        engine.wake.formation(app);
    }
    engine.wake.routes();
    Ok(())
}

/// Apps that are awake and have a web dyno up of a size that sleeps.
fn sleepers(read: &Read<'_>, traffic: &Traffic) -> Result<Vec<Sleeper>, Refusal> {
    let web = |dyno: &renga_model::Dyno| {
        dyno.worker == Worker::Formation
            && dyno.name.process_type().is_web()
            && dyno.state == DynoState::Up
            && DynoSize::sleeps(&dyno.size)
    };
    let apps: BTreeSet<_> = read.dyno_list()?.into_iter().filter(web).map(|dyno| dyno.app).collect();
    let mut sleepers = Vec::new();
    for app in apps {
        let Some(row) = read.app_fetch(app).or_none()? else { continue };
        let awake_since = match read.sleep_fetch(app)? {
            Some(sleep) if sleep.asleep => continue,
            Some(sleep) => sleep.since,
            None => row.released_at.unwrap_or(row.created_at),
        };
        sleepers.push(Sleeper { app, awake_since, idle: traffic.idle.get(&app).copied() });
    }
    Ok(sleepers)
}

// === stopping what is frozen ===

/// None: the node does not tell.
async fn memory(engine: &Engine) -> Option<MemorySeen> {
    let capacity = engine.runtime.capacity().await;
    let capacity =
        capacity.inspect_err(|error| tracing::debug!("could not ask for free memory: {error}")).ok()?;
    Some(MemorySeen {
        free_bytes: capacity.memory_bytes_free,
        stalled_percent: capacity.memory_stalled_percent,
    })
}

/// What is frozen holds memory for nothing but speed: it is the first to go.
async fn stop_for_memory(engine: &Engine) -> Result<(), Refusal> {
    let now = engine.now();
    let frozen = engine.store.read(move |read| frozen(read, now)).await?;
    if frozen.is_empty() {
        return Ok(());
    }
    let Some(memory) = memory(engine).await else { return Ok(()) };
    let min = engine.settings.memory.reserve_bytes;
    let apps = frozen.iter().map(|(sleep, _)| FrozenApp { app: sleep.app, since: sleep.since, bytes: 0 });
    if to_stop(apps.collect(), memory, min).is_empty() {
        // Most looks end here: what each holds is asked for only when some must go.
        return Ok(());
    }
    let goes = to_stop(held(engine, &frozen).await?, memory, min);
    let stop = goes.clone();
    let write = engine.store.write(move |tx| -> Result<(), Refusal> {
        for app in stop {
            // It may have woken meanwhile.
            if let Some(sleep) = tx.sleep_fetch(app)?.filter(|sleep| sleep.asleep) {
                tx.sleep_put(Sleep { frozen_until: None, ..sleep })?;
            }
        }
        Ok(())
    });
    write.await?;
    for app in goes {
        tracing::info!(app.id = %app, "an app that is frozen is stopped: memory is short");
        engine.wake.formation(app);
    }
    Ok(())
}

type Frozen = Vec<(Sleep, Vec<DynoId>)>;

/// Apps that have a frozen dyno.
fn frozen(read: &Read<'_>, now: Timestamp) -> Result<Frozen, Refusal> {
    let mut frozen = Frozen::new();
    for sleep in read.sleep_list_frozen(now)? {
        let dynos = read.dyno_list_for_app(sleep.app)?.into_iter();
        let ids: Vec<_> = dynos.filter(|d| d.state == DynoState::Frozen).map(|dyno| dyno.id).collect();
        if !ids.is_empty() {
            frozen.push((sleep, ids));
        }
    }
    Ok(frozen)
}

async fn held(engine: &Engine, frozen: &Frozen) -> Result<Vec<FrozenApp>, Refusal> {
    let usage = engine.runtime.usage().await.map_err(error::runtime)?;
    let held = frozen.iter().map(|(sleep, dynos)| {
        let of_app = usage.iter().filter(|usage| dynos.contains(&usage.id));
        let bytes = of_app.map(|usage| usage.memory.counted_bytes()).fold(0, u64::saturating_add);
        FrozenApp { app: sleep.app, since: sleep.since, bytes }
    });
    Ok(held.collect())
}

//! What may happen in one step: something that a user asks for, something that breaks, or time.

use std::{collections::BTreeMap, time::Duration};

use rand::Rng as _;
use renga_engine::operations::{AppChange, AppNew, FEATURES, FormationChange, OneOffNew, Quantity, builds};
use renga_model::{App, AppId, BuildSource, DynoKind, ProcessType, Secret};

use super::runner::Runner;
use crate::plane::Bench;

/// The release command of slugs that declare one.
pub(crate) const MIGRATE: &str = "migrate";
const SERVE: &str = "serve";
const APPS_MAX: usize = 3;
/// Looks at the node for which it is away at most.
const LOOKS_MAX: usize = 100;

/// What slugs declare. Web is not always among it.
const DECLARED: [&[(&str, &str)]; 5] = [
    &[("web", SERVE)],
    &[("web", SERVE), ("worker", "work")],
    &[("web", SERVE), ("release", MIGRATE)],
    &[("web", SERVE), ("worker", "work"), ("clock", "tick"), ("release", MIGRATE)],
    &[("worker", "work")],
];

pub(crate) async fn step(runner: &mut Runner) {
    if runner.apps.is_empty() {
        return create(runner).await;
    }
    match runner.rng.random_range(0..100) {
        0..4 => create(runner).await,
        4..20 => push(runner).await,
        20..30 => config(runner).await,
        30..40 => scale(runner).await,
        40..47 => restart(runner).await,
        47..52 => stop(runner).await,
        52..57 => rollback(runner).await,
        57..60 => maintain(runner).await,
        60..63 => preboot(runner).await,
        63..66 => run(runner).await,
        66..68 => destroy(runner).await,
        68..76 => end_one(runner).await,
        76..80 => break_boots(runner),
        80..84 => node(runner).await,
        84..86 => router(runner),
        86..91 => {
            runner.tell("the plane is killed");
            runner.follow().await;
        }
        _ => time(runner).await,
    }
    if runner.chance(60) {
        let time = runner.pick(&[1, 10, 50, 200, 1_000, 5_000]);
        runner.pass(Duration::from_millis(time)).await;
    }
}

// === what users ask for ===

async fn create(runner: &mut Runner) {
    if runner.apps.len() >= APPS_MAX {
        return;
    }
    runner.tell("create an app");
    let account = runner.bench.account.clone();
    let app = runner.ask(async |engine| engine.app_create(&account, AppNew::default()).await).await;
    match app {
        Some(app) => runner.apps.push(app.id),
        // It may be there all the same.
        None => runner.apps = runner.bench.read(|read| read.app_list()).await.iter().map(|a| a.id).collect(),
    }
}

async fn one_app(runner: &mut Runner) -> Option<App> {
    let apps = runner.apps.clone();
    let app: AppId = runner.pick(&apps);
    let rows = runner.bench.read(|read| read.app_list()).await;
    rows.into_iter().find(|row| row.id == app)
}

async fn push(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let declared = runner.pick(&DECLARED);
    let code = runner.pick(&[Some(0), Some(0), Some(0), Some(1), None]);
    let migration = runner.pick(&[Some(0), Some(0), Some(1), None]);
    let names: Vec<_> = declared.iter().map(|(name, _)| *name).collect();
    runner.tell(format!("push to {}: {names:?}, build {code:?}, migration {migration:?}", app.name));
    let world = &runner.bench.world;
    world.builds_declare(declared);
    world.builds_end(code);
    match migration {
        Some(code) => world.exits(MIGRATE, code),
        None => world.runs(MIGRATE),
    }
    runner.commits += 1;
    let commit = format!("{:040x}", runner.commits);
    let source = BuildSource::Git { commit, branch: "main".into(), previous: None };
    let user = runner.bench.account.id;
    runner.ask(async |engine| builds::create(&engine, app.id, user, source.clone(), Vec::new()).await).await;
}

async fn config(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let key = runner.pick(&["A", "B", "C"]);
    let value = runner.chance(70).then(|| runner.rng.random_range(0..100).to_string());
    let account = runner.bench.account.clone();
    // Several in a row, as scripts do.
    for turn in 0..runner.pick(&[1, 1, 1, 2, 4]) {
        let value = value.as_ref().map(|value| Secret::new(format!("{value}-{turn}")));
        runner.tell(format!("{} {key} of {}", if value.is_some() { "set" } else { "unset" }, app.name));
        let changes = BTreeMap::from([(key.parse().unwrap(), value)]);
        runner.ask(async |engine| engine.config_patch(&app, &account, changes.clone()).await).await;
        runner.pass(Duration::from_millis(30)).await;
    }
}

async fn scale(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let process_type: ProcessType = runner.pick(&["web", "web", "worker", "clock"]).parse().unwrap();
    let quantity = runner.rng.random_range(0..4u32);
    let size = runner.chance(20).then(|| runner.pick(&["standard-1x", "standard-2x"]).to_owned());
    runner.tell(format!("scale {process_type} of {} to {quantity} {size:?}", app.name));
    let (account, of) = (runner.bench.account.clone(), process_type.clone());
    let change = FormationChange { process_type, quantity: Some(Quantity::Set(quantity.into())), size };
    let ask = async |engine: renga_engine::Engine| {
        engine.formation_update(&app, &account, vec![change.clone()]).await
    };
    let done = runner.ask(ask).await.is_some();
    let promised = &mut runner.promised.entry(app.id).or_default().quantities;
    match done {
        true => promised.insert(of, quantity),
        false => promised.remove(&of),
    };
}

async fn restart(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let what = runner.pick(&["", "web", "worker", "web.1", "web.2", "worker.1"]);
    runner.tell(format!("restart {what:?} of {}", app.name));
    let ask = async |engine: renga_engine::Engine| match what {
        "" => engine.dynos_restart_all(app.id).await,
        "web" | "worker" => engine.dynos_restart_type(app.id, what).await,
        _ => engine.dyno_restart(app.id, what).await,
    };
    runner.ask(ask).await;
}

async fn stop(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let what = runner.pick(&["web", "worker", "web.1", "worker.1", "clock.1"]);
    runner.tell(format!("stop {what:?} of {}", app.name));
    let ask = async |engine: renga_engine::Engine| match what {
        "web" | "worker" => engine.dynos_stop_type(app.id, what).await,
        _ => engine.dyno_stop(app.id, what).await,
    };
    runner.ask(ask).await;
}

async fn rollback(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let version = runner.rng.random_range(2..8).to_string();
    runner.tell(format!("roll {} back to v{version}", app.name));
    let account = runner.bench.account.clone();
    runner.ask(async |engine| engine.release_rollback(&app, &account, &version).await).await;
}

async fn maintain(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let on = runner.chance(50);
    runner.tell(format!("maintenance of {}: {on}", app.name));
    let change = AppChange { maintenance: Some(on), ..AppChange::default() };
    let done = runner.ask(async |engine| engine.app_update(app.id, change.clone()).await).await;
    runner.promised.entry(app.id).or_default().maintenance = done.map(|_| on);
}

async fn preboot(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    let (on, feature) = (runner.chance(50), FEATURES.iter().find(|f| f.name == "preboot").unwrap());
    runner.tell(format!("preboot of {}: {on}", app.name));
    runner.ask(async |engine| engine.feature_set(app.id, feature, on).await).await;
}

async fn run(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    runner.tell(format!("run a one-off of {}", app.name));
    let account = runner.bench.account.clone();
    let new = OneOffNew { command: "rake".into(), ..OneOffNew::default() };
    runner.ask(async |engine| engine.one_off_create(&app, &account, new.clone()).await).await;
}

async fn destroy(runner: &mut Runner) {
    let Some(app) = one_app(runner).await else { return };
    runner.tell(format!("destroy {}", app.name));
    runner.apps.retain(|id| *id != app.id);
    if runner.ask(async |engine| engine.app_destroy(app.id).await).await.is_none() {
        // It may be there still.
        runner.apps = runner.bench.read(|read| read.app_list()).await.iter().map(|app| app.id).collect();
    }
}

// === what breaks ===

async fn end_one(runner: &mut Runner) {
    let alive: Vec<_> = runner.bench.world.alive().into_iter().collect();
    if alive.is_empty() {
        return;
    }
    // By name, so that a seed takes the same one whatever its id.
    let mut alive = alive;
    alive.sort_by_key(|(id, spec)| (spec.name.clone(), *id));
    let (id, spec) = runner.pick(&alive);
    let code = runner.pick(&[0, 1, 137]);
    runner.tell(format!("{} ends with {code}", spec.name));
    runner.bench.world.end(id, code);
}

fn break_boots(runner: &mut Runner) {
    if runner.chance(40) {
        runner.tell("web dynos don't get ready from now on");
        runner.bench.world.never_ready(SERVE);
    } else {
        runner.tell("all dynos get ready");
        runner.bench.world.all_get_ready();
    }
}

/// The node process starts again; its dynos live on. What it was asked for at its end may be lost with it.
async fn node(runner: &mut Runner) {
    let world = runner.bench.world.clone();
    if runner.chance(50) {
        runner.tell("the node loses what it is asked for");
        world.node_fails();
        runner.pass(Duration::from_millis(300)).await;
    }
    runner.tell("the node is away, and comes back");
    world.node_goes();
    // A node that comes back within one look at it would not have been away for anybody.
    for _ in 0..LOOKS_MAX {
        runner.pass(Duration::from_millis(200)).await;
        if world.node_is_missed() {
            break;
        }
    }
    world.node_comes();
}

fn router(runner: &mut Runner) {
    let ahead = runner.chance(30);
    runner.tell(format!("the router starts again, ahead of the ledger: {ahead}"));
    let generation = if ahead { runner.bench.world.table().generation + 100 } else { 0 };
    runner.bench.world.router_restarts(generation);
}

async fn time(runner: &mut Runner) {
    let seconds = runner.pick(&[1, 20, 70, 300, 900]);
    runner.tell(format!("{seconds} s pass"));
    runner.move_clock(Duration::from_secs(seconds)).await;
}

/// Ends whatever runs until it is told.
pub(crate) async fn let_go(bench: &Bench) {
    for (id, spec) in bench.world.alive() {
        if spec.kind != DynoKind::Formation {
            bench.world.end(id, 0);
        }
    }
}

//! Deploys where memory is short: one by one, then the old dyno first; they always come to their end.

use std::collections::BTreeMap;

use renga_engine::operations::{AppNew, FormationChange, Quantity};
use renga_model::{App, BuildStatus, DynoState, Secret};
use renga_planner::Overcommit;
use renga_testkit::world::Faults;

use crate::plane::{Bench, Plane, build_ends, until};

/// Memory of the simulated machine, and the quota of a Basic dyno.
const MACHINE_BYTES: u64 = 1 << 35;
const QUOTA_BYTES: u64 = 512 << 20;
const STOPS_FIRST: &str =
    "No memory is free for a second dyno beside this one: it stops before its successor starts";

/// A machine that holds so many Basic dynos.
fn machine_of(dynos: u64) -> Overcommit {
    Overcommit { reserve_bytes: MACHINE_BYTES - dynos * QUOTA_BYTES, overcommit_percent: 100 }
}

async fn two_dynos(bench: &Bench, plane: &Plane) -> App {
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(bench, &build, BuildStatus::Succeeded).await;
    scale(bench, plane, &app, 2).await;
    app
}

async fn scale(bench: &Bench, plane: &Plane, app: &App, dynos: i64) {
    let (process_type, quantity) = ("web".parse().unwrap(), Some(Quantity::Set(dynos)));
    let change = FormationChange { process_type, quantity, size: None };
    plane.engine.formation_update(app, &bench.account, vec![change]).await.unwrap();
    until("all to be up", async || all_run_the_newest(bench, app, dynos).await).await;
}

async fn all_run_the_newest(bench: &Bench, app: &App, dynos: i64) -> bool {
    let newest = bench.releases(app.id).await.last().map(|release| release.id);
    let rows = bench.dynos(app.id).await;
    rows.len() == usize::try_from(dynos).unwrap()
        && rows.iter().all(|dyno| dyno.state == DynoState::Up && dyno.release == newest)
}

/// Deploys and waits for its end. Returns how many dynos ran at one time meanwhile, and how many stopped first.
async fn roll(bench: &Bench, plane: &Plane, app: &App, dynos: i64) -> (usize, usize) {
    bench.world.most_at_once();
    let before = stopped_first(bench, app);
    let version = bench.releases(app.id).await.len().to_string();
    let changes = BTreeMap::from([("VERSION".parse().unwrap(), Some(Secret::new(version)))]);
    plane.engine.config_patch(app, &bench.account, changes).await.unwrap();
    until("the roll's end", async || all_run_the_newest(bench, app, dynos).await).await;
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    (bench.world.most_at_once(), stopped_first(bench, app) - before)
}

fn stopped_first(bench: &Bench, app: &App) -> usize {
    bench.world.log(app.id).iter().filter(|line| line.ends_with(STOPS_FIRST)).count()
}

#[tokio::test(start_paused = true)]
async fn a_deploy_rolls_within_the_memory_there_is() {
    let mut bench = Bench::new().await;
    for (tune, expected) in [
        ((|settings| settings.memory = machine_of(2)) as fn(&mut renga_engine::Settings), (2, 2)),
        (|settings| settings.memory = machine_of(3), (3, 0)),
        (|settings| settings.memory = machine_of(4), (4, 0)),
    ] {
        bench.tune = tune;
        let plane = bench.start(&Faults::none()).await;
        let app = two_dynos(&bench, &plane).await;
        assert_eq!(roll(&bench, &plane, &app, 2).await, expected);
        plane.engine.app_destroy(app.id).await.unwrap();
        until("the app to go", async || !bench.app_exists(app.id).await).await;
        plane.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_dyno_stops_first_too_and_a_crash_on_the_way_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| settings.memory = machine_of(1);
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    assert_eq!(roll(&bench, &plane, &app, 1).await, (1, 1));
    let old = bench.dynos(app.id).await[0].id;
    let changes = BTreeMap::from([("A".parse().unwrap(), Some(Secret::new("1")))]);
    plane.engine.config_patch(&app, &bench.account, changes).await.unwrap();
    until("the old dyno to be asked", async || {
        let dynos = bench.dynos(app.id).await;
        !dynos.iter().any(|dyno| dyno.id == old && dyno.state == DynoState::Up)
    })
    .await;
    plane.kill().await;
    let plane = bench.start(&Faults::none()).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    assert_eq!(bench.world.most_at_once(), 1);
    plane.kill().await;
}

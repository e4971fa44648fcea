//! Daily cycling, and the order in which dynos are replaced.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::operations::{AppNew, FEATURES, FormationChange, Quantity};
use renga_model::{App, BuildStatus, DynoState, Secret, WebState, limits};
use renga_testkit::world::Faults;

use crate::plane::{Bench, Plane, build_ends, until};

/// Longer than any dyno's day.
const DAY: Duration = Duration::from_secs(28 * 60 * 60);

async fn app_of(bench: &Bench, plane: &Plane, workers: i64) -> App {
    bench.world.builds_declare(&[("web", "serve"), ("worker", "work")]);
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(bench, &build, BuildStatus::Succeeded).await;
    let (process_type, quantity) = ("worker".parse().unwrap(), Some(Quantity::Set(workers)));
    let change = FormationChange { process_type, quantity, size: None };
    plane.engine.formation_update(&app, &bench.account, vec![change]).await.unwrap();
    let wanted = usize::try_from(workers).unwrap() + 1;
    until("all to be up", async || ups(bench, &app).await.len() == wanted).await;
    app
}

/// Ids of the dynos that are up, if nothing else is there.
async fn ups(bench: &Bench, app: &App) -> Vec<renga_model::DynoId> {
    let dynos = bench.dynos(app.id).await;
    let all_up = dynos.iter().all(|dyno| dyno.state == DynoState::Up);
    if all_up { dynos.iter().map(|dyno| dyno.id).collect() } else { Vec::new() }
}

fn told(bench: &Bench, app: &App, line: &str) -> usize {
    bench.world.log(app.id).iter().filter(|seen| *seen == line).count()
}

#[tokio::test(start_paused = true)]
async fn after_a_day_every_dyno_is_replaced_in_the_order_of_its_type() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, 1).await;
    let first = ups(&bench, &app).await;
    bench.world.clock().advance(limits::CYCLE_AFTER - Duration::from_secs(60));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ups(&bench, &app).await, first);

    bench.world.never_ready("serve");
    bench.world.clock().advance(DAY - limits::CYCLE_AFTER);
    until("web.1's successor and another worker.1", async || {
        let dynos = bench.dynos(app.id).await;
        let web = |state| dynos.iter().any(|d| d.name.to_string() == "web.1" && d.state == state);
        let worker: Vec<_> = dynos.iter().filter(|d| d.name.to_string() == "worker.1").collect();
        web(DynoState::Up)
            && web(DynoState::Starting)
            && worker.len() == 1
            && worker[0].state == DynoState::Up
            && !first.contains(&worker[0].id)
    })
    .await;
    // The predecessor serves until its successor does.
    let routed = bench.world.table().apps[0].dynos.clone();
    assert!(routed.len() == 1 && first.contains(&routed[0].id), "{routed:?}");
    bench.world.all_get_ready();
    until("two others", async || {
        let now = ups(&bench, &app).await;
        now.len() == 2 && now.iter().all(|id| !first.contains(id))
    })
    .await;
    for name in ["web.1", "worker.1"] {
        assert_eq!(told(&bench, &app, &format!("heroku[{name}]: Cycling")), 1);
    }
    // The worker's end comes before its successor's start.
    let log = bench.world.log(app.id);
    let of_worker: Vec<_> = log.iter().filter_map(|line| line.strip_prefix("heroku[worker.1]: ")).collect();
    let cycled = of_worker.iter().position(|line| *line == "Cycling").unwrap();
    assert_eq!(
        of_worker[cycled + 1..],
        [
            "Stopping all processes with SIGTERM",
            "Process exited with status 143",
            "State changed from up to down",
            "State changed from created to starting",
            "Starting process with command `work`",
            "State changed from starting to up",
        ]
    );
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn cycling_can_be_switched_off() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| settings.cycle_after = None;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, 1).await;
    let first = ups(&bench, &app).await;
    bench.world.clock().advance(DAY * 10);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(ups(&bench, &app).await, first);
    plane.kill().await;
}

/// Heroku's classic order: while nothing is up, the router is told to hold requests, never to refuse them.
#[tokio::test(start_paused = true)]
async fn without_preboot_web_dynos_stop_first_and_requests_are_held() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, 0).await;
    let first = ups(&bench, &app).await;
    let preboot = FEATURES.iter().find(|feature| feature.name == "preboot").unwrap();
    plane.engine.feature_set(app.id, preboot, false).await.unwrap();
    bench.world.never_ready("serve");
    let set = BTreeMap::from([("A".parse().unwrap(), Some(Secret::new("1")))]);
    plane.engine.config_patch(&app, &bench.account, set).await.unwrap();
    until("its successor alone", async || {
        let dynos = bench.dynos(app.id).await;
        let running: Vec<_> = bench.world.alive().into_keys().collect();
        let successor = dynos.first().filter(|dyno| dyno.state == DynoState::Starting).map(|dyno| dyno.id);
        dynos.len() == 1 && successor.is_some_and(|id| running == [id] && !first.contains(&id))
    })
    .await;
    until("requests to be held", async || bench.world.table().apps[0].web == WebState::Booting).await;
    bench.world.all_get_ready();
    until("the new release serves", async || bench.serves_newest(app.id).await).await;
    let log = bench.world.log(app.id);
    let at = |text: &str| log.iter().rposition(|line| line == text).unwrap();
    assert!(
        at("heroku[web.1]: State changed from up to down")
            < at("heroku[web.1]: State changed from created to starting"),
        "{log:#?}"
    );
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

//! Eco apps fall asleep without web traffic, and wake.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::operations::{AppNew, FormationChange, Quantity};
use renga_model::{App, BuildStatus, Dyno, DynoState, Secret, WebState};
use renga_testkit::world::{Fault, Faults};

use crate::plane::{Bench, Plane, build_ends, until};

pub(crate) const QUIET: Duration = Duration::from_secs(31 * 60);

fn change(process_type: &str, quantity: i64, size: &str) -> FormationChange {
    FormationChange {
        process_type: process_type.parse().unwrap(),
        quantity: Some(Quantity::Set(quantity)),
        size: Some(size.into()),
    }
}

/// An app with a web dyno and a worker of a size, both up.
pub(crate) async fn app_of(bench: &Bench, plane: &Plane, size: &str) -> App {
    bench.world.builds_declare(&[("web", "serve"), ("worker", "work")]);
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(bench, &build, BuildStatus::Succeeded).await;
    let changes = vec![change("web", 1, size), change("worker", 1, size)];
    plane.engine.formation_update(&app, &bench.account, changes).await.unwrap();
    until("web and worker", async || are_up(bench, &app, size).await).await;
    // A line is told a moment after the row that it tells of, a predecessor's last one after its row has gone.
    bench.all_told().await;
    app
}

pub(crate) async fn are_up(bench: &Bench, app: &App, size: &str) -> bool {
    let dynos = bench.dynos(app.id).await;
    let names: Vec<_> = dynos.iter().map(|dyno| dyno.name.to_string()).collect();
    let fit = |dyno: &Dyno| dyno.state == DynoState::Up && dyno.size.eq_ignore_ascii_case(size);
    names == ["web.1", "worker.1"] && dynos.iter().all(fit) && web(bench, app) == Some(WebState::Up)
}

pub(crate) fn web(bench: &Bench, app: &App) -> Option<WebState> {
    bench.world.table().apps.iter().find(|route| route.id == app.id).map(|route| route.web)
}

pub(crate) async fn are_idle(bench: &Bench, app: &App) -> bool {
    let dynos = bench.dynos(app.id).await;
    dynos.len() == 2
        && dynos.iter().all(Dyno::is_idle)
        && bench.world.held() == 0
        && web(bench, app) == Some(WebState::Asleep)
}

/// Nobody asks for it, for longer than it stays awake then.
async fn falls_asleep(bench: &Bench, app: &App) {
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    until("sleep", async || are_idle(bench, app).await).await;
}

/// These lines and no others: each is on its way when the row says what it tells of.
pub(crate) async fn tells(bench: &Bench, app: &App, ps: &str, since: usize, lines: &[&str]) {
    bench.all_told().await;
    assert_eq!(lines_of(bench, app, ps, since), lines);
}

pub(crate) fn lines_of(bench: &Bench, app: &App, ps: &str, since: usize) -> Vec<String> {
    let of = format!("heroku[{ps}]: ");
    bench.world.log(app.id)[since..]
        .iter()
        .filter_map(|line| Some(line.strip_prefix(&of)?.to_owned()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn without_traffic_it_sleeps_and_a_request_wakes_it() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let told = bench.world.log(app.id).len();
    falls_asleep(&bench, &app).await;
    let slept = [
        "Idling",
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to down",
    ];
    tells(&bench, &app, "web.1", told, &slept).await;
    tells(&bench, &app, "worker.1", told, &slept).await;

    let why = plane.engine.why(app.id, Some("web.1")).await.unwrap().dynos.remove(0);
    assert_eq!(why.seen.map(|seen| seen.state), Some("idle"));
    assert!(why.because.contains("the next request starts it"), "{}", why.because);

    // It is a row: another server finds it asleep, and leaves it so.
    plane.kill().await;
    let before = bench.world.table().generation;
    let plane = bench.start(&Faults::none()).await;
    until("the table of the new server", async || bench.world.table().generation > before).await;
    bench.rests().await;
    assert!(are_idle(&bench, &app).await);

    let told = bench.world.log(app.id).len();
    bench.world.requests(&[app.id], Duration::ZERO);
    until("both up again", async || are_up(&bench, &app, "eco").await).await;
    let started = ["State changed from down to starting", "Starting process with command `serve`"];
    let woken = [["Unidling"].as_slice(), &started, &["State changed from starting to up"]].concat();
    tells(&bench, &app, "web.1", told, &woken).await;
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn only_quiet_apps_of_a_size_that_sleeps_do() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let paid = app_of(&bench, &plane, "basic").await;
    let busy = app_of(&bench, &plane, "eco").await;
    let quiet = app_of(&bench, &plane, "eco").await;
    bench.world.requests(&[busy.id], QUIET);
    bench.world.clock().advance(QUIET);
    until("the quiet one to sleep", async || are_idle_of(&bench, &quiet).await).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(are_up(&bench, &paid, "basic").await && are_up(&bench, &busy, "eco").await);
    plane.kill().await;
}

/// As [`are_idle`], while the node has dynos of others.
async fn are_idle_of(bench: &Bench, app: &App) -> bool {
    let dynos = bench.dynos(app.id).await;
    dynos.len() == 2 && dynos.iter().all(Dyno::is_idle) && web(bench, app) == Some(WebState::Asleep)
}

#[tokio::test(start_paused = true)]
async fn never_is_never() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| settings.sleep_after = None;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(are_up(&bench, &app, "eco").await);
    plane.kill().await;
}

/// As on Heroku; and then it stays awake for half an hour, whatever the router has seen before.
#[tokio::test(start_paused = true)]
async fn what_its_users_do_wakes_it() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let (engine, account) = (&plane.engine, &bench.account);
    let set = BTreeMap::from([("A".parse().unwrap(), Some(Secret::new("1")))]);
    let wakes = async || {
        until("both up again", async || are_up(&bench, &app, "eco").await).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(are_up(&bench, &app, "eco").await);
    };
    falls_asleep(&bench, &app).await;
    engine.config_patch(&app, account, set).await.unwrap();
    wakes().await;
    falls_asleep(&bench, &app).await;
    engine.dyno_restart(app.id, "web.1").await.unwrap();
    wakes().await;
    falls_asleep(&bench, &app).await;
    // What is idle can't be stopped, and it does not wake by that.
    engine.dyno_stop(app.id, "web.1").await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(are_idle(&bench, &app).await);
    engine.formation_update(&app, account, vec![change("worker", 0, "eco")]).await.unwrap();
    until("web.1 alone", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

/// Every write and every call of a night and its morning, met by a crash before or after it.
#[tokio::test(start_paused = true)]
async fn a_night_survives_crashes_at_every_point() {
    let places: [fn(u64) -> Faults; 3] = [
        |at| Faults::new(Fault::CrashAfter, at),
        |at| Faults::at_write(Fault::CrashBefore, at),
        |at| Faults::at_write(Fault::CrashAfter, at),
    ];
    for faults_at in places {
        for point in 1.. {
            let bench = Bench::new().await;
            let evening = bench.start(&Faults::none()).await;
            let app = app_of(&bench, &evening, "eco").await;
            evening.kill().await;
            let faults = faults_at(point);
            let mut plane = bench.start(&faults).await;
            bench.world.requests(&[], QUIET);
            bench.world.clock().advance(QUIET);
            plane = survive(&bench, plane, async || are_idle(&bench, &app).await).await;
            bench.world.requests(&[app.id], Duration::ZERO);
            plane = survive(&bench, plane, async || are_up(&bench, &app, "eco").await).await;
            plane.kill().await;
            assert_eq!(bench.world.complaints(), Vec::<String>::new(), "point {point}");
            if !faults.struck() {
                assert!(point > 5, "only {} points were met", point - 1);
                break;
            }
        }
    }
}

pub(crate) async fn survive<F: Future<Output = bool>>(
    bench: &Bench,
    plane: Plane,
    mut look: impl FnMut() -> F,
) -> Plane {
    let faults = plane.faults.clone();
    tokio::select! {
        biased;
        () = until("the night to go on", &mut look) => plane,
        () = faults.crash() => {
            plane.kill().await;
            let next = bench.start(&Faults::none()).await;
            until("the night to go on", &mut look).await;
            next
        }
    }
}

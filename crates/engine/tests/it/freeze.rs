//! Apps that sleep are frozen first: they answer at once, until their time in the freezer is over.

use std::time::Duration;

use renga_engine::operations::{ExecNew, FormationChange, Quantity};
use renga_model::{App, Dyno, DynoState, Secret, WebState, limits};
use renga_testkit::world::{Fault, Faults};

use crate::{
    plane::{Bench, Plane, until},
    sleep::{QUIET, app_of, are_idle, are_up, lines_of, survive, tells, web},
};

async fn cold_bench() -> Bench {
    let mut bench = Bench::new().await;
    bench.tune = |settings| {
        settings.freeze_for = Some(limits::FREEZE_FOR);
        settings.memory.reserve_bytes = 1 << 30;
    };
    bench
}

/// Its web dyno is halted with its row kept, its worker has gone.
async fn is_frozen(bench: &Bench, app: &App) -> bool {
    let dynos = bench.dynos(app.id).await;
    let [frozen, idle] = dynos.as_slice() else { return false };
    frozen.state == DynoState::Frozen
        && frozen.name.to_string() == "web.1"
        && idle.is_idle()
        && bench.world.frozen() == ["web.1"]
        && bench.world.held() == 1
        && web(bench, app) == Some(WebState::Asleep)
}

async fn freezes(bench: &Bench, app: &App) {
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    until("the freeze", async || is_frozen(bench, app).await).await;
}

async fn wakes(bench: &Bench, app: &App) {
    until("both up again", async || are_up(bench, app, "eco").await).await;
    assert_eq!(bench.world.frozen(), Vec::<String>::new());
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_request_finds_it_as_it_was() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let before = web_dyno(&bench, &app).await;
    let told = bench.world.log(app.id).len();
    freezes(&bench, &app).await;
    tells(&bench, &app, "web.1", told, &["Idling"]).await;
    let why = plane.engine.why(app.id, Some("web.1")).await.unwrap().dynos.remove(0);
    assert_eq!(why.seen.map(|seen| seen.state), Some("frozen"));
    assert!(why.because.contains("the next request thaws it") && why.next_at.is_some(), "{}", why.because);

    // It is a row: another server finds it so, and leaves it so.
    plane.kill().await;
    let plane = bench.start(&Faults::none()).await;
    bench.rests().await;
    assert!(is_frozen(&bench, &app).await);

    let told = bench.world.log(app.id).len();
    bench.world.requests(&[app.id], Duration::ZERO);
    wakes(&bench, &app).await;
    assert_eq!(web_dyno(&bench, &app).await.id, before.id, "no other was started");
    tells(&bench, &app, "web.1", told, &["Unidling"]).await;
    plane.kill().await;
}

async fn web_dyno(bench: &Bench, app: &App) -> Dyno {
    bench.dynos(app.id).await.into_iter().find(|dyno| dyno.name.to_string() == "web.1").unwrap()
}

#[tokio::test(start_paused = true)]
async fn its_time_in_the_freezer_ends() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    freezes(&bench, &app).await;
    let told = bench.world.log(app.id).len();
    bench.world.clock().advance(limits::FREEZE_FOR);
    until("its stop", async || are_idle(&bench, &app).await).await;
    let stopped = [
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
        "State changed from up to down",
    ];
    tells(&bench, &app, "web.1", told, &stopped).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    wakes(&bench, &app).await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn memory_that_is_short_stops_what_is_frozen_and_freezes_nothing() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    freezes(&bench, &app).await;
    bench.world.memory_free((1 << 30) - 1);
    until("its stop", async || are_idle(&bench, &app).await).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    wakes(&bench, &app).await;
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    until("sleep without a freeze", async || are_idle(&bench, &app).await).await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_frozen_is_stopped() {
    let bench = cold_bench().await;
    bench.world.cannot_freeze();
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    until("its stop", async || are_idle(&bench, &app).await).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    wakes(&bench, &app).await;
    plane.kill().await;
}

/// It was routed by the table before: the router counts it, and nothing is frozen under it.
#[tokio::test(start_paused = true)]
async fn a_request_that_comes_meanwhile_keeps_it_awake() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let dyno = web_dyno(&bench, &app).await.id;
    bench.world.keeps_busy(&[dyno]);
    let told = bench.world.log(app.id).len();
    bench.world.requests(&[], QUIET);
    bench.world.clock().advance(QUIET);
    until("the attempt", async || lines_of(&bench, &app, "web.1", told) == ["Idling", "Unidling"]).await;
    wakes(&bench, &app).await;
    assert_eq!(web_dyno(&bench, &app).await.id, dyno);
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_its_users_do_reaches_it() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let (engine, account) = (&plane.engine, &bench.account);
    let change = |quantity| FormationChange {
        process_type: "web".parse().unwrap(),
        quantity: Some(Quantity::Set(quantity)),
        size: None,
    };
    let mut last = web_dyno(&bench, &app).await.id;
    let mut is_another = async || {
        wakes(&bench, &app).await;
        let now = web_dyno(&bench, &app).await.id;
        assert_ne!(std::mem::replace(&mut last, now), now);
    };

    freezes(&bench, &app).await;
    let set = [("A".parse().unwrap(), Some(Secret::new("1")))].into();
    engine.config_patch(&app, account, set).await.unwrap();
    is_another().await;

    freezes(&bench, &app).await;
    let inside = ExecNew { command: "ls".into(), ..ExecNew::default() };
    // The simulated node runs nothing inside; but it is asked, of a dyno that is awake.
    engine.exec_create(&app, account, "web.1", inside).await.unwrap_err();
    wakes(&bench, &app).await;

    freezes(&bench, &app).await;
    engine.dyno_restart(app.id, "web.1").await.unwrap();
    is_another().await;

    // What is stopped stays stopped while the app sleeps.
    freezes(&bench, &app).await;
    engine.dyno_stop(app.id, "web.1").await.unwrap();
    until("its stop", async || are_idle(&bench, &app).await).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    is_another().await;

    freezes(&bench, &app).await;
    engine.formation_update(&app, account, vec![change(0)]).await.unwrap();
    until("its end", async || bench.dynos(app.id).await.len() == 1 && bench.world.held() == 1).await;
    engine.formation_update(&app, account, vec![change(1)]).await.unwrap();
    is_another().await;

    freezes(&bench, &app).await;
    bench.world.end(web_dyno(&bench, &app).await.id, 1);
    until("its end to be no crash", async || are_idle(&bench, &app).await).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    is_another().await;

    freezes(&bench, &app).await;
    engine.app_destroy(app.id).await.unwrap();
    until("nothing of it", async || bench.world.held() == 0).await;
    assert_eq!(bench.world.complaints(), Vec::<String>::new());
    plane.kill().await;
}

/// The node's word and the row may differ after a crash of either; the row wins.
#[tokio::test(start_paused = true)]
async fn what_strays_is_brought_back() {
    let bench = cold_bench().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane, "eco").await;
    let dyno = web_dyno(&bench, &app).await.id;
    bench.world.strays(dyno, true);
    until("the thaw", async || bench.world.frozen().is_empty()).await;
    bench.world.complaints();
    freezes(&bench, &app).await;
    bench.world.strays(dyno, false);
    until("the freeze", async || is_frozen(&bench, &app).await).await;
    bench.world.node_goes();
    until("the node to be missed", async || bench.world.node_is_missed()).await;
    bench.world.strays(dyno, false);
    bench.world.node_comes();
    until("the freeze by another node", async || is_frozen(&bench, &app).await).await;
    bench.world.requests(&[app.id], Duration::ZERO);
    wakes(&bench, &app).await;
    plane.kill().await;
}

/// Every write and every call of a night with frost, met by a crash before or after it, or by a failure.
#[tokio::test(start_paused = true)]
async fn a_cold_night_survives_crashes_after_every_call() {
    survives_everywhere(|at| Faults::new(Fault::CrashAfter, at)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cold_night_survives_every_failure() {
    survives_everywhere(|at| Faults::new(Fault::Fail, at)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cold_night_survives_crashes_before_every_write() {
    survives_everywhere(|at| Faults::at_write(Fault::CrashBefore, at)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cold_night_survives_crashes_after_every_write() {
    survives_everywhere(|at| Faults::at_write(Fault::CrashAfter, at)).await;
}

async fn survives_everywhere(faults_at: fn(u64) -> Faults) {
    for point in 1.. {
        let bench = cold_bench().await;
        bench.hasten(Duration::from_millis(500));
        let evening = bench.start(&Faults::none()).await;
        let app = app_of(&bench, &evening, "eco").await;
        evening.kill().await;
        let faults = faults_at(point);
        let plane = bench.start(&faults).await;
        let plane = night(&bench, plane, &app).await;
        plane.kill().await;
        assert_eq!(bench.world.complaints(), Vec::<String>::new(), "point {point}");
        if !faults.struck() {
            assert!(point > 6, "only {} points were met", point - 1);
            break;
        }
    }
}

/// Frozen, thawed, frozen again, stopped, started.
async fn night(bench: &Bench, mut plane: Plane, app: &App) -> Plane {
    for hour in 0..2 {
        bench.world.requests(&[], QUIET);
        bench.world.clock().advance(QUIET);
        plane = survive(bench, plane, async || is_frozen(bench, app).await).await;
        if hour == 1 {
            bench.world.clock().advance(limits::FREEZE_FOR);
            plane = survive(bench, plane, async || are_idle(bench, app).await).await;
        }
        bench.world.requests(&[app.id], Duration::ZERO);
        plane = survive(bench, plane, async || are_up(bench, app, "eco").await).await;
    }
    plane
}

//! One-off dynos: their clients and their time. A client is what the rendezvous tells the engine of it.

use std::time::Duration;

use renga_engine::operations::{AppNew, Attachable, OneOffNew};
use renga_model::{App, BuildStatus, Dyno, DynoState, limits};
use renga_testkit::world::Faults;

use crate::plane::{Bench, Plane, build_ends, until};

const SIGTERM: &str = "Stopping all processes with SIGTERM";
const R13: &str = "Error R13 (Attach error) -> Failed to attach to process";
const R16: &str = "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.";
const GONE: &str = "Client connection closed. Sending SIGHUP to all processes";
/// Longer than any dyno's day.
const DAY: Duration = Duration::from_secs(28 * 60 * 60);

async fn app_of(bench: &Bench, plane: &Plane) -> App {
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(bench, &build, BuildStatus::Succeeded).await;
    app
}

/// One that is up, and the client that may come to it.
async fn run(bench: &Bench, plane: &Plane, app: &App, new: OneOffNew) -> (Dyno, Option<Attachable>) {
    let new = OneOffNew { command: "rake".into(), ..new };
    let (dyno, secret) = plane.engine.one_off_create(app, &bench.account, new).await.unwrap();
    until("it to be up", async || state(bench, &dyno).await == Some(DynoState::Up)).await;
    let client = match &secret {
        Some(secret) => plane.engine.one_off_by_secret(secret.expose()).await.unwrap(),
        None => None,
    };
    (dyno, client)
}

fn attached() -> OneOffNew {
    OneOffNew { attach: true, ..OneOffNew::default() }
}

async fn comes(plane: &Plane, client: &Attachable) {
    assert!(plane.engine.attached.come(client.dyno));
    assert!(plane.engine.one_off_client_came(client.dyno).await.unwrap());
}

async fn state(bench: &Bench, dyno: &Dyno) -> Option<DynoState> {
    let dynos = bench.dynos(dyno.app).await;
    dynos.iter().find(|row| row.id == dyno.id).map(|row| row.state)
}

/// What the app's log says of it, without the lines of its start.
fn told(bench: &Bench, dyno: &Dyno) -> Vec<String> {
    let of = format!("heroku[{}]: ", dyno.name);
    let lines = bench.world.log(dyno.app);
    let lines = lines.iter().filter_map(|line| line.strip_prefix(&of).map(str::to_owned));
    let begins =
        ["Awaiting client", "Starting process with command `rake`", "State changed from starting to up"];
    lines.filter(|line| !begins.contains(&line.as_str())).collect()
}

async fn tells(bench: &Bench, dyno: &Dyno, wanted: &[&str]) {
    until(&format!("{wanted:?}"), async || told(bench, dyno).len() >= wanted.len()).await;
    assert_eq!(told(bench, dyno), wanted);
}

/// Looks that would find more to say, if there were more.
async fn nothing_more(bench: &Bench, dyno: &Dyno, wanted: &[&str]) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(bench, dyno), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_dyno_to_which_nobody_comes_is_ended() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (dyno, client) = run(&bench, &plane, &app, attached()).await;
    let all = bench.world.log(app.id);
    let awaits = all.iter().position(|line| line.ends_with("Awaiting client")).unwrap();
    assert!(all[awaits + 1].ends_with("Starting process with command `rake`"), "{all:#?}");
    bench.world.clock().advance(limits::ATTACH_TIMEOUT - Duration::from_secs(1));
    nothing_more(&bench, &dyno, &[]).await;
    bench.world.clock().advance(Duration::from_secs(1));
    tells(
        &bench,
        &dyno,
        &[R13, SIGTERM, "Process exited with status 143", "State changed from up to complete"],
    )
    .await;
    until("its row to go", async || state(&bench, &dyno).await.is_none()).await;
    assert!(!plane.engine.one_off_client_came(client.unwrap().dyno).await.unwrap(), "too late");
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_minds_no_hangup_goes_on_and_the_log_says_so_once() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (dyno, client) = run(&bench, &plane, &app, attached()).await;
    let client = client.unwrap();
    comes(&plane, &client).await;
    assert!(!plane.engine.attached.come(dyno.id), "one at a time");
    bench.world.clock().advance(limits::ATTACH_TIMEOUT * 10);
    nothing_more(&bench, &dyno, &[]).await;
    plane.engine.one_off_client_gone(dyno.id).await.unwrap();
    tells(&bench, &dyno, &[GONE]).await;
    bench.world.clock().advance(limits::HANGUP_TIMEOUT - Duration::from_secs(1));
    nothing_more(&bench, &dyno, &[GONE]).await;
    bench.world.clock().advance(Duration::from_secs(1));
    tells(&bench, &dyno, &[GONE, R16]).await;
    bench.world.clock().advance(limits::HANGUP_TIMEOUT * 100);
    nothing_more(&bench, &dyno, &[GONE, R16]).await;
    assert_eq!(state(&bench, &dyno).await, Some(DynoState::Up));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn what_minds_it_ends_as_ever() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (dyno, client) = run(&bench, &plane, &app, attached()).await;
    comes(&plane, &client.unwrap()).await;
    plane.engine.one_off_client_gone(dyno.id).await.unwrap();
    bench.world.end(dyno.id, 129);
    tells(&bench, &dyno, &[GONE, "Process exited with status 129", "State changed from up to complete"])
        .await;
    until("its row to go", async || state(&bench, &dyno).await.is_none()).await;
    plane.kill().await;
}

/// Its client's connection ends with the server that held it: the next one finds that out from the row.
#[tokio::test(start_paused = true)]
async fn a_client_that_went_with_its_server_is_missed_by_the_next() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (served, client) = run(&bench, &plane, &app, attached()).await;
    let (awaited, _) = run(&bench, &plane, &app, attached()).await;
    comes(&plane, &client.unwrap()).await;
    bench.world.clock().advance(Duration::from_secs(29));
    plane.kill().await;
    let plane = bench.start(&Faults::none()).await;
    tells(&bench, &served, &[GONE]).await;
    nothing_more(&bench, &awaited, &[]).await;
    bench.world.clock().advance(limits::HANGUP_TIMEOUT);
    tells(&bench, &served, &[GONE, R16]).await;
    until("R13", async || told(&bench, &awaited).first().is_some_and(|line| line == R13)).await;
    assert_eq!(state(&bench, &served).await, Some(DynoState::Up));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_ends_it_as_ps_stop_does() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let new = OneOffNew { time_to_live_s: Some(90), ..OneOffNew::default() };
    let (dyno, _) = run(&bench, &plane, &app, new).await;
    let spec = bench.world.alive()[&dyno.id].clone();
    let margin = spec.limits.time_to_live.unwrap().checked_sub(Duration::from_secs(90)).unwrap();
    assert!(!margin.is_zero(), "the supervisor would end it without a word");
    bench.world.clock().advance(Duration::from_secs(89));
    nothing_more(&bench, &dyno, &[]).await;
    bench.world.clock().advance(Duration::from_secs(1));
    tells(&bench, &dyno, &[SIGTERM, "Process exited with status 143", "State changed from up to complete"])
        .await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_day_it_is_over_and_nothing_comes_in_its_place() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (dyno, client) = run(&bench, &plane, &app, attached()).await;
    comes(&plane, &client.unwrap()).await;
    bench.world.clock().advance(limits::CYCLE_AFTER - Duration::from_secs(60));
    nothing_more(&bench, &dyno, &[]).await;
    bench.world.clock().advance(DAY - limits::CYCLE_AFTER);
    let wanted = ["Cycling", SIGTERM, "Process exited with status 143", "State changed from up to complete"];
    tells(&bench, &dyno, &wanted).await;
    until("its row to go", async || state(&bench, &dyno).await.is_none()).await;
    nothing_more(&bench, &dyno, &wanted).await;
    assert!(!bench.world.running().iter().any(|(_, name, _)| name.starts_with("run.")));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn where_cycling_is_off_it_runs_as_long_as_it_likes() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| settings.cycle_after = None;
    let plane = bench.start(&Faults::none()).await;
    let app = app_of(&bench, &plane).await;
    let (dyno, _) = run(&bench, &plane, &app, OneOffNew::default()).await;
    assert_eq!(bench.world.alive()[&dyno.id].limits.time_to_live, None);
    bench.world.clock().advance(DAY * 10);
    nothing_more(&bench, &dyno, &[]).await;
    plane.kill().await;
}

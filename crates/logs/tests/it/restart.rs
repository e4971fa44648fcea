//! A dyno that never stops talking, and a server that is stopped and killed all the time.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use renga_logs::{Limits, LogStore};
use renga_model::{AppId, DynoId};
use renga_ports::Logs;

use crate::world::{World, config, drained, say, texts};

const LINES_PER_SECOND: u32 = 5_000;
const KEEP_ALL: Limits = Limits {
    lines_kept_min: 1_000_000,
    log_file_bytes_min: 512 * 1024,
    output_bytes_max: 1 << 30,
    output_wait_max: Duration::ZERO,
    idle_max: Duration::from_secs(30),
    queue_lines_max: 1_000,
};
/// The child of the killing test finds its order here: directory, app, dyno.
const CHILD: &str = "RENGA_LOGS_TEST_CHILD";

/// Writes numbered lines at a steady rate until it is told to stop; returns how many.
fn talk(world: &World, dyno: DynoId, stop: Arc<AtomicBool>) -> thread::JoinHandle<u32> {
    let mut writer = world.writer(dyno);
    thread::spawn(move || {
        let start = Instant::now();
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = start.elapsed().as_secs_f64() * f64::from(LINES_PER_SECOND);
            while f64::from(said) < due {
                say(&mut writer, said.to_string());
                said += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        said
    })
}

async fn all_lines_are_there_once(world: &World, app: AppId, dyno: DynoId, said: u32) {
    world.exit(dyno);
    let store = world.open();
    store.follow_dyno(app, dyno, "web.1");
    drained(&store, dyno).await;
    let seen = all(&store, app).await;
    assert_eq!(seen.len(), said as usize);
    for (n, text) in seen.iter().enumerate() {
        assert_eq!(*text, format!("app[web.1]: {n}"));
    }
}

/// More than one session gives: page by page.
async fn all(store: &LogStore, app: AppId) -> Vec<String> {
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let mut page =
            store.session(app, renga_model::LogFilter::default(), 0, false, Some(after)).await.unwrap();
        let mut count = 0;
        while let Some(entry) = crate::world::next(&mut page).await {
            after = entry.id;
            seen.push(crate::world::shown(&entry));
            count += 1;
        }
        if count == 0 {
            return seen;
        }
    }
}

#[tokio::test]
async fn a_store_that_is_reopened_all_the_time_loses_and_doubles_nothing() {
    let mut world = World::keeping_all();
    world.limits = KEEP_ALL;
    let (app, dyno) = (AppId::random(), DynoId::random());
    let stop = Arc::new(AtomicBool::new(false));
    let talker = talk(&world, dyno, stop.clone());
    let end = Instant::now() + Duration::from_secs(3);
    let mut opened = 0;
    while Instant::now() < end {
        let store = world.open();
        store.follow_dyno(app, dyno, "web.1");
        opened += 1;
        tokio::time::sleep(Duration::from_millis(opened % 40)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let said = talker.join().unwrap();
    let taken = all(&world.open(), app).await.len();
    println!("{said} lines, the store opened {opened} times, {taken} taken by then");
    assert!(taken > 1_000, "the closed stores did the work");
    all_lines_are_there_once(&world, app, dyno, said).await;
}

#[tokio::test]
async fn a_server_that_is_killed_all_the_time_loses_and_doubles_nothing() {
    let mut world = World::keeping_all();
    world.limits = KEEP_ALL;
    let (app, dyno) = (AppId::random(), DynoId::random());
    let stop = Arc::new(AtomicBool::new(false));
    let talker = talk(&world, dyno, stop.clone());
    let end = Instant::now() + Duration::from_secs(4);
    let mut kills = 0;
    while Instant::now() < end {
        let order = format!("{} {app} {dyno}", world.directory.path().display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restart::child_server", "--nocapture"])
            .env(CHILD, order)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + kills * 7 % 100));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let said = talker.join().unwrap();
    let taken = all(&world.open(), app).await.len();
    println!("{said} lines, the server killed {kills} times, {taken} taken by then");
    assert!(taken > 1_000, "the killed servers did the work");
    all_lines_are_there_once(&world, app, dyno, said).await;
}

/// Not a test by itself: the server that the test above kills.
#[test]
fn child_server() {
    let Some(order) = std::env::var_os(CHILD) else { return };
    let order = order.into_string().unwrap();
    let [directory, app, dyno] = order.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let store = LogStore::new(config(Path::new(directory), KEEP_ALL)).unwrap();
    store.follow_dyno(app.parse().unwrap(), dyno.parse().unwrap(), "web.1");
    // Until it is killed; not for ever, should its parent die.
    thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_quiet_dyno_is_not_read_twice_when_its_line_has_gone() {
    let mut world = World::new();
    world.limits = Limits { lines_kept_min: 50, log_file_bytes_min: 0, ..Limits::default() };
    let (app, quiet, loud) = (AppId::random(), DynoId::random(), DynoId::random());
    let (mut whisper, mut shout) = (world.writer(quiet), world.writer(loud));
    say(&mut whisper, "once");
    for _ in 0..3 {
        let store = world.open();
        store.follow_dyno(app, quiet, "worker.1");
        store.follow_dyno(app, loud, "web.1");
        for n in 0..600 {
            say(&mut shout, n.to_string());
        }
        crate::world::until("all is taken", || async {
            texts(&store, app).await.last().is_some_and(|text| text.ends_with(": 599"))
        })
        .await;
        drop(store);
    }
    let store = world.open();
    store.follow_dyno(app, quiet, "worker.1");
    world.exit(quiet);
    drained(&store, quiet).await;
    assert!(!texts(&store, app).await.iter().any(|text| text.contains("once")));
}

//! What logs are told of memory and load.

use std::time::Duration;

use renga_engine::operations::{AppNew, FEATURES};
use renga_model::{App, BuildStatus, DiskUsage, MemoryUsage};
use renga_testkit::world::Faults;
use tokio::time::Instant;

use crate::plane::{Bench, Plane, build_ends, until};

const MIB: u64 = 1 << 20;
const R14: &str = "heroku[web.1]: Error R14 (Memory quota exceeded)";

fn resident(mib: u64) -> MemoryUsage {
    MemoryUsage { resident_bytes: mib * MIB, cache_bytes: 1 << 40, ..MemoryUsage::default() }
}

async fn serving(bench: &Bench, plane: &Plane) -> App {
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    app
}

/// Lines that have this in them.
fn told(bench: &Bench, app: &App, text: &str) -> usize {
    bench.world.log(app.id).iter().filter(|line| line.contains(text)).count()
}

async fn until_told(bench: &Bench, app: &App, text: &str, count: usize) {
    until(text, async || told(bench, app, text) >= count).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_once_in_ten_minutes() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    bench.world.dynos_have(DiskUsage { total_bytes: 64 * MIB, free_bytes: 32 * MIB, files_free: 9 });
    let app = serving(&bench, &plane).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let full = "heroku[web.1]: Disk quota reached (63M of 64M): the disk is full, writes fail with";
    assert_eq!(told(&bench, &app, "Disk quota"), 0);
    bench.world.dynos_have(DiskUsage { total_bytes: 64 * MIB, free_bytes: 4096, files_free: 9 });
    until_told(&bench, &app, "Disk quota", 1).await;
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    assert_eq!((told(&bench, &app, "Disk quota"), told(&bench, &app, full)), (1, 1));
    until_told(&bench, &app, "Disk quota", 2).await;
}

#[tokio::test(start_paused = true)]
async fn over_the_quota_is_told_every_20_seconds_while_it_lasts() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    bench.world.dynos_take(resident(512), 9);
    let app = serving(&bench, &plane).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&bench, &app, "R14") + told(&bench, &app, "sample#"), 0);

    let writes = bench.writes();
    bench.world.dynos_take(resident(529), 9);
    until_told(&bench, &app, R14, 1).await;
    let first = Instant::now();
    until_told(&bench, &app, R14, 4).await;
    let taken = first.elapsed();
    assert!((55..70).contains(&taken.as_secs()), "{taken:?}");
    assert_eq!(bench.writes(), writes, "none of it is for the ledger");
    let log = bench.world.log(app.id);
    let last = log.iter().rposition(|line| line == R14).unwrap();
    assert_eq!(log[last - 1], "heroku[web.1]: Process running mem=529M(103.3%)");

    bench.world.dynos_take(resident(500), 9);
    // A look may be under way.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let before = told(&bench, &app, R14);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(&bench, &app, R14), before);
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn metrics_come_with_the_next_start_and_go_with_the_one_after() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    bench.world.dynos_take(resident(100), 2);
    let app = serving(&bench, &plane).await;
    let feature = FEATURES.iter().find(|feature| feature.name == "log-runtime-metrics").unwrap();
    let switch = async |on| plane.engine.feature_set(app.id, feature, on).await.unwrap();
    let quiet = async || {
        let before = told(&bench, &app, "sample#");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(told(&bench, &app, "sample#"), before);
    };
    switch(true).await;
    quiet().await;

    let first = bench.dynos(app.id).await[0].id;
    renew(&bench, &app).await;
    let metered = bench.dynos(app.id).await[0].id;
    assert_ne!(first, metered);
    let load = format!("heroku[web.1]: source=web.1 dyno=heroku.{}.{metered} sample#load_avg_1m=", app.id);
    until_told(&bench, &app, &load, 3).await;
    let log = bench.world.log(app.id);
    let loads = log.iter().filter(|line| line.starts_with(&load));
    let loads: Vec<f64> = loads.map(|line| line[load.len()..][..4].parse().unwrap()).collect();
    assert!(loads.is_sorted() && loads[0] > 0.4 && *loads.last().unwrap() < 2.0, "{loads:?}");
    let memory = "sample#memory_rss=100.00MB sample#memory_cache=1048576.00MB sample#memory_swap=0.00MB \
                  sample#memory_quota=512.00MB";
    until_told(&bench, &app, memory, 3).await;

    switch(false).await;
    until_told(&bench, &app, &load, loads.len() + 3).await;
    renew(&bench, &app).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    quiet().await;
    assert_eq!(told(&bench, &app, "R14"), 0);
    plane.kill().await;
}

/// Ends web.1 and waits for its successor.
async fn renew(bench: &Bench, app: &App) {
    let old = bench.dynos(app.id).await[0].id;
    // A long run, so that no pause follows.
    bench.world.clock().advance(Duration::from_secs(3600));
    bench.world.end(old, 0);
    until("a successor", async || {
        bench.serves_newest(app.id).await && bench.dynos(app.id).await[0].id != old
    })
    .await;
}

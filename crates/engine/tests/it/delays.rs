//! What only delays: lost wake-ups, and reports that come twice or out of order.

use std::time::Duration;

use renga_engine::operations::{AppNew, FEATURES};
use renga_model::{BuildStatus, RouteFlags, RouteTable};
use renga_ports::{RouteFeed as _, RouteFeedError};
use renga_testkit::world::{Delivery, Fault, Faults};

use crate::{
    plane::{Bench, build_ends, until},
    story::{Next, tell},
};

/// Time runs five hundred times as fast: a full scan each 40 ms, garbage each 1.2 s.
const FAST: Duration = Duration::from_millis(250);
/// Points at which a plane that hears nothing dies as well.
const DEAF_CRASHES: [u64; 4] = [3, 9, 15, 21];

#[tokio::test(start_paused = true)]
async fn every_wake_up_may_be_lost() {
    let bench = Bench::new().await;
    bench.hasten(FAST);
    let plane = bench.start_deaf(&Faults::none()).await;
    tell(&bench, plane, Next::Deaf).await;
}

#[tokio::test(start_paused = true)]
async fn a_plane_that_hears_nothing_may_die_too() {
    for point in DEAF_CRASHES {
        let bench = Bench::new().await;
        bench.hasten(FAST);
        let faults = Faults::at_write(Fault::CrashAfter, point);
        let plane = bench.start_deaf(&faults).await;
        tell(&bench, plane, Next::Deaf).await;
        assert!(faults.struck());
    }
}

#[tokio::test(start_paused = true)]
async fn reports_may_come_twice() {
    delivered(Delivery::Twice).await;
}

#[tokio::test(start_paused = true)]
async fn reports_may_come_out_of_order() {
    delivered(Delivery::Swapped).await;
}

/// The story, and a dyno that ends by itself: its end is told and counted once.
async fn delivered(delivery: Delivery) {
    let bench = Bench::new().await;
    bench.world.deliver(delivery);
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    let first = bench.dynos(app.id).await[0].id;
    bench.world.end(first, 3);
    until("a successor", async || {
        bench.serves_newest(app.id).await && bench.dynos(app.id).await[0].id != first
    })
    .await;
    let log = bench.world.log(app.id);
    let told = |text: &str| log.iter().filter(|line| line.ends_with(text)).count();
    assert_eq!(told("Process exited with status 3"), 1, "{log:#?}");
    assert_eq!(told("State changed from up to crashed"), 1, "{log:#?}");
    assert_eq!(told("State changed from starting to up"), 2, "{log:#?}");
    let id = app.id;
    let slots = bench.read(move |read| read.slot_fetch_all(id)).await;
    assert_eq!(slots.iter().map(|slot| slot.crashes).collect::<Vec<_>>(), [1]);
    plane.kill().await;

    let bench = Bench::new().await;
    bench.world.deliver(delivery);
    let plane = bench.start(&Faults::none()).await;
    tell(&bench, plane, Next::Hearing).await;
}

/// What an app's owner switches is in the next table, at once.
#[tokio::test(start_paused = true)]
async fn a_switch_of_the_router_is_in_the_published_table() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let flags = || bench.world.table().apps.iter().find(|route| route.id == app.id).map(|route| route.flags);
    until("the app in the table", async || flags() == Some(RouteFlags::default())).await;
    let redirect = FEATURES.iter().find(|feature| feature.name == "https-redirect").unwrap();
    for on in [true, false] {
        plane.engine.feature_set(app.id, redirect, on).await.unwrap();
        let wanted = RouteFlags { https_redirect: on, ..RouteFlags::default() };
        until("the switch", async || flags() == Some(wanted)).await;
    }
    plane.kill().await;
}

/// A table of a plane that is gone, still on its way, changes nothing; a router that is ahead of the ledger is caught
/// up with.
#[tokio::test(start_paused = true)]
async fn an_older_table_loses_and_the_ledger_catches_up() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    let before = bench.world.table();
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;

    let serving = bench.world.table();
    let late = RouteTable { generation: serving.generation - 1, ..before };
    let answer = bench.world.hands(&Faults::none()).routes.publish(&late).await;
    assert!(
        matches!(answer, Err(RouteFeedError::Stale { seen }) if seen == serving.generation),
        "{answer:?}"
    );
    assert_eq!(bench.world.table(), serving);

    let ahead = serving.generation + 1_000;
    bench.world.router_restarts(ahead);
    let plane = bench.start(&Faults::none()).await;
    until("the ledger to catch up", async || bench.world.table().generation > ahead).await;
    until("web.1 to serve again", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

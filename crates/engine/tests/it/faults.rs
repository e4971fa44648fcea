//! Every call of a deploy, a config change and a destroy is refused once, repeated once, and met by a crash before
//! and after it; afterwards the platform is what it would have been.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::operations::AppNew;
use renga_model::{App, BuildStatus, Secret};
use renga_testkit::world::{Fault, Faults};

use crate::plane::{Bench, Plane, until};

/// More calls than the scenario has; reaching it means that the loop does not end.
const CALLS_MAX: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_may_be_refused() {
    every(Fault::Fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_may_be_repeated() {
    every(Fault::Repeat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_plane_may_die_before_every_call() {
    every(Fault::CrashBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_plane_may_die_after_every_call() {
    every(Fault::CrashAfter).await;
}

async fn every(fault: Fault) {
    for call in 1..CALLS_MAX {
        let faults = Faults::new(fault, call);
        scenario(&faults).await;
        if !faults.struck() {
            assert!(call > 6, "only {} calls were met", call - 1);
            return;
        }
    }
    panic!("the scenario makes more than {CALLS_MAX} calls");
}

/// Deploys, changes config, deploys again and destroys; the plane is started again whenever it dies.
async fn scenario(faults: &Faults) {
    let bench = Bench::new().await;
    let quiet = bench.start(&Faults::none());
    let app = quiet.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    quiet.kill().await;

    let mut plane = bench.start(faults);
    for (commit, version) in [("a", 3), ("b", 5)] {
        let build = plane.push(&app, &bench.account, commit).await;
        plane = survive(&bench, plane, faults, "the build's end", async || {
            bench.build(&build).await.status.is_over()
        })
        .await;
        assert_eq!(
            bench.build(&build).await.status,
            BuildStatus::Succeeded,
            "{:?}",
            bench.build(&build).await
        );
        plane = survive(&bench, plane, faults, "serving", async || bench.serves_newest(app.id).await).await;
        let changes = BTreeMap::from([("VERSION".parse().unwrap(), Some(Secret::new(commit)))]);
        plane.engine.config_patch(&app, &bench.account, changes).await.unwrap();
        plane = survive(&bench, plane, faults, "the new config", async || bench.serves_newest(app.id).await)
            .await;
        whole_ledger(&bench, &app, version + 1).await;
        assert_eq!(bench.world.branch(app.id, "main"), Some(commit.repeat(40)));
    }
    plane.engine.app_destroy(app.id).await.unwrap();
    plane = survive(&bench, plane, faults, "the app to go", async || !bench.app_exists(app.id).await).await;
    assert_eq!(bench.world.held(), 0);
    assert!(!bench.world.has_repository(app.id));
    plane.kill().await;
}

/// Release numbers without gaps, one current.
async fn whole_ledger(bench: &Bench, app: &App, newest: u64) {
    let releases = bench.releases(app.id).await;
    let versions: Vec<_> = releases.iter().map(|release| release.version).collect();
    assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
    assert_eq!(releases.iter().filter(|release| release.current).count(), 1);
}

/// Waits until it is so. A plane that dies meanwhile is followed by another.
async fn survive<F: Future<Output = bool>>(
    bench: &Bench,
    mut plane: Plane,
    faults: &Faults,
    what: &str,
    mut look: impl FnMut() -> F,
) -> Plane {
    loop {
        tokio::select! {
            biased;
            () = faults.crash() => {
                plane.kill().await;
                // Time passes while nobody looks after the world.
                bench.world.clock().advance(Duration::from_secs(1));
                plane = bench.start(&Faults::none());
            }
            () = until(what, &mut look) => return plane,
        }
    }
}

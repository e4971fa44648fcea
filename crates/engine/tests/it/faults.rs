//! Every call and every write of an app's life is refused once, and met by a crash before and after it; calls are
//! repeated too. Afterwards the platform is what it would have been.

use renga_testkit::world::{Fault, Faults};

use crate::{
    plane::Bench,
    story::{Next, cut_short, tell},
};

/// More calls and writes than the story has; reaching it means that the loop does not end.
const POINTS_MAX: u64 = 300;
/// Fewer than it has; not reaching it means that the loop does not meet what it should.
const CALLS_MIN: u64 = 34;
const WRITES_MIN: u64 = 35;
/// Fewer than a deploy and a destroy have.
const DEPLOY_MIN: u64 = 15;

#[tokio::test(start_paused = true)]
async fn every_call_may_be_refused() {
    every(|at| Faults::new(Fault::Fail, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn every_call_may_be_repeated() {
    every(|at| Faults::new(Fault::Repeat, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_before_every_call() {
    every(|at| Faults::new(Fault::CrashBefore, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_after_every_call() {
    every(|at| Faults::new(Fault::CrashAfter, at), CALLS_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn every_write_may_be_refused() {
    every(|at| Faults::at_write(Fault::Fail, at), WRITES_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_before_every_write() {
    every(|at| Faults::at_write(Fault::CrashBefore, at), WRITES_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_may_die_after_every_write() {
    every(|at| Faults::at_write(Fault::CrashAfter, at), WRITES_MIN).await;
}

#[tokio::test(start_paused = true)]
async fn an_app_may_be_destroyed_at_every_point_of_its_deploy() {
    let places: [fn(u64) -> Faults; 2] =
        [|at| Faults::new(Fault::CrashBefore, at), |at| Faults::at_write(Fault::CrashAfter, at)];
    for faults_at in places {
        for point in 1..POINTS_MAX {
            let faults = faults_at(point);
            let bench = Bench::new().await;
            let plane = bench.start(&faults).await;
            cut_short(&bench, plane).await;
            if !faults.struck() {
                assert!(point > DEPLOY_MIN, "only {} points were met", point - 1);
                break;
            }
        }
    }
}

async fn every(faults_at: impl Fn(u64) -> Faults, points_min: u64) {
    for point in 1..POINTS_MAX {
        let faults = faults_at(point);
        let bench = Bench::new().await;
        let plane = bench.start(&faults).await;
        tell(&bench, plane, Next::Hearing).await;
        if !faults.struck() {
            assert!(point > points_min, "only {} points were met", point - 1);
            return;
        }
    }
    panic!("the story has more than {POINTS_MAX} points");
}

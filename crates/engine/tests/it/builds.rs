//! Builds that somebody cancels.

use renga_engine::operations::AppNew;
use renga_model::{BuildStatus, Fault};
use renga_testkit::world::Faults;

use crate::plane::{Bench, build_ends, until};

#[tokio::test(start_paused = true)]
async fn a_cancelled_build_ends_and_releases_nothing() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    // Builds run until somebody ends them.
    bench.world.builds_end(None);
    let build = plane.push(&app, &bench.account, "a").await;
    until("the build to run", async || !bench.world.alive().is_empty()).await;
    let id = build.id.to_string();
    let (cancelled, _) = plane.engine.build_cancel(app.id, &bench.account, &id).await.unwrap();
    assert!(cancelled.cancelled);
    build_ends(&bench, &build, BuildStatus::Failed).await;
    until("its dyno to go", async || bench.world.alive().is_empty()).await;
    assert!(bench.world.output(&id).unwrap().0.contains("The build was cancelled."));
    assert_eq!(bench.releases(app.id).await.len(), 2);
    // Too late for a second time; and the next build is free to go.
    let refused = plane.engine.build_cancel(app.id, &bench.account, &id).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Invalid);
    bench.world.builds_end(Some(0));
    let next = plane.push(&app, &bench.account, "b").await;
    build_ends(&bench, &next, BuildStatus::Succeeded).await;
    assert_eq!(bench.releases(app.id).await.len(), 3);
    plane.kill().await;
}

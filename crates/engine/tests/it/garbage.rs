//! What goes when the disk is short, and what stays.

use std::time::Duration;

use renga_engine::operations::{AppNew, builds};
use renga_model::{BuildSource, BuildStatus, Fault, ReleaseStatus};
use renga_testkit::world::Faults;

use crate::plane::{Bench, build_ends, until};

/// Releases and outputs that are kept whole in these tests.
const KEPT: usize = 2;

#[tokio::test(start_paused = true)]
async fn over_the_budget_old_slugs_and_outputs_go_and_the_newest_stay() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| (settings.disk_budget_bytes, settings.releases_kept) = (0, KEPT);
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let mut outputs = Vec::new();
    for commit in ["a", "b", "c", "d"] {
        let build = plane.push(&app, &bench.account, commit).await;
        build_ends(&bench, &build, BuildStatus::Succeeded).await;
        until("it serves", async || bench.serves_newest(app.id).await).await;
        outputs.push(build.id.to_string());
        bench.world.clock().advance(Duration::from_secs(60));
    }
    plane.engine.wake.garbage();
    until("two layers to stay", async || bench.world.layers().len() == KEPT).await;
    let releases = bench.releases(app.id).await;
    let expired = |status: ReleaseStatus| status == ReleaseStatus::Expired;
    let marks: Vec<_> = releases.iter().map(|release| expired(release.status)).collect();
    // v1 and v2 have no slug; v3 to v6 are the four deploys.
    assert_eq!(marks, [false, false, true, true, false, false]);
    let left: Vec<_> = outputs.iter().map(|name| bench.world.output(name).is_some()).collect();
    assert_eq!(left, [false, false, true, true]);

    let refused = plane.engine.release_rollback(&app, &bench.account, "v3").await.unwrap_err();
    assert!(refused.say.contains("its slug was removed to free disk space"), "{refused}");
    let slug = releases[2].slug.unwrap().to_string();
    let refused = plane.engine.release_slug(&app, &bench.account, &slug, None).await.unwrap_err();
    assert_eq!(refused.fault, Fault::Invalid, "{refused}");
    plane.engine.release_rollback(&app, &bench.account, "v5").await.unwrap();
    until("the rollback serves", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_no_build_is_begun() {
    let mut bench = Bench::new().await;
    bench.tune = |settings| settings.disk_floor_bytes = u64::MAX;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let source = BuildSource::Git { commit: "a".repeat(40), branch: "main".into(), previous: None };
    let begun = builds::create(&plane.engine, app.id, bench.account.id, source, Vec::new()).await;
    let refused = begun.unwrap_err();
    assert_eq!(refused.fault, Fault::Unavailable);
    assert!(refused.say.contains("disk is almost full"), "{refused}");
    assert_eq!(plane.engine.build_list(app.id).await.unwrap(), []);
    assert!(plane.engine.source_create().await.is_err());
    plane.kill().await;
}

//! What a user sees of deploys, crashes and releases that go wrong.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::operations::AppNew;
use renga_model::{BuildStatus, DynoState, ReleaseStatus, Secret, limits};
use renga_testkit::world::Faults;

use crate::plane::{Bench, build_ends, until};

fn set(key: &str, value: &str) -> BTreeMap<renga_model::ConfigKey, Option<Secret>> {
    BTreeMap::from([(key.parse().unwrap(), Some(Secret::new(value)))])
}

#[tokio::test(start_paused = true)]
async fn a_deploy_serves_and_a_destroyed_app_leaves_nothing() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    assert_eq!(bench.world.branch(app.id, "main"), Some("a".repeat(40)));
    assert_eq!(bench.releases(app.id).await.last().unwrap().version, 3);
    let why = plane.engine.why(app.id, Some("web.1")).await.unwrap();
    let seen = why.dynos[0].seen.as_ref().unwrap();
    assert_eq!((seen.state, seen.release, why.dynos[0].wanted), ("up", Some(3), true));
    assert_eq!(why.decisions.last().unwrap().reason, "the formation asks for it");
    assert!(plane.engine.why(app.id, Some("web.9")).await.is_err());

    // Layers that were packed a moment ago might be of a build that has not named them yet.
    bench.world.clock().advance(Duration::from_secs(60));
    plane.engine.app_destroy(app.id).await.unwrap();
    until("the app to go", async || !bench.app_exists(app.id).await).await;
    until("its layers to go", async || bench.world.layers().is_empty()).await;
    assert_eq!(bench.world.held(), 0);
    assert!(!bench.world.has_repository(app.id) && bench.world.log(app.id).is_empty());
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_build_changes_nothing() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    bench.world.builds_fail();
    let build = plane.push(&app, &bench.account, "b").await;
    build_ends(&bench, &build, BuildStatus::Failed).await;
    assert_eq!(bench.releases(app.id).await.len(), 2);
    assert_eq!((bench.world.branch(app.id, "main"), bench.world.held()), (None, 0));
    plane.kill().await;
}

/// What no program can be given is refused with the push, not with every start of a dyno.
#[tokio::test(start_paused = true)]
async fn commands_that_cannot_be_run_are_refused_with_the_build() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let long = "x".repeat(limits::COMMAND_BYTES_MAX + 1);
    let names: Vec<_> = (0..101).map(|n| format!("type-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "true")).collect();
    for (types, told) in [
        (&[("web", "serve"), ("worker", long.as_str())][..], "process type worker has 65 KB"),
        (&[("web", "a\0b")][..], "process type web contains a NUL byte"),
        (&many[..], "declares 101 process types"),
    ] {
        bench.world.builds_declare(types);
        let build = plane.push(&app, &bench.account, "b").await;
        build_ends(&bench, &build, BuildStatus::Failed).await;
        let (text, _) = bench.world.output(&build.id.to_string()).unwrap();
        assert!(text.contains(told) && text.contains("Push failed"), "{text}");
        assert_eq!(bench.releases(app.id).await.len(), 2);
    }
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_release_phase_leaves_the_old_release_serving() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    let before = bench.dynos(app.id).await;

    bench.world.builds_declare(&[("web", "serve"), ("release", "migrate")]);
    bench.world.exits("migrate", 3);
    let build = plane.push(&app, &bench.account, "b").await;
    build_ends(&bench, &build, BuildStatus::Failed).await;
    let releases = bench.releases(app.id).await;
    assert_eq!(releases.last().unwrap().status, ReleaseStatus::Failed);
    assert!(releases[2].current);
    assert_eq!(bench.world.branch(app.id, "main"), Some("a".repeat(40)));
    let ids = |dynos: &[renga_model::Dyno]| dynos.iter().map(|dyno| dyno.id).collect::<Vec<_>>();
    assert_eq!(ids(&bench.dynos(app.id).await), ids(&before));

    bench.world.exits("migrate", 0);
    let build = plane.push(&app, &bench.account, "c").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("the new release serves", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_does_not_boot_takes_nothing_away() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    let serving = bench.dynos(app.id).await[0].id;

    bench.world.never_ready("serve");
    bench.world.dynos_listen("127.0.0.1:5000");
    plane.engine.config_patch(&app, &bench.account, set("A", "1")).await.unwrap();
    until("the successor to start", async || bench.world.booting() == 1).await;
    bench.world.clock().advance(limits::BOOT_TIMEOUT + Duration::from_secs(1));
    plane.engine.wake.formation(app.id);
    until("R10", async || bench.world.log(app.id).iter().any(|line| line.contains("Error R10"))).await;
    let log = bench.world.log(app.id);
    let at = log.iter().position(|line| line.contains("Error R10")).unwrap();
    assert!(
        log[at + 1].contains("listens on 127.0.0.1:5000 only, where nothing outside the dyno"),
        "{log:#?}"
    );
    until("the crash to be recorded", async || {
        bench.dynos(app.id).await.iter().any(|dyno| dyno.state == DynoState::Exited)
            || bench.world.log(app.id).iter().any(|line| line.contains("to crashed"))
    })
    .await;
    let old = bench.dynos(app.id).await.into_iter().find(|dyno| dyno.id == serving);
    assert_eq!(old.map(|dyno| dyno.state), Some(DynoState::Up));
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_dyno_comes_back() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    let first = bench.dynos(app.id).await[0].id;
    bench.world.end(first, 1);
    until("a successor", async || {
        bench.serves_newest(app.id).await && bench.dynos(app.id).await[0].id != first
    })
    .await;
    let log = bench.world.log(app.id);
    for line in
        ["heroku[web.1]: Process exited with status 1", "heroku[web.1]: State changed from up to crashed"]
    {
        assert!(log.iter().any(|seen| seen == line), "no {line:?} in {log:#?}");
    }
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_that_crashes_leaves_no_row_behind() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    let serving = bench.dynos(app.id).await[0].id;

    bench.world.never_ready("serve");
    plane.engine.config_patch(&app, &bench.account, set("A", "1")).await.unwrap();
    until("the successor to start", async || bench.dynos(app.id).await.len() == 2).await;
    bench.world.end(serving, 1);
    until("the crash to be recorded", async || {
        bench.world.log(app.id).iter().any(|line| line.contains("to crashed"))
    })
    .await;
    bench.world.all_get_ready();
    until("the successor to serve alone", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

/// Faster than they boot: one serves, one follows.
#[tokio::test(start_paused = true)]
async fn releases_that_follow_fast_share_one_successor() {
    let bench = Bench::new().await;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    until("web.1 serves", async || bench.serves_newest(app.id).await).await;
    bench.world.never_ready("serve");
    for value in ["1", "2", "3", "4"] {
        plane.engine.config_patch(&app, &bench.account, set("A", value)).await.unwrap();
        let newest = bench.releases(app.id).await.last().map(|release| release.id);
        until("its dyno to start", async || {
            let dynos = bench.dynos(app.id).await;
            dynos.iter().any(|d| d.release == newest && d.state == DynoState::Starting) && dynos.len() == 2
        })
        .await;
        assert!(bench.world.held() <= 3, "{:?}", bench.world.running());
    }
    bench.world.all_get_ready();
    until("the newest to serve alone", async || bench.serves_newest(app.id).await).await;
    plane.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_size_that_is_taken_away_is_the_default_until_it_is_back() {
    use renga_engine::operations::FormationChange;
    use renga_model::SizeFigures;
    let with_tiny = |settings: &mut renga_engine::Settings| {
        settings.sizes.put("tiny", &SizeFigures { memory_mib: Some(64), ..SizeFigures::default() });
    };
    let mut bench = Bench::new().await;
    bench.tune = with_tiny;
    let plane = bench.start(&Faults::none()).await;
    let app = plane.engine.app_create(&bench.account, AppNew::default()).await.unwrap();
    let build = plane.push(&app, &bench.account, "a").await;
    build_ends(&bench, &build, BuildStatus::Succeeded).await;
    let change =
        FormationChange { process_type: "web".parse().unwrap(), quantity: None, size: Some("tiny".into()) };
    plane.engine.formation_update(&app, &bench.account, vec![change]).await.unwrap();
    let is = async |bench: &Bench, size: &str| {
        bench.serves_newest(app.id).await && bench.dynos(app.id).await[0].size == size
    };
    until("tiny", async || is(&bench, "tiny").await).await;
    plane.kill().await;

    bench.tune = |_| ();
    let plane = bench.start(&Faults::none()).await;
    until("basic", async || is(&bench, "Basic").await).await;
    let shown = plane.engine.formation_list(app.id).await.unwrap();
    assert_eq!(shown[0].0.size, "Basic");
    plane.kill().await;

    bench.tune = with_tiny;
    let plane = bench.start(&Faults::none()).await;
    until("tiny again", async || is(&bench, "tiny").await).await;
    plane.kill().await;
}

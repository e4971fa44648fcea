//! One life of an app, told the same way whatever happens to the control plane on the way: created, deployed, its
//! config changed, both once more, destroyed.

use std::{collections::BTreeMap, time::Duration};

use renga_engine::{Engine, operations::AppNew};
use renga_model::{App, AppName, Build, BuildSource, BuildStatus, Refusal, Secret};
use renga_testkit::world::Faults;

use crate::plane::{Bench, Plane, until};

pub(crate) struct Story<'a> {
    bench: &'a Bench,
    plane: Option<Plane>,
    /// Starts the plane that follows on one which died.
    next: Next,
}

/// How a plane that died is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Hearing,
    Deaf,
}

/// Tells it to its end, over `plane` and, should that die, over others.
pub(crate) async fn tell(bench: &Bench, plane: Plane, next: Next) {
    let mut story = Story { bench, plane: Some(plane), next };
    let app = story.create().await;
    for (commit, version) in [("a", 3), ("b", 5)] {
        let build = story.push(&app, commit).await;
        story.survive("the build's end", async || bench.build(&build).await.status.is_over()).await;
        let build = bench.build(&build).await;
        assert_eq!(build.status, BuildStatus::Succeeded, "{build:?}");
        story.survive("serving", async || bench.serves_newest(app.id).await).await;
        story.set_version(&app, commit).await;
        story.survive("the new config", async || bench.serves_newest(app.id).await).await;
        whole_ledger(bench, &app, version + 1).await;
        assert_eq!(bench.world.branch(app.id, "main"), Some(commit.repeat(40)));
    }
    story.survive("the outbox to be empty", async || outbox_is_empty(bench).await).await;
    lines_are_there_once(&bench.world.log(app.id));
    story.destroy(&app).await;
    story.survive("the app to go", async || !bench.app_exists(app.id).await).await;
    // Layers that were packed a moment ago might be of a build that has not named them yet.
    bench.world.clock().advance(Duration::from_secs(60));
    story.survive("its layers to go", async || bench.world.layers().is_empty()).await;
    assert_eq!((bench.world.held(), bench.world.complaints()), (0, Vec::new()));
    assert!(!bench.world.has_repository(app.id));
    assert_eq!(bench.world.log(app.id), Vec::<String>::new());
    story.plane.unwrap().kill().await;
}

/// A deploy with a release command; where the plane dies in it, the app is destroyed instead.
pub(crate) async fn cut_short(bench: &Bench, plane: Plane) {
    bench.world.builds_declare(&[("web", "serve"), ("release", "migrate")]);
    bench.world.exits("migrate", 0);
    let faults = plane.faults.clone();
    let mut story = Story { bench, plane: Some(plane), next: Next::Hearing };
    let app = story.create().await;
    if !faults.struck() {
        story.push(&app, "a").await;
    }
    if !faults.struck() {
        tokio::select! {
            biased;
            () = faults.crash() => story.follow().await,
            () = until("serving", async || bench.serves_newest(app.id).await) => {}
        }
    }
    story.destroy(&app).await;
    story.survive("the app to go", async || !bench.app_exists(app.id).await).await;
    assert_eq!((bench.world.held(), bench.world.complaints()), (0, Vec::new()));
    assert!(!bench.world.has_repository(app.id));
    story.plane.unwrap().kill().await;
}

async fn outbox_is_empty(bench: &Bench) -> bool {
    bench.read(|read| read.outbox_after(0, 1)).await.is_empty()
}

/// Whoever died on the way: each change is told, and told once.
fn lines_are_there_once(log: &[String]) {
    let count = |what: &str| log.iter().filter(|line| line.contains(what)).count();
    let releases: Vec<_> = (1..=6).map(|version| count(&format!("Release v{version} created"))).collect();
    assert_eq!(releases, [1; 6], "{log:#?}");
    assert_eq!([count("Build started"), count("Build succeeded")], [2, 2], "{log:#?}");
    let starts = count("Starting process with command");
    assert!(starts >= 4 && starts == count(" to starting"), "{log:#?}");
    assert_eq!(count("Process exited"), count("SIGTERM"), "{log:#?}");
}

/// Release numbers without gaps, one current.
async fn whole_ledger(bench: &Bench, app: &App, newest: u64) {
    let releases = bench.releases(app.id).await;
    let versions: Vec<_> = releases.iter().map(|release| release.version).collect();
    assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
    assert_eq!(releases.iter().filter(|release| release.current).count(), 1);
}

impl Story<'_> {
    async fn create(&mut self) -> App {
        let (bench, name) = (self.bench, "story".parse::<AppName>().unwrap());
        let new = AppNew { name: Some(name.clone()), ..AppNew::default() };
        let create = async |engine: Engine| engine.app_create(&bench.account, new.clone()).await;
        let made = async || {
            let name = name.clone();
            bench.read(move |read| read.app_find(&name)).await
        };
        self.insist(create, made).await
    }

    async fn push(&mut self, app: &App, commit: &str) -> Build {
        let (bench, id, commit) = (self.bench, app.id, commit.repeat(40));
        let source = BuildSource::Git { commit: commit.clone(), branch: "main".into(), previous: None };
        let push = async |engine: Engine| {
            renga_engine::operations::builds::create(&engine, id, bench.account.id, source.clone(), vec![])
                .await
        };
        let made = async || {
            let builds = bench.read(move |read| read.build_list(id, 10)).await;
            builds.into_iter().find(|build| build.source.version() == Some(&commit))
        };
        self.insist(push, made).await
    }

    async fn set_version(&mut self, app: &App, value: &str) {
        let (bench, id) = (self.bench, app.id);
        let changes = BTreeMap::from([("VERSION".parse().unwrap(), Some(Secret::new(value)))]);
        let set =
            async |engine: Engine| engine.config_patch(app, &bench.account, changes.clone()).await.map(drop);
        let made = async || {
            let latest = bench.read(move |read| read.release_latest(id)).await?;
            (latest.config.get("VERSION")?.expose() == value).then_some(())
        };
        self.insist(set, made).await;
    }

    async fn destroy(&mut self, app: &App) {
        let (bench, id) = (self.bench, app.id);
        let destroy = async |engine: Engine| engine.app_destroy(id).await.map(drop);
        let made = async || {
            let deleted = bench.read(|read| read.apps_deleted()).await.iter().any(|app| app.id == id);
            (deleted || !bench.app_exists(id).await).then_some(())
        };
        self.insist(destroy, made).await;
    }

    /// Asks for something as a user would: again, if it was refused, and after a crash if it was not done. What is
    /// refused must leave nothing.
    async fn insist<T>(
        &mut self,
        ask: impl AsyncFn(Engine) -> Result<T, Refusal>,
        made: impl AsyncFn() -> Option<T>,
    ) -> T {
        for _ in 0..3 {
            let plane = self.plane.as_ref().unwrap();
            let answer = tokio::select! {
                biased;
                () = plane.faults.crash() => None,
                answer = ask(plane.engine.clone()) => Some(answer),
            };
            match answer {
                Some(Ok(done)) => return done,
                Some(Err(refusal)) => {
                    assert!(plane.faults.struck(), "refused without a reason: {refusal:?}");
                    assert!(made().await.is_none(), "refused, but done: {refusal:?}");
                }
                None => {
                    self.follow().await;
                    if let Some(done) = made().await {
                        return done;
                    }
                }
            }
        }
        panic!("one fault struck three times");
    }

    /// Waits until it is so. A plane that dies meanwhile is followed by another.
    async fn survive<F: Future<Output = bool>>(&mut self, what: &str, mut look: impl FnMut() -> F) {
        loop {
            let plane = self.plane.as_ref().unwrap();
            tokio::select! {
                biased;
                () = plane.faults.crash() => {}
                () = until(what, &mut look) => return,
            }
            self.follow().await;
        }
    }

    async fn follow(&mut self) {
        self.plane.take().unwrap().kill().await;
        // Time passes while nobody looks after the world.
        self.bench.world.clock().advance(Duration::from_secs(1));
        self.plane = Some(match self.next {
            Next::Hearing => self.bench.start(&Faults::none()).await,
            Next::Deaf => self.bench.start_deaf(&Faults::none()).await,
        });
    }
}

//! The push gate: what `git push` asks, and what the pusher reads while the build runs.
//!
//! The build belongs to the engine from the moment its row stands; a pusher who goes away only stops reading.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use renga_model::{
    App, AppId, Build, BuildId, BuildSource, BuildStatus, DynoId, DynoState, Fault, ProcessType, Refusal,
    Release, Worker, limits,
};
use renga_ports::{PushGate, PushRequest, RefUpdate, RefVerdict};
use tokio::sync::mpsc;

use crate::{Engine, error, operations, words};
use renga_store::OrNone;

/// What git prints behind `! [remote rejected] main -> main`.
const DECLINED: &str = "pre-receive hook declined";
/// Clients that read the output by themselves have a heading of their own.
const RELEASING: &str = "Running release command...\n\n";
const ZEROS: &str = "0000000000000000000000000000000000000000";
/// How often rows are looked at if no bell rings.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// What the verification waits for a web dyno beyond its boot limit.
const VERIFY_MARGIN: Duration = Duration::from_secs(15);

/// Implements [`PushGate`] over an engine.
#[derive(Debug, Clone)]
pub struct Gate {
    engine: Engine,
}

impl Gate {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl PushGate for Gate {
    async fn push(&self, request: PushRequest, progress: mpsc::Sender<Bytes>) -> Vec<RefVerdict> {
        let pusher = Pusher { progress };
        let deploys = |update: &&RefUpdate| is_deploy(update);
        let several = request.updates.iter().filter(deploys).count() > 1;
        let mut verdicts = Vec::new();
        for update in &request.updates {
            let refused = match several {
                true => Some("push main or master, not both at once".to_owned()),
                false => self.judge(&request, update, &pusher).await.err(),
            };
            verdicts.push(RefVerdict { name: update.name.clone(), refused });
        }
        verdicts
    }
}

fn is_deploy(update: &RefUpdate) -> bool {
    matches!(update.name.as_str(), "refs/heads/main" | "refs/heads/master")
}

impl Gate {
    /// `Err` is the text for git.
    async fn judge(&self, request: &PushRequest, update: &RefUpdate, pusher: &Pusher) -> Result<(), String> {
        if !is_deploy(update) {
            pusher.say(words::PUSHED_ELSEWHERE).await;
            pusher.say("To deploy this branch, push it as main:  git push heroku BRANCH:main\n").await;
            return Err(DECLINED.into());
        }
        if update.new == ZEROS {
            pusher.say(" !     The branch that is deployed can't be deleted.\n").await;
            return Err(DECLINED.into());
        }
        match self.deploy(request, update, pusher).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DECLINED.into()),
            Err(refusal) => {
                if let Some(context) = &refusal.context {
                    tracing::error!(app.id = %request.app, "a push failed: {refusal} {context}");
                }
                pusher.say(&format!(" !     {refusal}\n")).await;
                Err(DECLINED.into())
            }
        }
    }

    async fn deploy(
        &self,
        request: &PushRequest,
        update: &RefUpdate,
        pusher: &Pusher,
    ) -> Result<bool, Refusal> {
        let engine = &self.engine;
        let branch = update.name.trim_start_matches("refs/heads/").to_owned();
        let previous = (update.old != ZEROS).then(|| update.old.clone());
        let source = BuildSource::Git { commit: update.new.clone(), branch, previous };
        let build = match operations::builds::create(engine, request.app, request.pusher, source, Vec::new())
            .await
        {
            Ok(build) => build,
            Err(refusal) if refusal.fault == Fault::Conflict => {
                pusher.say(" !     Another build of this app is in progress. Wait for it to end, then push again.\n").await;
                return Ok(false);
            }
            Err(refusal) => return Err(refusal),
        };
        pusher.relay(engine, words::BUILDING, &build.id.to_string()).await?;
        let (build, release) = self.wait_for_end(build.id, pusher).await?;
        match (build.status, release) {
            (BuildStatus::Succeeded, Some(release)) => {
                self.verify(&release, pusher).await?;
                Ok(true)
            }
            _ => {
                let app = self.app(request.app).await?;
                pusher.say(&words::push_rejected(&app.name)).await;
                Ok(false)
            }
        }
    }

    /// Until the build's row is closed; a release command's output is relayed on the way.
    async fn wait_for_end(
        &self,
        build: BuildId,
        pusher: &Pusher,
    ) -> Result<(Build, Option<Release>), Refusal> {
        let mut changes = self.engine.changes.subscribe();
        let mut relayed = false;
        loop {
            let (row, release) = self.rows(build).await?;
            let phase = release.as_ref().filter(|release| release.command_dyno.is_some());
            if let Some(release) = phase.filter(|_| !relayed) {
                relayed = true;
                // The output is made just before the command's dyno; until then there is nothing to read.
                if pusher.relay(&self.engine, RELEASING, &release.id.to_string()).await.is_err() {
                    relayed = false;
                }
            }
            if row.status.is_over() {
                return Ok((row, release));
            }
            let wait = if phase.is_some() && !relayed { Duration::from_millis(100) } else { LOOK_AGAIN };
            tokio::time::timeout(wait, changes.changed()).await.ok();
        }
    }

    async fn rows(&self, build: BuildId) -> Result<(Build, Option<Release>), Refusal> {
        let read = self.engine.store.read(move |read| -> Result<_, Refusal> {
            let build = read.build_fetch(build)?;
            let release = match build.release {
                Some(release) => read.release_fetch(release).or_none()?,
                None => None,
            };
            Ok((build, release))
        });
        read.await
    }

    async fn app(&self, app: AppId) -> Result<App, Refusal> {
        let read = self.engine.store.read(move |read| read.app_fetch(app).map_err(error::store));
        read.await
    }

    /// Success is told when requests reach the new code, not before. A release whose web dynos do not come up stands
    /// all the same, and the pusher reads that the old one still serves.
    async fn verify(&self, release: &Release, pusher: &Pusher) -> Result<(), Refusal> {
        pusher.say("Verifying deploy...").await;
        let mut changes = self.engine.changes.subscribe();
        let deadline = tokio::time::Instant::now() + limits::BOOT_TIMEOUT + VERIFY_MARGIN;
        loop {
            match self.web(release).await? {
                Web::Serving | Web::NotWanted => {
                    pusher.say(" done.\n").await;
                    return Ok(());
                }
                Web::Crashed(how) => {
                    pusher.say(&unverified(release, &how)).await;
                    return Ok(());
                }
                Web::OnItsWay => {}
            }
            let wake = tokio::time::timeout(LOOK_AGAIN, changes.changed());
            if tokio::time::timeout_at(deadline, wake).await.is_err() {
                pusher.say(&unverified(release, "no web dyno is up yet")).await;
                return Ok(());
            }
        }
    }

    async fn web(&self, release: &Release) -> Result<Web, Refusal> {
        let (app, release_id, slug) = (release.app, release.id, release.slug);
        let read = self.engine.store.read(move |read| -> Result<_, Refusal> {
            let slug = slug.map(|slug| read.slug_fetch(slug).or_none()).transpose()?.flatten();
            // An app that once had a web process keeps its formation; what counts is what this code declares.
            let declared = slug.is_some_and(|slug| slug.process_types.contains_key(&ProcessType::web()));
            let wanted = read.formation_list(app)?.iter().any(|f| f.process_type.is_web() && f.quantity > 0);
            let current = read.release_current(app)?.is_some_and(|current| current.id == release_id);
            Ok((declared && wanted && current, read.dyno_list_for_app(app)?))
        });
        let (wanted, dynos) = read.await?;
        if !wanted {
            return Ok(Web::NotWanted);
        }
        let ours = |d: &&renga_model::Dyno| {
            d.worker == Worker::Formation && d.name.process_type().is_web() && d.release == Some(release_id)
        };
        let web: Vec<_> = dynos.iter().filter(ours).collect();
        let served: Vec<DynoId> =
            web.iter().filter(|d| d.state == DynoState::Up).map(|dyno| dyno.id).collect();
        if served.iter().any(|dyno| self.engine.published.routes_to(*dyno)) {
            return Ok(Web::Serving);
        }
        let crashed = web.iter().find(|dyno| dyno.state == DynoState::Exited);
        let alone = web.iter().all(|dyno| dyno.state == DynoState::Exited);
        Ok(match crashed.filter(|_| alone).and_then(|dyno| dyno.exit.as_ref().map(|exit| (dyno, exit))) {
            Some((dyno, exit)) => Web::Crashed(format!("{} ended with status {}", dyno.name, exit.code)),
            None => Web::OnItsWay,
        })
    }
}

enum Web {
    Serving,
    NotWanted,
    OnItsWay,
    Crashed(String),
}

fn unverified(release: &Release, how: &str) -> String {
    format!(
        "\n\n !     v{} is released, but {how}; the dynos of the release before it keep serving.\n !     See: heroku logs --tail\n\n",
        release.version
    )
}

/// The pusher's terminal; writing to one who has gone is fine.
struct Pusher {
    progress: mpsc::Sender<Bytes>,
}

impl Pusher {
    async fn say(&self, text: &str) {
        self.progress.send(Bytes::copy_from_slice(text.as_bytes())).await.ok();
    }

    /// An output from its start to its finish, under a heading; nothing at all if there is no such output yet.
    async fn relay(&self, engine: &Engine, heading: &str, output: &str) -> Result<(), Refusal> {
        let mut stream = engine.logs.output_read(output).await.map_err(error::logs)?;
        self.say(heading).await;
        while let Some(bytes) = std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            if self.progress.send(bytes).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

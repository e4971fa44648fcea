//! The build workflow: source to slug to release.
//!
//! ```text
//! Pending ──source on disk, dyno row──> Building ─┬─ dyno runs: ask for it, follow its output
//!                                                 ├─ dyno exited 0: pack layers, slug + release in one transaction
//!                                                 ├─ release stands: move the branch ───────────────> Succeeded
//!                                                 └─ anything refused, or cancelled: say so, change
//!                                                    nothing else ──────────────────────────────> Failed
//! ```
//!
//! A finished slug that somebody brought goes the same way without a release: packed, it is there.
//!
//! Each pass reads where the rows stand and takes the next step; every step may be repeated. The slug's id is the
//! build's, so packing and inserting twice makes one.

mod finish;
mod prepare;

pub(super) use prepare::source_file;

use std::time::Duration;

use renga_model::{
    App, Build, BuildId, BuildStatus, Dyno, DynoState, Refusal, Release, ReleaseStatus, SlugUpload,
};

use super::dynos;
use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    wakes::Bell,
};
use renga_store::OrNone;

pub(crate) struct Builds {
    engine: Engine,
}

impl Builds {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

/// What a pass knows.
pub(crate) struct Facts {
    pub(crate) build: Build,
    pub(crate) app: App,
    pub(crate) dyno: Option<Dyno>,
    pub(crate) release: Option<Release>,
    pub(crate) cache: renga_store::BuildCache,
    pub(crate) config: renga_model::ConfigVars,
    /// What was said of the slug that is to be unpacked.
    pub(crate) upload: Option<SlugUpload>,
}

impl Loop for Builds {
    type Key = BuildId;
    const NAME: &'static str = "build";

    fn bell(&self) -> &Bell<BuildId> {
        &self.engine.wake.builds
    }
    async fn scan(&self) -> Result<Vec<BuildId>, Refusal> {
        let builds =
            self.engine.store.read(|read| read.build_list_unfinished().map_err(error::store)).await?;
        Ok(builds.into_iter().map(|build| build.id).collect())
    }
    async fn pass(&self, build: BuildId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let Some(facts) = gather(engine, build).await? else { return Ok(Next::Rest) };
        if facts.app.deleted {
            return abandon(engine, facts, "The app was destroyed.").await;
        }
        if facts.build.cancelled && facts.release.is_none() {
            return abandon(engine, facts, "The build was cancelled.").await;
        }
        match facts.build.status {
            BuildStatus::Pending => prepare::begin(engine, facts).await,
            BuildStatus::Building => step(engine, facts).await,
            BuildStatus::Succeeded | BuildStatus::Failed => Ok(Next::Rest),
        }
    }
}

async fn gather(engine: &Engine, build: BuildId) -> Result<Option<Facts>, Refusal> {
    let read = engine.store.read(move |read| -> Result<_, Refusal> {
        let Some(build) = read.build_fetch(build).or_none()? else { return Ok(None) };
        let Some(app) = read.app_fetch(build.app).or_none()? else { return Ok(None) };
        let dyno = read.dyno_fetch(build.dyno).or_none()?;
        let release = match build.release {
            Some(release) => read.release_fetch(release).or_none()?,
            None => None,
        };
        let upload = match build.source.slug() {
            Some(slug) => read.slug_upload_fetch(slug).or_none()?,
            None => None,
        };
        // Of no use to what only unpacks.
        let cache = match build.source.slug() {
            Some(_) => renga_store::BuildCache::default(),
            None => read.build_cache_fetch(app.id)?.unwrap_or_default(),
        };
        // Config of the newest release: what the next release will carry on.
        let config = read.release_latest(app.id)?.map(|release| release.config).unwrap_or_default();
        Ok(Some(Facts { build, app, dyno, release, cache, config, upload }))
    });
    read.await
}

async fn step(engine: &Engine, facts: Facts) -> Result<Next, Refusal> {
    if let Some(release) = &facts.release {
        return after_release(engine, &facts, release).await;
    }
    if facts.build.source.slug().is_some() && facts.build.slug.is_some() {
        return finish::end(engine, &facts, BuildStatus::Succeeded, None, None).await;
    }
    let Some(dyno) = &facts.dyno else {
        return finish::fail(engine, &facts, "The build's dyno is gone.").await;
    };
    match dyno.state {
        DynoState::Exited => finish::conclude(engine, &facts, dyno).await,
        DynoState::Planned
        | DynoState::Starting
        | DynoState::Up
        | DynoState::Frozen
        | DynoState::Stopping => {
            engine.logs.follow_output(&facts.build.id.to_string(), dyno.id);
            if let Err(failed) = dynos::ask_to_start(engine, dyno, prepare::spec(engine, &facts, dyno)?).await
            {
                finish::tell_waiting(engine, &facts, dyno).await?;
                return Err(failed);
            }
            // Its own exit wakes us; the age is looked at in case the supervisor did not end it.
            Ok(Next::Again(engine.settings.build_timeout))
        }
    }
}

/// The release is there: it decides how the build ends.
async fn after_release(engine: &Engine, facts: &Facts, release: &Release) -> Result<Next, Refusal> {
    finish::announce(engine, facts, release).await?;
    match release.status {
        ReleaseStatus::Pending => Ok(Next::Again(Duration::from_secs(5))),
        ReleaseStatus::Succeeded | ReleaseStatus::Expired => finish::succeed(engine, facts).await,
        ReleaseStatus::Failed => finish::fail_release(engine, facts).await,
    }
}

/// The build stops and leaves nothing.
async fn abandon(engine: &Engine, facts: Facts, why: &str) -> Result<Next, Refusal> {
    match &facts.dyno {
        _ if facts.build.status.is_over() => Ok(Next::Rest),
        Some(dyno) if facts.build.status == BuildStatus::Building && dyno.state != DynoState::Exited => {
            dynos::end_now(engine, dyno).await?;
            Ok(Next::Again(Duration::from_secs(1)))
        }
        _ => finish::fail(engine, &facts, why).await,
    }
}

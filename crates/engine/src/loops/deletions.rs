//! Destroyed apps: everything of theirs goes, the row last, so that being killed in the middle only delays it.

use std::time::Duration;

use renga_model::{AppId, Dyno, DynoState, Refusal, Worker};

use super::dynos;
use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    operations::slugs,
    wakes::Bell,
};
use renga_store::OrNone;

/// Builds and releases whose outputs are removed with an app (those further back have lost theirs to the budget).
const OUTPUTS_MAX: usize = 10_000;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct Deletions {
    engine: Engine,
}

impl Deletions {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Loop for Deletions {
    type Key = AppId;
    const NAME: &'static str = "deletion";

    fn bell(&self) -> &Bell<AppId> {
        &self.engine.wake.deletions
    }
    async fn scan(&self) -> Result<Vec<AppId>, Refusal> {
        let deleted = self.engine.store.read(|read| read.apps_deleted().map_err(error::store)).await?;
        Ok(deleted.into_iter().map(|app| app.id).collect())
    }
    async fn pass(&self, app: AppId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let read = engine.store.read(move |read| -> Result<_, Refusal> {
            let Some(app) = read.app_fetch(app).or_none()?.filter(|app| app.deleted) else { return Ok(None) };
            let dynos = read.dyno_list_for_app(app.id)?;
            let builds = read.build_list(app.id, OUTPUTS_MAX)?;
            let releases = read.release_list(app.id, true, OUTPUTS_MAX, None)?;
            Ok(Some((dynos, builds, releases)))
        });
        let Some((dynos, builds, releases)) = read.await? else { return Ok(Next::Rest) };
        engine.wake.formation(app);
        engine.wake.routes();
        builds.iter().filter(|build| !build.status.is_over()).for_each(|build| engine.wake.builds(build.id));
        for dyno in &dynos {
            end(engine, dyno).await?;
        }
        if !dynos.is_empty() || builds.iter().any(|build| !build.status.is_over()) {
            return Ok(Next::Again(LOOK_AGAIN));
        }
        // The node lets go last: until then its dynos could still write into the log that is about to go.
        let held = engine.runtime.inventory().await.map_err(error::runtime)?;
        if held.iter().any(|report| report.app == app) {
            return Ok(Next::Again(LOOK_AGAIN));
        }
        let outputs =
            builds.iter().map(|b| b.id.to_string()).chain(releases.iter().map(|r| r.id.to_string()));
        for output in outputs {
            engine.logs.output_remove(&output).await.map_err(error::logs)?;
        }
        slugs::remove_archives(engine, app).await?;
        engine.git.repository_remove(app).await.map_err(error::git)?;
        engine.logs.app_remove(app).await.map_err(error::logs)?;
        engine.store.write(move |tx| tx.app_delete(app).map_err(Refusal::from)).await?;
        engine.decisions.forget(app);
        engine.wake.garbage();
        tracing::info!(app.id = %app, "app {app} is gone");
        Ok(Next::Rest)
    }
}

/// Formation dynos and builds are ended by their own loops; what nobody else owns any more ends here.
async fn end(engine: &Engine, dyno: &Dyno) -> Result<(), Refusal> {
    match (&dyno.worker, dyno.state) {
        (Worker::OneOff(_), DynoState::Exited) => engine.wake.one_off(dyno.id),
        (Worker::ReleasePhase, DynoState::Exited) => {
            dynos::free(engine, dyno.id).await?;
            let id = dyno.id;
            engine.store.write(move |tx| tx.dyno_delete(id).map_err(Refusal::from)).await?;
        }
        (Worker::OneOff(_) | Worker::ReleasePhase, _) => dynos::end_now(engine, dyno).await?,
        (Worker::Formation | Worker::Build, _) => {}
    }
    Ok(())
}

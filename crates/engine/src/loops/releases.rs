//! The release phase: pending releases, one at a time per app, oldest first.
//!
//! A pending release has a dyno of its own. Exit 0 makes the release current, anything else fails it and the release
//! before it keeps serving.

use std::time::Duration;

use renga_model::{
    App, AppId, Dyno, DynoEvent, DynoId, DynoName, DynoState, Exit, ProcessType, Refusal, Release,
    ReleaseStatus, Slug, Worker,
};

use super::dynos;
use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    spec::{Source, process_spec},
    wakes::Bell,
    words,
};
use renga_store::OrNone;

const STEP_RUNNING: u64 = 1;
const STEP_ENDED: u64 = 2;

pub(crate) struct Releases {
    engine: Engine,
}

impl Releases {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

struct Facts {
    app: App,
    release: Release,
    slug: Slug,
    command: String,
    size: String,
    dyno_id: DynoId,
    dyno: Option<Dyno>,
}

impl Loop for Releases {
    type Key = AppId;
    const NAME: &'static str = "release";

    fn bell(&self) -> &Bell<AppId> {
        &self.engine.wake.releases
    }
    async fn scan(&self) -> Result<Vec<AppId>, Refusal> {
        let pending =
            self.engine.store.read(|read| read.release_list_pending().map_err(error::store)).await?;
        Ok(pending.into_iter().map(|release| release.app).collect())
    }
    async fn pass(&self, app: AppId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let Some(facts) = gather(engine, app).await? else { return Ok(Next::Rest) };
        match &facts.dyno {
            None => begin(engine, &facts).await,
            Some(dyno) if dyno.state == DynoState::Exited => conclude(engine, &facts, dyno).await,
            Some(dyno) => {
                engine.logs.follow_output(&facts.release.id.to_string(), dyno.id);
                let source = Source { app: &facts.app, release: &facts.release, slug: Some(&facts.slug) };
                dynos::ask_to_start(engine, dyno, process_spec(&engine.settings, &source, dyno)).await?;
                Ok(Next::Rest)
            }
        }
    }
}

/// The oldest pending release of an app, if there is one.
async fn gather(engine: &Engine, app: AppId) -> Result<Option<Facts>, Refusal> {
    let settings = engine.settings.clone();
    let read = engine.store.read(move |read| -> Result<_, Refusal> {
        let mut pending = read.release_list_pending()?;
        pending.retain(|release| release.app == app);
        let Some(release) = pending.into_iter().min_by_key(|release| release.version) else {
            return Ok(None);
        };
        let Some(app) = read.app_fetch(app).or_none()?.filter(|app| !app.deleted) else { return Ok(None) };
        let (Some(slug), Some(dyno_id)) = (release.slug, release.command_dyno) else { return Ok(None) };
        let Some(slug) = read.slug_fetch(slug).or_none()? else { return Ok(None) };
        let Some(command) = slug.command(&ProcessType::release()).map(str::to_owned) else { return Ok(None) };
        let formation = read.formation_list(app.id)?;
        let size = formation.iter().find(|f| f.process_type.is_release()).map(|f| settings.size(&f.size));
        let size = size.unwrap_or_else(|| settings.sizes.default_size()).name.clone();
        let dyno = read.dyno_fetch(dyno_id).or_none()?;
        Ok(Some(Facts { app, release, slug, command, size, dyno_id, dyno }))
    });
    read.await
}

async fn begin(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    let now = engine.now();
    let number =
        u32::from(facts.dyno_id.uuid().as_bytes()[0]) * 256 + u32::from(facts.dyno_id.uuid().as_bytes()[1]);
    let row = Dyno {
        id: facts.dyno_id,
        app: facts.app.id,
        name: DynoName::new(ProcessType::release(), 1000 + number % 9000),
        worker: Worker::ReleasePhase,
        release: Some(facts.release.id),
        release_version: Some(facts.release.version),
        size: facts.size.clone(),
        command: facts.command.clone(),
        state: DynoState::Planned,
        generation: 0,
        epoch: 0,
        address: None,
        exit: None,
        created_at: now,
        updated_at: now,
    };
    let output = facts.release.id.to_string();
    // Makes the output, so that readers may come before the command's first word.
    engine.logs.output_append(&output, STEP_RUNNING, "").await.map_err(error::logs)?;
    let insert = engine.store.write(move |tx| -> Result<(), Refusal> {
        tx.dyno_insert(&row)?;
        tx.dyno_move(row.id, row.generation, DynoEvent::Start, now)?;
        tx.say(row.app, &words::heroku(now, &row.name, words::starting(&row.command)))?;
        Ok(())
    });
    insert.await?;
    Ok(Next::Again(Duration::ZERO))
}

async fn conclude(engine: &Engine, facts: &Facts, dyno: &Dyno) -> Result<Next, Refusal> {
    let output = facts.release.id.to_string();
    engine.logs.follow_output(&output, dyno.id);
    engine.logs.drained(dyno.id).await.map_err(error::logs)?;
    let ended_well = dyno.exit.as_ref().is_some_and(|exit| exit.code == 0);
    if !ended_well {
        let text = failure_text(dyno.exit.as_ref());
        engine.logs.output_append(&output, STEP_ENDED, &text).await.map_err(error::logs)?;
    }
    engine.logs.output_finish(&output).await.map_err(error::logs)?;
    dynos::forget(engine, dyno.id).await?;
    let (release, dyno, app, now) = (facts.release.id, dyno.id, facts.app.id, engine.now());
    let failed = words::api(now, words::release_failed(facts.release.version));
    let close = engine.store.write(move |tx| -> Result<(), Refusal> {
        tx.dyno_delete(dyno)?;
        if ended_well {
            tx.release_set_status(release, ReleaseStatus::Pending, ReleaseStatus::Succeeded, now)?;
            tx.release_make_current(release, now)?;
            tx.slot_clear(app, None)?;
            tx.sleep_end(app, now)?;
        } else {
            tx.release_set_status(release, ReleaseStatus::Pending, ReleaseStatus::Failed, now)?;
            tx.say(app, &failed)?;
        }
        Ok(())
    });
    close.await?;
    wake_after(engine, app).await?;
    // The next pending one, if any.
    Ok(Next::Again(Duration::ZERO))
}

fn failure_text(exit: Option<&Exit>) -> String {
    let status = exit.map_or_else(|| "an unknown status".to_owned(), |exit| format!("status {}", exit.code));
    format!(" !     Release command ended with {status}; the release before this one keeps running.\n")
}

/// The formation, the routes, and a build that waits for its release.
async fn wake_after(engine: &Engine, app: AppId) -> Result<(), Refusal> {
    engine.wake.formation(app);
    engine.wake.routes();
    engine.changes.tell();
    let unfinished = engine.store.read(|read| read.build_list_unfinished().map_err(error::store)).await?;
    unfinished.iter().filter(|build| build.app == app).for_each(|build| engine.wake.builds(build.id));
    Ok(())
}

//! One-off dynos: started once, never again; gone when their exit has been recorded.

use std::time::Duration;

use renga_model::{App, Dyno, DynoEvent, DynoId, DynoState, Refusal, Release, Slug, Worker, limits};

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

pub(crate) struct OneOffs {
    engine: Engine,
}

impl OneOffs {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

struct Facts {
    app: App,
    dyno: Dyno,
    attached: bool,
    release: Option<Release>,
    slug: Option<Slug>,
}

impl Loop for OneOffs {
    type Key = DynoId;
    const NAME: &'static str = "one-off";

    fn bell(&self) -> &Bell<DynoId> {
        &self.engine.wake.one_offs
    }
    async fn scan(&self) -> Result<Vec<DynoId>, Refusal> {
        let dynos = self.engine.store.read(|read| read.dyno_list().map_err(error::store)).await?;
        let one_offs = dynos.into_iter().filter(|dyno| matches!(dyno.worker, Worker::OneOff(_)));
        Ok(one_offs.map(|dyno| dyno.id).collect())
    }
    async fn pass(&self, dyno: DynoId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let Some(facts) = gather(engine, dyno).await? else { return Ok(Next::Rest) };
        match facts.dyno.state {
            DynoState::Planned => begin(engine, facts).await,
            DynoState::Starting | DynoState::Up => keep(engine, &facts).await,
            DynoState::Stopping => stop(engine, &facts.dyno).await,
            DynoState::Exited => clear(engine, &facts.dyno).await,
        }
    }
}

async fn gather(engine: &Engine, dyno: DynoId) -> Result<Option<Facts>, Refusal> {
    let read = engine.store.read(move |read| -> Result<_, Refusal> {
        let Some(dyno) = read.dyno_fetch(dyno).or_none()? else { return Ok(None) };
        let Worker::OneOff(one_off) = &dyno.worker else { return Ok(None) };
        let attached = one_off.attach_hash.is_some();
        let Some(app) = read.app_fetch(dyno.app).or_none()? else { return Ok(None) };
        let release = match dyno.release {
            Some(release) => read.release_fetch(release).or_none()?,
            None => None,
        };
        let slug = match release.as_ref().and_then(|release| release.slug) {
            Some(slug) => read.slug_fetch(slug).or_none()?,
            None => None,
        };
        Ok(Some(Facts { app, dyno, attached, release, slug }))
    });
    read.await
}

async fn begin(engine: &Engine, facts: Facts) -> Result<Next, Refusal> {
    let (dyno, now) = (facts.dyno, engine.now());
    engine.logs.write(dyno.app, words::heroku(now, &dyno.name, words::starting(&dyno.command)));
    engine
        .store
        .write(move |tx| tx.dyno_move(dyno.id, dyno.generation, DynoEvent::Start, now).map_err(Refusal::from))
        .await?;
    Ok(Next::Again(Duration::ZERO))
}

async fn keep(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    let (dyno, now) = (&facts.dyno, engine.now());
    let Some(release) = &facts.release else {
        return Err(Refusal::internal(format!("one-off dyno {} has no release", dyno.id)));
    };
    let source = Source { app: &facts.app, release, slug: facts.slug.as_ref() };
    dynos::ask_to_start(engine, dyno, process_spec(&engine.settings, &source, dyno)).await?;
    if !facts.attached || engine.attached.has(dyno.id) {
        return Ok(Next::Rest);
    }
    let waited = Duration::try_from(now.duration_since(dyno.created_at)).unwrap_or_default();
    let left = limits::ATTACH_TIMEOUT.saturating_sub(waited);
    if !left.is_zero() {
        return Ok(Next::Again(left));
    }
    engine.logs.write(dyno.app, words::heroku(now, &dyno.name, words::ATTACH_TIMEOUT));
    ask(engine, dyno).await?;
    Ok(Next::Again(Duration::ZERO))
}

/// Wishes it gone.
async fn ask(engine: &Engine, dyno: &Dyno) -> Result<(), Refusal> {
    let (id, generation, now) = (dyno.id, dyno.generation, engine.now());
    engine
        .store
        .write(move |tx| tx.dyno_move(id, generation, DynoEvent::Ask, now).map_err(Refusal::from))
        .await?;
    Ok(())
}

async fn stop(engine: &Engine, dyno: &Dyno) -> Result<Next, Refusal> {
    if engine.asked.stop(dyno.id) {
        dynos::ask_to_stop(engine, dyno.id, limits::STOP_GRACE).await?;
        engine.logs.write(dyno.app, words::heroku(engine.now(), &dyno.name, words::STOPPING));
    }
    Ok(Next::Rest)
}

async fn clear(engine: &Engine, dyno: &Dyno) -> Result<Next, Refusal> {
    if matches!(&dyno.worker, Worker::OneOff(one_off) if one_off.attach_hash.is_none()) {
        engine.logs.follow_dyno(dyno.app, dyno.id, &dyno.name.to_string());
        engine.logs.drained(dyno.id).await.map_err(error::logs)?;
    }
    dynos::free(engine, dyno.id).await?;
    let id = dyno.id;
    engine.store.write(move |tx| tx.dyno_delete(id).map_err(Refusal::from)).await?;
    engine.attached.gone(id);
    Ok(Next::Rest)
}

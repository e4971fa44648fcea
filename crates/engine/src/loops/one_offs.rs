//! One-off dynos: started once, never again; gone when their exit has been recorded.

use std::time::Duration;

use renga_model::{
    App, AttachClient, Dyno, DynoEvent, DynoId, DynoState, Refusal, Release, Slug, Worker, limits,
};
use renga_planner::{RunSeen, RunStep, run_step};

use super::dynos;
use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    spec::{Source, process_spec},
    wakes::Bell,
    words,
};
use renga_store::{OrNone, Told};

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
    /// None: it runs detached.
    client: Option<AttachClient>,
    time_to_live: Option<Duration>,
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
            DynoState::Starting | DynoState::Up | DynoState::Frozen => keep(engine, &facts).await,
            DynoState::Stopping => stop(engine, &facts.dyno).await,
            DynoState::Exited => clear(engine, &facts.dyno).await,
        }
    }
}

async fn gather(engine: &Engine, dyno: DynoId) -> Result<Option<Facts>, Refusal> {
    let read = engine.store.read(move |read| -> Result<_, Refusal> {
        let Some(dyno) = read.dyno_fetch(dyno).or_none()? else { return Ok(None) };
        let Worker::OneOff(one_off) = &dyno.worker else { return Ok(None) };
        let client = one_off.attach_hash.is_some().then_some(one_off.client);
        let time_to_live = one_off.time_to_live_s.map(|seconds| Duration::from_secs(seconds.into()));
        let Some(app) = read.app_fetch(dyno.app).or_none()? else { return Ok(None) };
        let release = match dyno.release {
            Some(release) => read.release_fetch(release).or_none()?,
            None => None,
        };
        let slug = match release.as_ref().and_then(|release| release.slug) {
            Some(slug) => read.slug_fetch(slug).or_none()?,
            None => None,
        };
        Ok(Some(Facts { app, dyno, client, time_to_live, release, slug }))
    });
    read.await
}

async fn begin(engine: &Engine, facts: Facts) -> Result<Next, Refusal> {
    let (dyno, now) = (facts.dyno, engine.now());
    let begin = engine.store.write(move |tx| -> Result<(), Refusal> {
        tx.dyno_move(dyno.id, dyno.generation, DynoEvent::Start, now)?;
        let say = |text: &str| tx.say(dyno.app, &words::heroku(now, &dyno.name, text));
        if facts.client.is_some() {
            say(words::AWAITING_CLIENT)?;
        }
        Ok(say(&words::starting(&dyno.command))?)
    });
    begin.await?;
    Ok(Next::Again(Duration::ZERO))
}

async fn keep(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    let dyno = &facts.dyno;
    let Some(release) = &facts.release else {
        return Err(Refusal::internal(format!("one-off dyno {} has no release", dyno.id)));
    };
    let source = Source { app: &facts.app, release, slug: facts.slug.as_ref() };
    dynos::ask_to_start(engine, dyno, process_spec(&engine.settings, &source, dyno)).await?;
    take_step(engine, facts).await
}

/// What the time that has passed asks for.
async fn take_step(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    let (dyno, now) = (&facts.dyno, engine.now());
    let seen = RunSeen {
        dyno: dyno.id,
        created_at: dyno.created_at,
        begun_at: engine.asked.begun_at(dyno.id),
        client: facts.client,
        connected: engine.attached.has(dyno.id),
        time_to_live: facts.time_to_live,
    };
    match run_step(&seen, engine.settings.cycle_after, now) {
        RunStep::Wait(until) => {
            let left = until.map(|until| Duration::try_from(until.duration_since(now)).unwrap_or_default());
            return Ok(left.map_or(Next::Rest, Next::Again));
        }
        RunStep::NobodyCame => ask(engine, dyno, Some(words::ATTACH_TIMEOUT)).await?,
        RunStep::ClientGone => engine.one_off_client_gone(dyno.id).await?,
        RunStep::Outlives => {
            if let Some(gone) = facts.client {
                outlive(engine, dyno, gone).await?;
            }
        }
        RunStep::TimeOver => ask(engine, dyno, None).await?,
        RunStep::Cycled => ask(engine, dyno, Some(words::CYCLING)).await?,
    }
    Ok(Next::Again(Duration::ZERO))
}

/// Goes on without the client that has gone.
async fn outlive(engine: &Engine, dyno: &Dyno, gone: AttachClient) -> Result<(), Refusal> {
    let (id, app, line) = (dyno.id, dyno.app, words::heroku(engine.now(), &dyno.name, words::DETACHED));
    let outlive = engine.store.write(move |tx| -> Result<(), Refusal> {
        if tx.dyno_move_client(id, gone, AttachClient::Outlived)? {
            tx.say(app, &line)?;
        }
        Ok(())
    });
    outlive.await
}

/// Wishes it gone, and tells why.
async fn ask(engine: &Engine, dyno: &Dyno, why: Option<&str>) -> Result<(), Refusal> {
    let (id, app, generation, now) = (dyno.id, dyno.app, dyno.generation, engine.now());
    let line = why.map(|why| words::heroku(now, &dyno.name, why));
    let ask = engine.store.write(move |tx| -> Result<(), Refusal> {
        tx.dyno_move(id, generation, DynoEvent::Ask, now)?;
        Ok(line.iter().try_for_each(|line| tx.say(app, line))?)
    });
    ask.await
}

async fn stop(engine: &Engine, dyno: &Dyno) -> Result<Next, Refusal> {
    if engine.asked.stop(dyno.id) {
        dynos::tell(engine, dyno, Told::Stopping, vec![words::STOPPING.into()]).await?;
        dynos::ask_to_stop(engine, dyno.id, limits::STOP_GRACE).await?;
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

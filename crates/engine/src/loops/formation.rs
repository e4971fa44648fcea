//! Per app: the dynos that the current release and the formation ask for, against those that live.

mod headroom;

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use renga_model::{
    App, AppId, Dyno, DynoEvent, DynoId, DynoName, DynoSize, DynoState, Formation, LogLine, Refusal, Release,
    Slug, Worker, limits,
};
use renga_planner::{Action, CYCLES, Crashes, Live, NO_ROOM, Rest, SLEEPS, Slot, Want};
use renga_store::{OrNone, Read, Sleep, Told};

use super::{dynos, freeze};
use crate::{
    DecisionKind, Engine,
    driver::{Loop, Next},
    error,
    spec::{PORT, Source, process_spec},
    wakes::Bell,
    words,
};

/// How often a dyno that leaves is looked at again while the router still has requests for it.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// How often a dyno that boots is looked at before the node has said that its process has begun.
const BEGIN_LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Formations {
    engine: Engine,
}

impl Formations {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Loop for Formations {
    type Key = AppId;
    const NAME: &'static str = "formation";

    fn bell(&self) -> &Bell<AppId> {
        &self.engine.wake.formations
    }
    /// Destroyed apps too, for which nothing is wanted any more.
    async fn scan(&self) -> Result<Vec<AppId>, Refusal> {
        let read = self
            .engine
            .store
            .read(|read| -> Result<_, Refusal> { Ok((read.app_list()?, read.apps_deleted()?)) });
        let (apps, deleted) = read.await?;
        Ok(apps.into_iter().chain(deleted).map(|app| app.id).collect())
    }
    async fn pass(&self, app: AppId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let Some(facts) = look(engine, app).await? else {
            return Ok(Next::Rest);
        };
        let actions = facts.plan(engine.now(), engine.settings.cycle_after);
        let actions = headroom::within(engine, &facts, actions).await?;
        let wait = earliest_wait(&actions, engine.now());
        note(engine, app, &actions);
        // Requests wait for these; for the others nobody does.
        let thawed = freeze::thaw(engine, &facts.app, &actions).await?;
        let changed = carry_out(engine, &facts, actions).await? || thawed;
        let facts = match changed {
            true => look(engine, app).await?.unwrap_or(facts),
            false => facts,
        };
        start_all(engine, &facts).await?;
        freeze::freeze(engine, &facts).await?;
        let cycle = facts.next_cycle(engine.now(), engine.settings.cycle_after);
        let next = [wait, cycle, watch_boots(engine, &facts).await?, stop_all(engine, &facts).await?];
        Ok(next.into_iter().flatten().min().map_or(Next::Rest, Next::Again))
    }
}

// === what a pass knows ===

pub(crate) struct Facts {
    pub(crate) app: App,
    pub(crate) release: Option<Release>,
    slug: Option<Slug>,
    formation: Vec<Formation>,
    pub(crate) dynos: Vec<Dyno>,
    pub(crate) crashes: BTreeMap<DynoName, Crashes>,
    pub(crate) sleep: Option<Sleep>,
}

pub(crate) async fn look(engine: &Engine, app: AppId) -> Result<Option<Facts>, Refusal> {
    let facts = engine.store.read(move |read| gather(read, app)).await?;
    Ok(facts.map(|mut facts| {
        for row in &mut facts.formation {
            engine.settings.size(&row.size).name.clone_into(&mut row.size);
        }
        facts
    }))
}

fn gather(read: &Read<'_>, app: AppId) -> Result<Option<Facts>, Refusal> {
    let Some(app) = read.app_fetch(app).or_none()? else { return Ok(None) };
    let release = read.release_current(app.id)?;
    let slug = match release.as_ref().and_then(|release| release.slug) {
        Some(slug) => read.slug_fetch(slug).or_none()?,
        None => None,
    };
    let mut dynos = read.dyno_list_for_app(app.id)?;
    dynos.retain(|dyno| dyno.worker == Worker::Formation);
    let formation = read.formation_list(app.id)?;
    let slots = read.slot_fetch_all(app.id)?.into_iter();
    let crashes = slots.map(|s| (s.name, Crashes { count: s.crashes, last_at: s.last_crash_at })).collect();
    let sleep = read.sleep_fetch(app.id)?.filter(|sleep| sleep.asleep);
    Ok(Some(Facts { app, release, slug, formation, dynos, crashes, sleep }))
}

impl Facts {
    pub(crate) fn plan(&self, now: Timestamp, cycle_after: Option<Duration>) -> Vec<Action> {
        renga_planner::plan(self.want().as_ref(), &self.live(cycle_after), now)
    }

    /// Until the first dyno's day is over. Those that are due already are planned for.
    fn next_cycle(&self, now: Timestamp, cycle_after: Option<Duration>) -> Option<Duration> {
        let ends = self.live(cycle_after).into_iter().filter_map(|dyno| dyno.cycle_at);
        ends.filter(|at| *at > now).min().map(|at| positive(at.duration_since(now)))
    }

    fn live(&self, cycle_after: Option<Duration>) -> Vec<Live> {
        let live = self.dynos.iter().filter(|dyno| dyno.state != DynoState::Exited);
        live.map(|dyno| live_dyno(dyno, cycle_after)).collect()
    }

    pub(crate) fn want(&self) -> Option<Want> {
        let (release, slug) = (self.release.as_ref()?, self.slug.as_ref()?);
        if self.app.deleted {
            return None;
        }
        let runs =
            |f: &&Formation| slug.process_types.contains_key(&f.process_type) && !f.process_type.is_release();
        let slots = self.formation.iter().filter(runs).flat_map(|formation| self.slots(formation));
        let preboot = !self.app.features_off.iter().any(|feature| feature == "preboot");
        Some(Want { release: release.id, slots: slots.collect(), preboot })
    }

    fn slots(&self, formation: &Formation) -> Vec<Slot> {
        let rest = self.rest(formation);
        let slot = |number| {
            let name = DynoName::new(formation.process_type.clone(), number);
            let crashes = self.crashes.get(&name).copied();
            Slot { name, size: formation.size.clone(), epoch: formation.epoch, crashes, rest }
        };
        (1..=formation.quantity).map(slot).collect()
    }

    /// Workers are not frozen: whoever holds a job keeps it from the others.
    fn rest(&self, formation: &Formation) -> Rest {
        let Some(sleep) = self.sleep.filter(|_| DynoSize::sleeps(&formation.size)) else {
            return Rest::Awake;
        };
        match sleep.frozen_until.filter(|_| formation.process_type.is_web()) {
            Some(until) => Rest::Frozen { until },
            None => Rest::Stopped,
        }
    }

    fn formation_of(&self, name: &DynoName) -> Option<&Formation> {
        self.formation.iter().find(|formation| formation.process_type == *name.process_type())
    }
}

fn live_dyno(dyno: &Dyno, cycle_after: Option<Duration>) -> Live {
    Live {
        id: dyno.id,
        name: dyno.name.clone(),
        release: dyno.release,
        size: dyno.size.clone(),
        epoch: dyno.epoch,
        state: dyno.state,
        cycle_at: cycle_after.map(|every| renga_planner::cycle_at(dyno.id, dyno.created_at, every)),
    }
}

/// For whoever asks why. (A start that could not be committed is planned, and noted, again.)
fn note(engine: &Engine, app: AppId, actions: &[Action]) {
    let now = engine.now();
    for action in actions {
        let (name, decision) = match action {
            Action::Start { name, why } => (name, (DecisionKind::Start, (*why).to_owned())),
            Action::Stop { name, why, .. } => (name, (DecisionKind::Stop, (*why).to_owned())),
            Action::Freeze { name, .. } => (name, (DecisionKind::Freeze, SLEEPS.to_owned())),
            Action::Thaw { name, .. } => (name, (DecisionKind::Thaw, "its app is awake".to_owned())),
            Action::Keep { .. } => continue,
            Action::Wait { name, until } => {
                let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
                (name, (DecisionKind::Wait, format!("it is not started again before {until}")))
            }
        };
        engine.decisions.note(app, now, name, decision);
    }
}

fn earliest_wait(actions: &[Action], now: Timestamp) -> Option<Duration> {
    let until = actions.iter().filter_map(|action| match action {
        Action::Wait { until, .. } | Action::Keep { until } => Some(*until),
        _ => None,
    });
    until.min().map(|until| positive(until.duration_since(now)))
}

fn positive(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

// === acting ===

/// Commits the intents: new rows, and rows that are asked to stop. Returns whether there were any.
async fn carry_out(engine: &Engine, facts: &Facts, actions: Vec<Action>) -> Result<bool, Refusal> {
    let now = engine.now();
    let mut fresh = Vec::new();
    let mut stops = Vec::new();
    let mut freezes = Vec::new();
    for action in actions {
        match action {
            Action::Start { name, why } => fresh.extend(new_row(facts, name, now).map(|row| (row, why))),
            Action::Stop { id, name, why } => stops.push((id, name, why)),
            Action::Freeze { id, name } => freezes.push((id, name)),
            Action::Thaw { .. } | Action::Wait { .. } | Action::Keep { .. } => {}
        }
    }
    let superseded = superseded(facts, &fresh);
    if fresh.is_empty() && stops.is_empty() && freezes.is_empty() && superseded.is_empty() {
        return Ok(false);
    }
    let rows: Vec<_> = fresh.iter().map(|(row, _)| row.clone()).collect();
    let (app, lines) = (facts.app.id, start_and_stop_lines(facts, &fresh, &stops, &freezes, now));
    let stopped = stops.iter().map(|(id, ..)| (*id, DynoEvent::Ask));
    let leaving: Vec<_> = stopped.chain(freezes.iter().map(|(id, _)| (*id, DynoEvent::Freeze))).collect();
    let commit = engine.store.write(move |tx| -> Result<(), Refusal> {
        for id in superseded {
            tx.dyno_delete(id)?;
        }
        for row in rows {
            tx.dyno_insert(&row)?;
            tx.dyno_move(row.id, row.generation, DynoEvent::Start, now)?;
        }
        for (id, event) in leaving {
            let Some(row) = tx.dyno_fetch(id).or_none()? else { continue };
            tx.dyno_move(id, row.generation, event, now)?;
        }
        Ok(lines.iter().try_for_each(|line| tx.say(app, line))?)
    });
    commit.await?;
    for (row, why) in &fresh {
        tracing::info!(app.name = %facts.app.name, dyno.name = %row.name, dyno.id = %row.id, "start {}: {why}", row.name);
    }
    for (id, name, why) in &stops {
        tracing::info!(app.name = %facts.app.name, dyno.name = %name, dyno.id = %id, "stop {name}: {why}");
    }
    for (id, name) in &freezes {
        tracing::info!(app.name = %facts.app.name, dyno.name = %name, dyno.id = %id, "freeze {name}: {SLEEPS}");
    }
    engine.wake.routes();
    Ok(true)
}

/// What users are told of these decisions.
fn start_and_stop_lines(
    facts: &Facts,
    fresh: &[(Dyno, &str)],
    stops: &[(DynoId, DynoName, &str)],
    freezes: &[(DynoId, DynoName)],
    now: Timestamp,
) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for (row, why) in fresh {
        let before = facts.dynos.iter().rfind(|d| d.name == row.name && d.state == DynoState::Exited);
        let from = match before {
            Some(dyno) if dyno.is_idle() => "down",
            Some(_) => "crashed",
            None => "created",
        };
        let say = |text: String| words::heroku(now, &row.name, text);
        lines.extend(why_line(&row.name, why, now));
        lines.extend([say(words::state_changed(from, "starting")), say(words::starting(&row.command))]);
    }
    lines.extend(stops.iter().filter_map(|(_, name, why)| why_line(name, why, now)));
    lines.extend(freezes.iter().filter_map(|(_, name)| why_line(name, SLEEPS, now)));
    lines
}

/// A decision that has a word of its own.
fn why_line(name: &DynoName, why: &str, now: Timestamp) -> Option<LogLine> {
    let word = match why {
        SLEEPS => words::IDLING,
        CYCLES => words::CYCLING,
        NO_ROOM => words::NO_ROOM,
        _ => return None,
    };
    Some(words::heroku(now, name, word))
}

/// Crashed rows whose slot gets a new dyno, has a later one already, or is no longer wanted.
fn superseded(facts: &Facts, fresh: &[(Dyno, &str)]) -> Vec<DynoId> {
    let wanted = facts.want().map(|want| want.slots).unwrap_or_default();
    let goes = |dyno: &&Dyno| {
        fresh.iter().any(|(row, _)| row.name == dyno.name)
            || facts.dynos.iter().any(|other| follows(other, dyno))
            || !wanted.iter().any(|slot| slot.name == dyno.name)
    };
    facts.dynos.iter().filter(|d| d.state == DynoState::Exited).filter(goes).map(|dyno| dyno.id).collect()
}

/// Whether `other` is there to stay and was planned after `dyno`. (A crashed successor says why the old release still
/// serves: its row stays.)
fn follows(other: &Dyno, dyno: &Dyno) -> bool {
    let age = |dyno: &Dyno| (dyno.release_version, dyno.epoch, dyno.created_at);
    let stays = !matches!(other.state, DynoState::Stopping | DynoState::Exited);
    stays && other.name == dyno.name && age(other) >= age(dyno)
}

fn new_row(facts: &Facts, name: DynoName, now: Timestamp) -> Option<Dyno> {
    let (release, slug) = (facts.release.as_ref()?, facts.slug.as_ref()?);
    let formation = facts.formation_of(&name)?;
    Some(Dyno {
        id: DynoId::random(),
        app: facts.app.id,
        worker: Worker::Formation,
        release: Some(release.id),
        release_version: Some(release.version),
        size: formation.size.clone(),
        command: slug.command(name.process_type())?.to_owned(),
        name,
        state: DynoState::Planned,
        generation: 0,
        epoch: formation.epoch,
        address: None,
        exit: None,
        created_at: now,
        updated_at: now,
    })
}

/// Asks the node for every row that stands in `Starting` and may boot, all at one time.
async fn start_all(engine: &Engine, facts: &Facts) -> Result<(), Refusal> {
    let starting = facts.dynos.iter().filter(|dyno| dyno.state == DynoState::Starting);
    let mut asking = tokio::task::JoinSet::new();
    for dyno in starting.filter(|dyno| may_boot(engine, dyno)) {
        let Some((release, slug)) = runs(engine, facts, dyno).await? else { continue };
        let spec = process_spec(
            &engine.settings,
            &Source { app: &facts.app, release: &release, slug: slug.as_ref() },
            dyno,
        );
        let (engine, dyno) = (engine.clone(), dyno.clone());
        asking.spawn(async move { dynos::ask_to_start(&engine, &dyno, spec).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(Refusal::internal)??;
    }
    Ok(())
}

/// Web dynos only: the others are up as soon as they run. One that is kept back is looked at again as `watch_boots` says.
fn may_boot(engine: &Engine, dyno: &Dyno) -> bool {
    let max = engine.settings.boots_max;
    !dyno.name.process_type().is_web() || engine.boots.begin(dyno.id, dyno.app, engine.now(), max)
}

/// The release and slug that a row was planned with, which may no longer be the current ones.
async fn runs(
    engine: &Engine,
    facts: &Facts,
    dyno: &Dyno,
) -> Result<Option<(Release, Option<Slug>)>, Refusal> {
    if let Some(release) = facts.release.clone().filter(|release| Some(release.id) == dyno.release) {
        return Ok(Some((release, facts.slug.clone())));
    }
    let Some(release) = dyno.release else { return Ok(None) };
    let fetch = engine.store.read(move |read| -> Result<_, Refusal> {
        let Some(release) = read.release_fetch(release).or_none()? else { return Ok(None) };
        let slug = match release.slug {
            Some(slug) => read.slug_fetch(slug).or_none()?,
            None => None,
        };
        Ok(Some((release, slug)))
    });
    fetch.await
}

/// Stops web dynos whose port has not answered in time; their exit counts as a crash. Returns when to look again.
async fn watch_boots(engine: &Engine, facts: &Facts) -> Result<Option<Duration>, Refusal> {
    let now = engine.now();
    let booting = |d: &&Dyno| d.state == DynoState::Starting && d.name.process_type().is_web();
    let mut next = None;
    for dyno in facts.dynos.iter().filter(booting) {
        let Some(begun_at) = engine.asked.begun_at(dyno.id) else {
            next = Some(next.map_or(BEGIN_LOOK, |next: Duration| next.min(BEGIN_LOOK)));
            continue;
        };
        let left = limits::BOOT_TIMEOUT.saturating_sub(positive(now.duration_since(begun_at)));
        if !left.is_zero() {
            next = Some(next.map_or(left, |next: Duration| next.min(left)));
        } else if engine.asked.stop(dyno.id) {
            // Asked before it goes; a node that can't tell is no reason to keep it.
            let listeners = engine.runtime.listeners(dyno.id).await.unwrap_or_default();
            let texts = words::boot_timeout(renga_planner::boot_hint(&listeners, PORT));
            dynos::tell(engine, dyno, Told::BootTimeout, texts).await?;
            dynos::ask_to_stop(engine, dyno.id, Duration::ZERO).await?;
            let decision = (DecisionKind::Stop, "it did not accept connections on $PORT in time (R10)");
            engine.decisions.note(dyno.app, now, &dyno.name, decision);
        }
    }
    Ok(next)
}

/// SIGTERM to the dynos that the router has let go of. Returns when to look again at the others.
async fn stop_all(engine: &Engine, facts: &Facts) -> Result<Option<Duration>, Refusal> {
    let now = engine.now();
    let mut look_again = None;
    for dyno in facts.dynos.iter().filter(|dyno| dyno.state == DynoState::Stopping) {
        let asked_for = positive(now.duration_since(dyno.updated_at));
        let routed = dyno.name.process_type().is_web() && dyno.address.is_some();
        if routed && !engine.published.has_left(dyno.id) && asked_for < limits::DRAIN_TIMEOUT {
            engine.wake.routes();
            look_again = Some(DRAIN_LOOK);
        } else if engine.asked.stop(dyno.id) {
            if !is_still_stopping(engine, dyno.id).await? {
                engine.asked.ask_again(dyno.id);
                continue;
            }
            dynos::tell(engine, dyno, Told::Stopping, vec![words::STOPPING.into()]).await?;
            dynos::ask_to_stop(engine, dyno.id, limits::STOP_GRACE).await?;
        }
    }
    Ok(look_again)
}

/// While this pass went on, its exit may have been recorded and what was asked of it forgotten.
async fn is_still_stopping(engine: &Engine, dyno: DynoId) -> Result<bool, Refusal> {
    let row = engine.store.read(move |read| read.dyno_fetch(dyno).or_none().map_err(error::store)).await?;
    Ok(row.is_some_and(|row| row.state == DynoState::Stopping))
}

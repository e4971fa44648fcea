//! What holds after every step, and what holds when everything has healed. Each answers with what does not.

use std::collections::{BTreeMap, BTreeSet};

use renga_model::{AppId, Dyno, DynoId, DynoName, DynoState, ReleaseStatus, Worker};

use super::facts::{AppFacts, Facts};
use crate::plane::Bench;

/// Dynos of one web slot that have not been asked to stop: one, and its successor.
const SURGE: usize = 2;

// === after every step ===

pub(crate) fn safety(facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    for app in &facts.apps {
        releases(app, &mut broken);
        slots(facts, app, &mut broken);
        routes(facts, app, &mut broken);
    }
    for (id, spec) in &facts.alive {
        if facts.dyno(*id).is_none_or(|row| row.state == DynoState::Exited) {
            broken.push(format!("{} {id} runs without a row", spec.name));
        }
    }
    broken
}

/// Numbers without gaps, exactly one current, and that one stands.
fn releases(app: &AppFacts, broken: &mut Vec<String>) {
    let name = &app.app.name;
    let versions: Vec<_> = app.releases.iter().map(|release| release.version).collect();
    if !versions.iter().copied().eq((1..).take(versions.len())) {
        broken.push(format!("{name}: releases are numbered {versions:?}"));
    }
    let current: Vec<_> = app.releases.iter().filter(|release| release.current).collect();
    if current.len() != 1 || current[0].status != ReleaseStatus::Succeeded {
        broken.push(format!("{name}: current are {current:?}"));
    }
}

/// No slot has more dynos than one, or one and a successor; what never surges never runs twice.
fn slots(facts: &Facts, app: &AppFacts, broken: &mut Vec<String>) {
    let mut rows: BTreeMap<&DynoName, Vec<&Dyno>> = BTreeMap::new();
    for dyno in facts.formation_of(app.app.id) {
        rows.entry(&dyno.name).or_default().push(dyno);
        let release = dyno.release.and_then(|release| app.release(release));
        if release.is_none_or(|release| release.status != ReleaseStatus::Succeeded) {
            broken.push(format!("{}: {} runs {release:?}", app.app.name, dyno.name));
        }
    }
    for (name, dynos) in rows {
        let kept = dynos.iter().filter(|dyno| dyno.state != DynoState::Stopping).count();
        let surges = name.process_type().is_web();
        if surges && kept > SURGE || !surges && dynos.len() > 1 {
            let states: Vec<_> = dynos.iter().map(|dyno| (dyno.state, dyno.release_version)).collect();
            broken.push(format!("{}: {name} is there too often: {states:?}", app.app.name));
        }
    }
    let mut running = BTreeSet::new();
    for spec in facts.alive.values().filter(|spec| spec.app == app.app.id) {
        if !spec.name.process_type().is_web() && !running.insert(&spec.name) {
            broken.push(format!("{}: two {} run", app.app.name, spec.name));
        }
    }
}

/// Requests go only to web dynos that have been up, of a release that is current or was.
fn routes(facts: &Facts, app: &AppFacts, broken: &mut Vec<String>) {
    let current = app.current().map_or(0, |release| release.version);
    let routed =
        facts.table.apps.iter().filter(|route| route.id == app.app.id).flat_map(|route| &route.dynos);
    for dyno in routed.filter_map(|route| facts.dyno(route.id)) {
        let was_up = !matches!(dyno.state, DynoState::Planned | DynoState::Starting);
        let is_ours = dyno.app == app.app.id && dyno.worker == Worker::Formation;
        if !was_up || !is_ours || dyno.release_version.is_none_or(|version| version > current) {
            broken.push(format!("{}: requests go to {dyno:?}", app.app.name));
        }
    }
}

// === when everything has healed ===

/// The formation is as wanted, the newest release that stands serves, and nothing is left of anything else.
pub(crate) fn liveness(bench: &Bench, facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    let mut say = |wrong: bool, text: String| {
        if wrong {
            broken.push(text);
        }
    };
    say(!facts.deleted.is_empty(), format!("destroyed apps are still there: {:?}", facts.deleted));
    say(!facts.builds.is_empty(), format!("builds go on: {:?}", facts.builds));
    say(!facts.pending.is_empty(), format!("releases wait: {:?}", facts.pending));
    let apps: BTreeSet<AppId> = facts.apps.iter().map(|facts| facts.app.id).collect();
    for app in &facts.apps {
        healed(facts, app, &mut say);
    }
    let rows: BTreeSet<DynoId> = facts.dynos.iter().map(|dyno| dyno.id).collect();
    let strangers: Vec<_> = facts.dynos.iter().filter(|dyno| !apps.contains(&dyno.app)).collect();
    say(!strangers.is_empty(), format!("dynos of no app: {strangers:?}"));
    let held = bench.world.held();
    say(held != rows.len(), format!("the node holds {held} dynos for {} rows", rows.len()));
    let routed: BTreeSet<AppId> = facts.table.apps.iter().map(|route| route.id).collect();
    say(routed != apps, format!("the router knows {routed:?}, and there are {apps:?}"));
    let repositories = bench.world.repositories();
    say(!repositories.is_subset(&apps), format!("repositories of no app: {repositories:?}"));
    let loose = bench.world.layers().difference(&facts.layers_named).count();
    say(loose > 0, format!("{loose} layers that no row names"));
    broken
}

fn healed(facts: &Facts, app: &AppFacts, say: &mut impl FnMut(bool, String)) {
    let (id, name) = (app.app.id, &app.app.name);
    let (current, newest) = (app.current(), app.newest_that_stands());
    let versions = [current, newest].map(|release| release.map(|release| release.version));
    say(
        versions[0] != versions[1],
        format!("{name}: current is {:?}, newest {:?}", versions[0], versions[1]),
    );
    let rows: Vec<_> = facts.dynos.iter().filter(|dyno| dyno.app == id).collect();
    let names: Vec<_> = rows.iter().map(|dyno| dyno.name.clone()).collect();
    let wanted = app.wanted();
    say(!names.iter().eq(&wanted), format!("{name}: wanted are {wanted:?}, there are {rows:#?}"));
    for dyno in &rows {
        let row = app.formation.iter().find(|row| row.process_type == *dyno.name.process_type());
        let fits = row.is_some_and(|row| row.size == dyno.size && row.epoch <= dyno.epoch);
        let up = dyno.state == DynoState::Up && facts.alive.contains_key(&dyno.id);
        let of_current = dyno.release == current.map(|release| release.id);
        say(!up || !fits || !of_current, format!("{name}: {dyno:?} is not as wanted {current:?} {row:?}"));
    }
    let web = rows.iter().filter(|dyno| dyno.name.process_type().is_web()).map(|dyno| dyno.id);
    let web: BTreeSet<DynoId> = web.collect();
    let route = facts.table.apps.iter().find(|route| route.id == id);
    let routed = route.map(|route| route.dynos.iter().map(|dyno| dyno.id).collect::<BTreeSet<_>>());
    say(routed.as_ref() != Some(&web), format!("{name}: requests go to {routed:?}, web dynos are {web:?}"));
    let maintained = route.map(|route| route.maintenance);
    say(
        maintained != Some(app.app.maintenance),
        format!("{name}: maintenance is {maintained:?} at the router"),
    );
}

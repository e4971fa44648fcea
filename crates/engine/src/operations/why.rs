//! Why an app's dynos are as they are: wanted, seen, and what was decided, in words.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renga_model::{AppId, Dyno, DynoName, DynoState, Exit, ExitReason, Refusal, limits};
use renga_planner::Action;

use crate::{
    Decision, Engine,
    loops::formation::{Facts, look},
    words,
};

/// The answer to `renga why`.
#[derive(Debug)]
pub struct Why {
    /// Since when decisions are remembered.
    pub since: Timestamp,
    pub release: Option<u64>,
    pub dynos: Vec<Standing>,
    /// The newest first.
    pub decisions: Vec<Decision>,
}

/// One place of the formation, or a dyno that is leaving.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub name: DynoName,
    pub wanted: bool,
    /// Of the dyno that stands for the name now; none if there is none.
    pub seen: Option<Seen>,
    pub because: String,
    /// When something is going to happen by itself.
    pub next_at: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub state: &'static str,
    pub release: Option<u64>,
    pub since: Timestamp,
}

impl Engine {
    /// Of all dynos of an app's formation, or of one.
    pub async fn why(&self, app: AppId, only: Option<&str>) -> Result<Why, Refusal> {
        let facts = look(self, app).await?.ok_or_else(|| Refusal::not_found("app"))?;
        let now = self.now();
        let begun = |dyno: &Dyno| self.asked.begun_at(dyno.id);
        let mut why = Why {
            since: self.started_at,
            release: facts.release.as_ref().map(|release| release.version),
            dynos: standings(&facts, self.settings.cycle_after, now, begun),
            decisions: self.decisions.of(app),
        };
        if let Some(only) = only {
            let name: DynoName = only.parse().map_err(|_| Refusal::not_found("dyno"))?;
            why.dynos.retain(|dyno| dyno.name == name);
            why.decisions.retain(|decision| decision.dyno == name);
            if why.dynos.is_empty() && why.decisions.is_empty() {
                return Err(Refusal::not_found("dyno"));
            }
        }
        Ok(why)
    }
}

/// Pure: what the rows, the time and the planner say.
fn standings(
    facts: &Facts,
    cycle_after: Option<Duration>,
    now: Timestamp,
    begun_at: impl Fn(&Dyno) -> Option<Timestamp>,
) -> Vec<Standing> {
    let actions = facts.plan(now, cycle_after);
    let wanted: Vec<DynoName> =
        facts.want().map(|want| want.slots.into_iter().map(|slot| slot.name).collect()).unwrap_or_default();
    let mut names = wanted.clone();
    names.extend(facts.dynos.iter().map(|dyno| dyno.name.clone()));
    names.sort();
    names.dedup();
    let standing = |name: DynoName| {
        let seen = newest(facts, &name);
        let wanted = wanted.contains(&name);
        let (because, next_at) = match seen.filter(|dyno| dyno.state != DynoState::Exited) {
            Some(dyno) if dyno.state == DynoState::Frozen => of_frozen(facts),
            Some(dyno) => of_live(facts, dyno, wanted, begun_at(dyno)),
            None => of_none(facts, seen, &name, wanted, &actions),
        };
        let seen = seen.map(|dyno| Seen {
            state: match dyno.state {
                DynoState::Exited if dyno.is_idle() => "idle",
                DynoState::Exited => "crashed",
                DynoState::Frozen => "frozen",
                state => words::state(state),
            },
            release: dyno.release_version,
            since: dyno.updated_at,
        });
        Standing { name, wanted, seen, because, next_at }
    };
    names.into_iter().map(standing).collect()
}

/// Of several, the one that serves, or else the latest.
fn newest<'a>(facts: &'a Facts, name: &DynoName) -> Option<&'a Dyno> {
    let of_name = || facts.dynos.iter().filter(|dyno| dyno.name == *name);
    of_name().rfind(|dyno| dyno.state == DynoState::Up).or_else(|| of_name().next_back())
}

/// Planned to stop, it is asked to within the same pass.
fn of_frozen(facts: &Facts) -> (String, Option<Timestamp>) {
    match facts.sleep.and_then(|sleep| sleep.frozen_until) {
        Some(until) => {
            let text = "Its app sleeps for want of web traffic: it is frozen where it was, and the next request \
                        thaws it. After its time in the freezer, or when memory is short, it is stopped.";
            (text.into(), Some(until))
        }
        None => ("It is frozen, and about to be thawed or stopped.".into(), None),
    }
}

fn of_live(
    facts: &Facts,
    dyno: &Dyno,
    wanted: bool,
    begun_at: Option<Timestamp>,
) -> (String, Option<Timestamp>) {
    let web = dyno.name.process_type().is_web();
    let current = facts.release.as_ref().map(|release| release.version);
    let version = dyno.release_version.unwrap_or_default();
    match dyno.state {
        DynoState::Up if !wanted => {
            ("The formation does not ask for it any more: it is about to stop.".into(), None)
        }
        DynoState::Up if dyno.release_version != current => {
            (format!("It runs release v{version} until its successor is up."), None)
        }
        DynoState::Up if web => {
            (format!("It runs the current release, v{version}, accepts connections and gets requests."), None)
        }
        DynoState::Up => (format!("It runs the current release, v{version}."), None),
        DynoState::Stopping => {
            let grace = SignedDuration::try_from(limits::STOP_GRACE).unwrap_or_default();
            let text = "It was asked to end: its requests are finished, then SIGTERM, then SIGKILL after 30 seconds.";
            (text.into(), Some(dyno.updated_at + grace))
        }
        _ => match begun_at {
            Some(begun) if web => {
                let limit = SignedDuration::try_from(limits::BOOT_TIMEOUT).unwrap_or_default();
                let text = format!(
                    "It boots release v{version}: its process runs and has not accepted a connection on $PORT yet. \
                     Not later than 60 seconds after its begin it must, or it is stopped (R10)."
                );
                (text, Some(begun + limit))
            }
            _ => (format!("The node is asked to start it with release v{version}."), None),
        },
    }
}

fn of_none(
    facts: &Facts,
    exited: Option<&Dyno>,
    name: &DynoName,
    wanted: bool,
    actions: &[Action],
) -> (String, Option<Timestamp>) {
    let mut text = exited.and_then(|dyno| dyno.exit.as_ref()).map(ended).unwrap_or_default();
    if !wanted {
        return (text + "The formation does not ask for it.", None);
    }
    if facts.sleep.is_some() && exited.is_some_and(Dyno::is_idle) {
        return ("Its app sleeps for want of web traffic: the next request starts it.".into(), None);
    }
    let crashes = facts.crashes.get(name).map_or(0, |crashes| crashes.count);
    if crashes > 1 {
        text += &format!("It crashed {crashes} times in a row, so there is a pause before the next start. ");
    }
    let until = actions.iter().find_map(|action| match action {
        Action::Wait { name: waits, until, .. } if waits == name => Some(*until),
        _ => None,
    });
    match until {
        Some(until) => (text + "It is started again when the pause is over.", Some(until)),
        None => (text + "It is about to be started.", None),
    }
}

pub(crate) fn ended(exit: &Exit) -> String {
    match &exit.reason {
        ExitReason::NoRoom(why) => format!("There is no room for it on this machine: {why}. "),
        ExitReason::NotStarted(why) => format!("It could not be started: {why}. "),
        ExitReason::SupervisorLost => "Its supervisor was lost, so what was left of it was ended. ".into(),
        ExitReason::OutOfMemory => "It was killed at its memory limit (R15). ".into(),
        ExitReason::GraceOver => "It outlived its 30 seconds after SIGTERM and was killed (R12). ".into(),
        ExitReason::Idled => String::new(),
        ExitReason::Exited => format!("Its process ended with status {}. ", exit.code),
    }
}

//! What a one-off dyno that runs is due for: its client that does not come or has gone, and the end of its time.

use std::time::Duration;

use jiff::Timestamp;
use renga_model::{AttachClient, DynoId, limits};

use crate::cycle_at;

/// What is known of it.
#[derive(Debug, Clone, Copy)]
pub struct RunSeen {
    pub dyno: DynoId,
    pub created_at: Timestamp,
    /// When its process began, as far as that is known.
    pub begun_at: Option<Timestamp>,
    /// None: it runs detached.
    pub client: Option<AttachClient>,
    /// Whether a client's connection is open in this process.
    pub connected: bool,
    pub time_to_live: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStep {
    /// Nothing before then; none: nothing that time brings.
    Wait(Option<Timestamp>),
    /// Nobody came (R13): it ends.
    NobodyCame,
    /// The connection ended without anybody noting it, with the process that held it. The supervisor has noticed, too.
    ClientGone,
    /// It goes on without its client (R16).
    Outlives,
    /// Its `time_to_live` is over: it ends.
    TimeOver,
    /// Its day is over: it ends, and nothing comes in its place.
    Cycled,
}

/// How long it may run: what its creator said, else a day like other dynos. None: cycling is switched off.
pub fn run_life(
    dyno: DynoId,
    time_to_live: Option<Duration>,
    cycle_after: Option<Duration>,
) -> Option<Duration> {
    let day = |every| {
        let life = cycle_at(dyno, Timestamp::UNIX_EPOCH, every).duration_since(Timestamp::UNIX_EPOCH);
        Duration::try_from(life).unwrap_or(Duration::MAX)
    };
    time_to_live.or_else(|| cycle_after.map(day))
}

pub fn run_step(seen: &RunSeen, cycle_after: Option<Duration>, now: Timestamp) -> RunStep {
    let later = |from: Timestamp, by: Duration| from.checked_add(by).unwrap_or(Timestamp::MAX);
    let begun_at = seen.begun_at.unwrap_or(seen.created_at);
    let end = run_life(seen.dyno, seen.time_to_live, cycle_after).map(|life| later(begun_at, life));
    match end {
        Some(end) if end <= now && seen.time_to_live.is_some() => return RunStep::TimeOver,
        Some(end) if end <= now => return RunStep::Cycled,
        _ => {}
    }
    let (at, step) = match seen.client {
        _ if seen.connected => return RunStep::Wait(end),
        None | Some(AttachClient::Outlived) => return RunStep::Wait(end),
        Some(AttachClient::Awaited) => (later(seen.created_at, limits::ATTACH_TIMEOUT), RunStep::NobodyCame),
        Some(AttachClient::Connected) => return RunStep::ClientGone,
        Some(AttachClient::Gone(at)) => (later(at, limits::HANGUP_TIMEOUT), RunStep::Outlives),
    };
    if at <= now { step } else { RunStep::Wait(Some(end.map_or(at, |end| end.min(at)))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn seen(client: Option<AttachClient>) -> RunSeen {
        // Of an id of zeros the day has no jitter.
        let dyno = "00000000-0000-0000-0000-000000000000".parse().unwrap();
        RunSeen { dyno, created_at: at(0), begun_at: None, client, connected: false, time_to_live: None }
    }

    #[test]
    fn clients_come_go_and_stay_away() {
        use AttachClient::{Awaited, Connected, Gone, Outlived};
        let (day, connected) = (at(24 * 60 * 60), |seen| RunSeen { connected: true, ..seen });
        for (what, seen, now, wanted) in [
            ("detached", seen(None), 5, RunStep::Wait(Some(day))),
            ("awaited", seen(Some(Awaited)), 29, RunStep::Wait(Some(at(30)))),
            ("nobody came", seen(Some(Awaited)), 30, RunStep::NobodyCame),
            ("just coming", connected(seen(Some(Awaited))), 31, RunStep::Wait(Some(day))),
            ("there", connected(seen(Some(Connected))), 5_000, RunStep::Wait(Some(day))),
            ("cut off with the server", seen(Some(Connected)), 31, RunStep::ClientGone),
            ("hung up on", seen(Some(Gone(at(100)))), 114, RunStep::Wait(Some(at(115)))),
            ("not impressed", seen(Some(Gone(at(100)))), 115, RunStep::Outlives),
            ("told already", seen(Some(Outlived)), 10_000, RunStep::Wait(Some(day))),
        ] {
            assert_eq!(run_step(&seen, Some(DAY), at(now)), wanted, "{what}");
        }
    }

    #[test]
    fn their_time_ends_by_what_was_asked_or_by_the_day() {
        let asked = RunSeen { time_to_live: Some(Duration::from_secs(60)), ..seen(None) };
        let begun = RunSeen { begun_at: Some(at(10)), ..asked };
        let connected = RunSeen { client: Some(AttachClient::Connected), connected: true, ..begun };
        let awaited = RunSeen { client: Some(AttachClient::Awaited), created_at: at(50), ..begun };
        let day = 24 * 60 * 60;
        for (what, seen, cycle_after, now, wanted) in [
            ("from its row", asked, Some(DAY), 59, RunStep::Wait(Some(at(60)))),
            ("over", asked, Some(DAY), 60, RunStep::TimeOver),
            ("from its process", begun, Some(DAY), 69, RunStep::Wait(Some(at(70)))),
            ("its client changes nothing", connected, None, 70, RunStep::TimeOver),
            ("the nearer of two", awaited, None, 55, RunStep::Wait(Some(at(70)))),
            ("a day", seen(None), Some(DAY), day - 1, RunStep::Wait(Some(at(day)))),
            ("a day is over", seen(None), Some(DAY), day, RunStep::Cycled),
            ("no days", seen(None), None, day * 1_000, RunStep::Wait(None)),
        ] {
            assert_eq!(run_step(&seen, cycle_after, at(now)), wanted, "{what}");
        }
    }
}

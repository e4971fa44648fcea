//! What an app's dynos take of the machine, as they are asked for.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use jiff::Timestamp;
use renga_model::{AppId, Dyno, DynoId, Refusal};
use renga_ports::DynoUsage;

use crate::{Engine, error};

/// A share of a processor is told over at least this time: the kernel counts in steps.
const SPAN_MIN: Duration = Duration::from_millis(200);

/// What one dyno takes.
#[derive(Debug)]
pub struct DynoUse {
    pub dyno: Dyno,
    /// What counts against the quota.
    pub memory_bytes: u64,
    pub memory_quota_bytes: u64,
    /// 100 is one processor; since the last look of the loop, at most some 20 seconds, or since it began.
    pub cpu_percent: Option<f64>,
}

/// Processor time at the last look of the loop. Only in memory: without it the time since a dyno's begin is told.
#[derive(Debug, Default)]
pub(crate) struct CpuTimes(Mutex<BTreeMap<DynoId, (Timestamp, Duration)>>);

impl CpuTimes {
    /// In place of those of the look before.
    pub(crate) fn set(&self, at: Timestamp, dynos: &[DynoUsage]) {
        let times = dynos.iter().filter_map(|dyno| Some((dyno.id, (at, dyno.cpu_time?)))).collect();
        *self.0.lock().expect("nothing panics while it holds this lock") = times;
    }
    fn of(&self, dyno: DynoId) -> Option<(Timestamp, Duration)> {
        self.0.lock().expect("nothing panics while it holds this lock").get(&dyno).copied()
    }
}

impl Engine {
    /// In the order of `ps`; only dynos that run.
    pub async fn usage(&self, app: AppId) -> Result<Vec<DynoUse>, Refusal> {
        let dynos = self.dyno_list(app).await?;
        let usage = self.runtime.usage().await.map_err(error::runtime)?;
        let (now, mut used) = (self.now(), Vec::new());
        for dyno in dynos {
            let Some(usage) = usage.iter().find(|usage| usage.id == dyno.id) else { continue };
            let begun = self.asked.begun_at(dyno.id).map(|at| (at, Duration::ZERO));
            let since = self.cpu_times.of(dyno.id).filter(|(at, _)| is_far(*at, now)).or(begun);
            let cpu_percent = since.zip(usage.cpu_time).and_then(|(since, time)| percent(since, (now, time)));
            used.push(DynoUse {
                dyno,
                memory_bytes: usage.memory.counted_bytes(),
                memory_quota_bytes: usage.quota_bytes,
                cpu_percent,
            });
        }
        Ok(used)
    }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn is_far(from: Timestamp, to: Timestamp) -> bool {
    span(from, to) >= SPAN_MIN
}

fn percent(before: (Timestamp, Duration), after: (Timestamp, Duration)) -> Option<f64> {
    let took = after.1.saturating_sub(before.1);
    is_far(before.0, after.0).then(|| {
        let share = 100.0 * took.as_secs_f64() / span(before.0, after.0).as_secs_f64();
        (share * 10.0).round() / 10.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_over_a_span_that_tells_something() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let busy = |millis| Duration::from_millis(millis);
        assert_eq!(percent((at(0), busy(0)), (at(1000), busy(500))), Some(50.0));
        assert_eq!(percent((at(0), busy(100)), (at(2000), busy(4100))), Some(200.0));
        assert_eq!(percent((at(0), busy(100)), (at(100), busy(200))), None);
        assert_eq!(percent((at(1000), busy(0)), (at(0), busy(500))), None);
    }
}

//! When a dyno has run for its day.
//!
//! Every dyno is replaced a day after its start, and up to 15 % of a day later (Heroku: 24 h plus 0 to 216 minutes), so
//! that those that were started together do not cycle together. How much later is decided by the dyno's id: asked again,
//! also after a restart, the answer is the same.

use std::time::Duration;

use jiff::Timestamp;
use renga_model::DynoId;

const JITTER_PERCENT: u128 = 15;

pub fn cycle_at(dyno: DynoId, started_at: Timestamp, every: Duration) -> Timestamp {
    let most_ms = every.as_millis() * JITTER_PERCENT / 100;
    let jitter_ms = dyno.uuid().as_u128() % (most_ms + 1);
    let life = every.saturating_add(Duration::from_millis(u64::try_from(jitter_ms).unwrap_or(u64::MAX)));
    started_at.checked_add(life).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use renga_model::Id;

    use super::*;

    #[test]
    fn days_end_at_different_times_and_always_at_the_same() {
        let (start, day) = (Timestamp::UNIX_EPOCH, Duration::from_secs(24 * 60 * 60));
        let minutes = |n: u128| {
            // Spread as the random bits of an id are.
            let dyno = id(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            assert_eq!(cycle_at(dyno, start, day), cycle_at(dyno, start, day));
            cycle_at(dyno, start, day).duration_since(start).as_mins()
        };
        let all: Vec<_> = (1..=1000).map(minutes).collect();
        let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
        assert!((1440..1450).contains(&least) && (1640..=1656).contains(&most), "{least} to {most}");
        assert!(cycle_at(id(7), Timestamp::MAX, day) == Timestamp::MAX);
    }

    fn id(n: u128) -> DynoId {
        Id::from_uuid(format!("{n:032x}").parse().unwrap())
    }
}

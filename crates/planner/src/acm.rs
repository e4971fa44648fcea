//! When a certificate is renewed, and when an attempt that failed is repeated. `permille` is a roll of dice from 0 to
//! 999: names that were added together do not come back together.

use jiff::{SignedDuration, Timestamp};

/// The longest time before its end at which a certificate is renewed (Heroku: one month) ...
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// ... and for one that does not live long, this part of its life.
const RENEW_PART: i32 = 3;
/// Pauses between attempts: the first, then twice as long each, at most the longest. An authority allows few failures
/// an hour (Let's Encrypt: 5 for one name).
const PAUSE_FIRST: SignedDuration = SignedDuration::from_mins(5);
const PAUSE_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Between attempts after so many, while a certificate is still served.
const PAUSE_LATE: SignedDuration = SignedDuration::from_hours(12);
/// Attempts in a row before a name without a certificate is given up: about two days.
const FAILURES_MAX: u32 = 50;

/// When the next certificate is fetched: up to a tenth of the lead earlier than need be.
pub fn renew_at(starts_at: Timestamp, expires_at: Timestamp, permille: u32) -> Timestamp {
    let lead = (expires_at.duration_since(starts_at) / RENEW_PART).min(RENEW_BEFORE);
    expires_at - lead - part(lead / 10, permille)
}

/// When to try again after so many failures in a row, with up to a fifth of the pause on top; none: it is given up.
pub fn retry_at(
    failures: u32,
    now: Timestamp,
    served_until: Option<Timestamp>,
    permille: u32,
) -> Option<Timestamp> {
    let served = served_until.is_some_and(|until| now < until);
    let pause = match failures {
        FAILURES_MAX.. if !served => return None,
        FAILURES_MAX.. => PAUSE_LATE,
        _ => PAUSE_MAX.min(PAUSE_FIRST * 2_i32.pow(failures.saturating_sub(1).min(10))),
    };
    Some(now + pause + part(pause / 5, permille))
}

fn part(whole: SignedDuration, permille: u32) -> SignedDuration {
    whole / 1_000 * i32::try_from(permille.min(999)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(days: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn certificates_are_renewed_a_month_or_a_third_of_their_life_before_they_end() {
        let lead_h = |days, roll| day(days).duration_since(renew_at(day(0), day(days), roll)).as_hours();
        assert_eq!([lead_h(365, 0), lead_h(90, 0), lead_h(6, 0)], [720, 720, 48]);
        // Up to a tenth earlier: 72 hours, less the last of a thousand parts.
        assert_eq!([lead_h(90, 500), lead_h(90, 999)], [756, 791]);
    }

    #[test]
    fn pauses_grow_to_an_hour_and_end_where_nothing_is_served() {
        let minutes = |failures, served, roll| {
            let at = retry_at(failures, day(10), Some(day(served)), roll)?;
            Some(at.duration_since(day(10)).as_mins())
        };
        assert_eq!([1, 2, 3, 5, 49].map(|n| minutes(n, 0, 0)), [5, 10, 20, 60, 60].map(Some));
        assert_eq!(minutes(5, 0, 999), Some(71));
        assert_eq!(
            [minutes(50, 0, 0), minutes(50, 11, 0), minutes(999, 11, 0)],
            [None, Some(720), Some(720)]
        );
        assert_eq!(retry_at(50, day(1), None, 0), None);
    }
}

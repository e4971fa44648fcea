//! Whether the machine's memory, and its disk, suffice for what a change asks for.
//!
//! What counts are the quotas of all dynos that are wanted, not what they take at the moment: a dyno that is small
//! today may fill its quota tomorrow. Most never do, so a platform promises more than it has, by a factor that the
//! operator chooses; the node still starts nothing when memory or disk is really short.

/// What the operator set aside and promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overcommit {
    /// For the platform, builds and the rest of the machine; of the disk, what stays free.
    pub reserve_bytes: u64,
    /// Of what remains: 100 promises exactly what there is.
    pub overcommit_percent: u64,
}

/// A change asks for more than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short {
    pub needed_bytes: u64,
    pub free_bytes: u64,
    pub budget_bytes: u64,
}

/// Below so much free memory nothing is started beside what runs; the node itself starts nothing below half of it.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

impl Overcommit {
    /// What the quotas of all dynos together may be.
    pub fn budget_bytes(&self, machine_bytes: u64) -> u64 {
        let rest = u128::from(machine_bytes.saturating_sub(self.reserve_bytes));
        u64::try_from(rest * u128::from(self.overcommit_percent) / 100).unwrap_or(u64::MAX)
    }

    /// Quota that dynos may be promised beside those that live, which have `live_bytes`; `free_bytes` is what the machine
    /// really has left.
    pub fn room_bytes(&self, machine_bytes: u64, free_bytes: u64, live_bytes: u64) -> u64 {
        if free_bytes < FREE_BYTES_MIN {
            return 0;
        }
        self.budget_bytes(machine_bytes).saturating_sub(live_bytes)
    }

    /// `before` and `after` are the quotas of all dynos wanted without and with the change. A change that asks for no
    /// more than before is always fine: that is how one gets out of a shortage.
    pub fn admit(&self, machine_bytes: u64, before: u64, after: u64) -> Result<(), Short> {
        let budget_bytes = self.budget_bytes(machine_bytes);
        if after <= before || after <= budget_bytes {
            return Ok(());
        }
        Err(Short {
            needed_bytes: after - before,
            free_bytes: budget_bytes.saturating_sub(before),
            budget_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_stay_within_what_is_promised() {
        let policy = Overcommit { reserve_bytes: 100, overcommit_percent: 150 };
        let short = |needed_bytes, free_bytes| Err(Short { needed_bytes, free_bytes, budget_bytes: 1350 });
        for (before, after, expected) in [
            (0, 1350, Ok(())),
            (0, 1351, short(1351, 1350)),
            (1000, 1400, short(400, 350)),
            // Already over (the operator lowered it, or memory was taken out): less is fine, the same too.
            (2000, 2000, Ok(())),
            (2000, 1900, Ok(())),
            (2000, 2001, short(1, 0)),
        ] {
            assert_eq!(policy.admit(1000, before, after), expected, "{before} {after}");
        }
    }

    #[test]
    fn room_is_what_is_promised_and_really_there() {
        let policy = Overcommit { reserve_bytes: 100, overcommit_percent: 150 };
        for (free_bytes, live_bytes, expected) in [
            (u64::MAX, 350, 1000),
            (u64::MAX, 2000, 0),
            (FREE_BYTES_MIN, 0, 1350),
            (FREE_BYTES_MIN - 1, 0, 0),
        ] {
            assert_eq!(
                policy.room_bytes(1000, free_bytes, live_bytes),
                expected,
                "{free_bytes} {live_bytes}"
            );
        }
    }

    #[test]
    fn a_reserve_beyond_the_machine_leaves_nothing() {
        let policy = Overcommit { reserve_bytes: 2000, overcommit_percent: 400 };
        assert_eq!(policy.budget_bytes(1000), 0);
        assert_eq!(policy.admit(1000, 0, 0), Ok(()));
        let all = Overcommit { reserve_bytes: 0, overcommit_percent: u64::MAX };
        assert_eq!(all.budget_bytes(u64::MAX), u64::MAX);
    }
}

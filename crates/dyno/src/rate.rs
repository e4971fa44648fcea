//! How much output a dyno may log: so much at once, so much per second after that. What it writes beyond is read and
//! dropped, counted. One dyno's flood must not cost the collector, and so the others, more than their own lines do.

use std::time::{Duration, Instant};

/// What a line costs the collector besides its bytes.
const LINE_COST_BYTES: u64 = 200;
/// Once it was too much, nothing is kept for so long: each gap is told in the log, and few large ones say more than
/// thousands of small ones.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Rate {
    bytes_per_s: u64,
    /// What may come at once after a pause.
    burst_bytes: u64,
    left_bytes: u64,
    filled_at: Instant,
    closed_until: Option<Instant>,
}

impl Rate {
    pub(crate) fn new(bytes_per_s: u64, burst_bytes: u64, now: Instant) -> Self {
        // A line at its limit must fit.
        let burst_bytes = burst_bytes.max(LINE_COST_BYTES + renga_supervision::RECORD_BYTES_MAX as u64);
        Self { bytes_per_s, burst_bytes, left_bytes: burst_bytes, filled_at: now, closed_until: None }
    }

    /// Whether a line of so many bytes may be kept; if so, it is counted.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        if self.is_closed(now) {
            return false;
        }
        self.fill(now);
        match self.left_bytes.checked_sub(LINE_COST_BYTES + bytes as u64) {
            Some(left) => {
                (self.left_bytes, self.closed_until) = (left, None);
                true
            }
            None => {
                self.closed_until = Some(now + PAUSE);
                false
            }
        }
    }

    /// Whether everything is dropped now.
    pub(crate) fn is_closed(&self, now: Instant) -> bool {
        self.closed_until.is_some_and(|until| now < until)
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let fresh = u128::from(self.bytes_per_s) * elapsed.as_micros() / 1_000_000;
        if fresh > 0 {
            let fresh = u64::try_from(fresh).unwrap_or(u64::MAX);
            self.left_bytes = self.left_bytes.saturating_add(fresh).min(self.burst_bytes);
            self.filled_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_a_rate() {
        let begin = Instant::now();
        let mut rate = Rate::new(12_000, 30_000, begin);
        let taken = |rate: &mut Rate, at_ms| {
            let at = begin + Duration::from_millis(at_ms);
            (0..1_000).take_while(|_| rate.take(100, at)).count()
        };
        assert_eq!(taken(&mut rate, 0), 100);
        // However often one asks, the pause passes first, and what comes in it is not lost.
        assert_eq!((1..=999).map(|at| taken(&mut rate, at)).sum::<usize>(), 0);
        assert_eq!(taken(&mut rate, 1_000), 40);
        assert_eq!(taken(&mut rate, 1_999), 0);
        assert_eq!(taken(&mut rate, 2_000), 40);
        // Nothing is saved beyond the burst.
        assert_eq!(taken(&mut rate, 100_000), 100);
    }
}

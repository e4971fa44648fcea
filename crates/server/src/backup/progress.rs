//! A line on standard error now and then, for work that takes a person's patience.

use std::time::{Duration, Instant};

/// Quiet for so long; then a line each second.
const QUIET: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;

pub(super) struct Progress {
    doing: &'static str,
    due: Instant,
    done: u64,
    total: u64,
}

impl Progress {
    /// `total` bytes are expected; 0 if nobody knows.
    pub(super) fn new(doing: &'static str, total: u64) -> Self {
        Self { doing, due: Instant::now() + QUIET, done: 0, total }
    }

    pub(super) fn add(&mut self, bytes: u64, now_at: &str) {
        self.done += bytes;
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + EVERY;
        let done = self.done / MIB;
        let of =
            if self.total > self.done { format!(" of about {}", self.total / MIB) } else { String::new() };
        crate::say(&format!("{}: {done}{of} MiB, now {now_at}\n", self.doing));
    }
}

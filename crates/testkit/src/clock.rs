//! A clock that stands still until it is moved.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use renga_ports::Clock;

#[derive(Debug)]
pub struct SimClock(Mutex<Timestamp>);

impl SimClock {
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().expect("nothing panics while it holds this lock");
        *now += by;
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::at("2026-01-01T00:00:00Z".parse().expect("the constant is a timestamp"))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("nothing panics while it holds this lock")
    }
}

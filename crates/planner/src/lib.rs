//! Thought: wanted, seen and `now` go in, actions with their reasons come out.
//!
//! Pure: no clock, no I/O, no async, no randomness. Planning again after the actions have been carried out yields
//! nothing. The engine carries out what comes out without choices of its own, and `why` can show the reasons.

mod backoff;
mod cycle;
mod formation;
mod routes;
mod sleep;
mod usage;

pub use backoff::{Crashes, restart_at};
pub use cycle::cycle_at;
pub use formation::{Action, CYCLES, Live, SLEEPS, Slot, Want, plan};
pub use routes::{AppFacts, table};
pub use sleep::{Sleeper, falls_asleep};
pub use usage::{Load, UsageNews, usage_news};

//! Thought: wanted, seen and `now` go in, actions with their reasons come out.
//!
//! Pure: no clock, no I/O, no async, no randomness. Planning again after the actions have been carried out yields
//! nothing. The engine carries out what comes out without choices of its own, and `why` can show the reasons.

mod acm;
mod backoff;
mod boot;
mod cycle;
mod formation;
mod freeze;
mod headroom;
mod one_off;
mod overcommit;
mod routes;
mod sleep;
mod usage;

pub use acm::{renew_at, retry_at};
pub use backoff::{Crashes, restart_at};
pub use boot::{BootHint, boot_hint};
pub use cycle::cycle_at;
pub use formation::{Action, CYCLES, Live, Rest, SLEEPS, Slot, Want, plan};
pub use freeze::{FrozenApp, MemorySeen, frozen_until, to_stop};
pub use headroom::{NO_ROOM, doubles, within};
pub use one_off::{RunSeen, RunStep, run_life, run_step};
pub use overcommit::{Overcommit, Short};
pub use routes::{AppFacts, route, table};
pub use sleep::{Sleeper, falls_asleep};
pub use usage::{Load, UsageNews, disk_news, usage_news};

//! The engine on a real ledger and a simulated world.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod acm;
mod boots;
mod builds;
mod cycling;
mod delays;
mod faults;
mod formation;
mod freeze;
mod garbage;
mod headroom;
mod letters;
mod one_offs;
mod plane;
mod simulation;
mod sleep;
mod slugs;
mod story;
mod usage;

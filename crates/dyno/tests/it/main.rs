//! The supervisor against real containers. Needs root; each test makes and removes its own dyno.
#![allow(clippy::unwrap_used)]

mod attach;
mod exec;
mod harness;
mod isolation;
mod life;
mod output;

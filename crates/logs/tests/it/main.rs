//! The log store over real files, with real segment writers, and killed for real.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dynos;
mod outputs;
mod platform;
mod restart;
mod world;

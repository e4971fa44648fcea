//! The real git client against the real git server over a real listener; only the gate is the test's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod failure;
mod port;
mod push;
mod submodule;
mod world;

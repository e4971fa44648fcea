//! Against the real thing: pebble, the ACME server of Debian's packages, which `bin/test` installs.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod orders;
mod pebble;

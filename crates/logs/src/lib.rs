//! What apps, dynos and the platform say: one log per app, and the outputs of builds and release commands.
//!
//! Dynos and the router write segments of numbered records on their own (`renga_supervision`); this crate takes them
//! over, each exactly once, into **journals**: append-only files of ours, bounded, two of them per app or output. A
//! journal's record says where it came from (a dyno and its record's number), and each file begins with the last
//! number of every dyno. So the journal itself is the memory of what has been taken: after `kill -9` the next start
//! reads it and goes on behind the last record, without a gap and without a line twice.
//!
//! ```text
//!  dynos/<id>/log ──┐ inotify                     ┌──> logs/<app>/      ──> sessions (file readers, woken)
//!  router/log ──────┼──────────> the hub ─────────┤
//!  write(), steps ──┘ inbox      (one thread)     └──> outputs/<name>/  ──> readers
//! ```
//!
//! The hub is one thread with all the file work; nothing that a caller does waits for it, except the calls that say
//! so. A source goes through
//!
//! ```text
//! followed ──its segments grow──> dirty ──pumped, journal flushed──> followed ──exit.json and at the end──> drained
//!                                   ^  └─journal failed: re-read from its last number, later─┐
//!                                   └────────────────────────────────────────────────────────┘
//! ```
//!
//! An app that says nothing costs nothing: journals and readers are closed after half a minute without use, and
//! sessions hold a file, not a task. What is lost is counted and told: L12 in the app's log for records that were
//! overwritten before they could be taken, L10 for lines of the platform that found the queue full, L11 in a session
//! that fell behind what is kept.
//!
//! The crate refuses to judge who may read, to keep lines for longer than its bounds, and to be a database: records
//! are not synced to disk, so a crash of the machine may cost the last of them.

mod config;
mod hub;
mod inbox;
mod journal;
mod line;
mod output;
mod session;
mod store;
mod wakes;
mod watch;

pub use config::{Config, Limits};
pub use store::LogStore;

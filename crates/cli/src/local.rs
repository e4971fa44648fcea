//! `local`: an app's process types on this machine, without any server.
//!
//! ```text
//! Procfile + .env + formation ─> Plan ─> one shell per process, each the leader of a group of its own
//!
//! Running ─ a process ends ──> Stopping ─ all have ended ──> Ended(code of the first)
//! Running ─ Ctrl-C, TERM ────> Stopping
//! Stopping ─ grace over, or asked again ──> groups are killed ──> Ended
//! ```
//!
//! Stopping sends SIGTERM to whole groups, and whatever is left of a group when its leader has ended is killed, so that
//! nothing is left behind.

mod command;
mod dotenv;
mod plan;
mod supervise;

pub(crate) use command::{LocalArgs, LocalRunArgs, LocalVersionArgs, local, local_run};

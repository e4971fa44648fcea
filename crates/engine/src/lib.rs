//! The will: operations, loops and workflows. It decides *when*.
//!
//! An **operation** changes what is wanted in one short transaction and rings a bell. A **loop** compares wanted with
//! seen, asks `planner` what to do, and does it through the ports; it goes on comparing for ever, because the world
//! moves by itself. A **workflow** (a build, a release phase) is a loop whose rows are its progress: every pass reads
//! where it stands and takes the next step, so that being killed anywhere only delays it.
//!
//! ```text
//! operations ─ rows ─> loops ─ ports ─> the world
//!      └── bells ────────^  ^───────── inventory, exits (seen)
//! ```
//!
//! The crate refuses to know HTTP, SQL, paths of a machine and containers. Entry points: `tasks.rs` lists every loop,
//! `operations/` everything that a user can ask for.

mod asked;
mod boots;
mod certificates;
mod changes;
mod decisions;
mod driver;
mod engine;
mod error;
mod execs;
mod loops;
pub mod operations;
mod published;
mod push;
mod spec;
mod tasks;
mod wakes;
mod words;

pub use asked::Attached;
pub use changes::Changes;
pub use decisions::{Decision, DecisionKind};
pub use engine::{Engine, Hands, Invitations, Parts, Settings};
pub use execs::ExecSession;
pub use published::PublishedRoutes;
pub use push::Gate;
pub use renga_planner::Overcommit;
pub use tasks::run;
pub use wakes::{Bell, Wakes};

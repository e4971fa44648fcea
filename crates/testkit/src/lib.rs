//! Simulated hands: the ports of the platform, in memory and under a test's control.
//!
//! They keep the promises of `ports` (doing it twice does it once, bounded channels, streams that end) and record what
//! was asked of them, so that a test can drive the engine or the API through the same traits as the real ones. Nothing
//! here touches a file, a process or the network, and nothing happens by itself: a dyno becomes ready, prints or exits
//! when the test says so.
//!
//! ```text
//! engine ──Runtime::start──> SimRuntime <──ready, exit, attached── test
//! engine ──Logs::write────>  SimLogs    <──lines, append────────── test
//! ```

mod clock;
mod git;
mod logs;
mod routes;
mod runtime;
pub mod world;

pub use clock::SimClock;
pub use git::SimGit;
pub use logs::SimLogs;
pub use routes::SimRoutes;
pub use runtime::{AttachedEnd, SimRuntime};

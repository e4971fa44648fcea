//! A world that can be made to fail: simulated hands for everything above the ports.
//!
//! [`World`] is what survives a crash of the control plane: dynos, repositories, outputs, the router's table. Its
//! hands ([`World::hands`]) pass every call that changes something through [`Faults`], which can refuse the n-th call,
//! repeat it, or stop the control plane before or after it; a test lets its ledger ask the same [`Faults`] at every
//! write. It runs its scenario with n = 1, 2, 3 ... until the n-th call or write is not met. What must hold afterwards
//! is the test's business, except for what only the world can see ([`World::complaints`]).

mod acme;
mod faults;
mod git;
mod logs;
mod node;
mod routes;
mod runtime;
mod state;

pub use acme::WorldAcme;
pub use faults::{Fault, Faults};
pub use node::Delivery;
pub use state::{Hands, ManualClock, World};

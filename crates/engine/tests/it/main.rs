//! The engine on a real ledger and a simulated world.

mod faults;
mod formation;
mod plane;

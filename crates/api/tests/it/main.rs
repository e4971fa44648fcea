//! The API on its own boundary: real requests over a socket, a real ledger, simulated hands.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod access;
mod accounts;
mod apps;
mod bodies;
mod cli;
mod conventions;
mod domains;
mod fuzz;
mod git;
mod harness;
mod login;
mod matrix;
mod oauth;
mod rendezvous;
mod replay;
mod routes;
mod schema;
mod shapes;
mod streams;
mod teams;
mod two_factor;
mod users;
mod walk;

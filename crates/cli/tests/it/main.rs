//! The command line as its users have it: a process, its terminal, and a platform at the other end of real sockets.

#![allow(clippy::unwrap_used, reason = "tests")]

mod api;
mod attach;
mod connect;
mod face;
mod harness;
mod local;
mod logs;
mod plain;
mod proxy;
mod rows;
mod shell;

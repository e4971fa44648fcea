//! The hand against the real thing: mounts, network namespaces, cgroups and `renga-dyno`, as root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can't go on ends"
)]

mod crowd;
mod files;
mod firewalls;
mod freezing;
mod guard;
mod lifecycle;
mod network;
mod packing;
mod site;

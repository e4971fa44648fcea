//! The router on the wire: real sockets, small dynos made of a few lines of bytes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail by a panic and ends with its runtime"
)]

mod challenge;
mod claims;
mod codes;
mod corpus;
mod drain;
mod edges;
mod ends;
mod frames;
mod handover;
mod hostile;
mod http;
mod http2;
mod metrics;
mod proxies;
mod recorder;
mod rig;
mod rolling;
mod servers;
mod switches;
mod tables;
mod tls;
mod upgrade;

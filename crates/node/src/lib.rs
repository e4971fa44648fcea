//! The runtime port over a Unix socket: the process `renga node` serves it, `renga server` calls it.
//!
//! The node is root and parses no byte of the internet; what reaches it are the server's own words, one JSON line a
//! request and one an answer, several after one another on a connection, connections side by side. The socket belongs
//! to the server's user, and who connects is asked for again by the kernel's word.
//!
//! ```text
//! server: NodeClient ──{"version":1,"call":{"start":{..}}}──> node: serve ──> runtime::Hand
//!                    <──{"version":1,"reply":"done"}─────────
//!         NodeClient::attach ────── frames on dynos/<id>/attach.sock ───────> renga-dyno
//! ```
//!
//! Attaching goes past the node, so that its restart cuts no terminal off. Every call may be repeated, so the client
//! repeats one whose connection had gone stale; a node that does not answer is [`renga_ports::RuntimeError::Away`].

mod client;
mod server;
mod words;

pub use client::NodeClient;
pub use server::{ServeError, serve};

//! Certificates by host name: the router asks, the server issues.
//!
//! ```text
//! name ──in memory──> served                                   (older than the refresh age: asked for anew, meanwhile served)
//!    └─not there──> ask the server ──issued──> memory, disk ──> served
//!                        └─away or refused──> disk ──there──> served
//!                                               └─not there──> the domain's own
//! ```
//!
//! Keys are on disk (0600, our own uid) so that a restart with the control plane away still speaks TLS. What strangers
//! may make us ask for is bounded: names of the table, and names directly below the domain, whose answers are never
//! written to disk; anything else gets the domain's certificate. All names below a wildcard of the table share its one.
//!
//! The table says which hosts have a certificate that was uploaded, and in which version; another version than the one
//! in memory is asked for before it is served, so a replaced certificate is seen with the next table.

mod cache;
mod disk;
mod issue;

pub(crate) use cache::Certificates;
pub use issue::{Issued, Issuer, serve};

//! Certificates from an authority that speaks ACME, and the operator's program that writes DNS records.
//!
//! ```text
//! engine ──Acme──> AcmeClient ──signed requests over TLS──> the authority
//!                      └──────arguments, environment─────> the operator's program ──> DNS
//! ```
//!
//! Every call is one step of an order, and what must outlast a crash is given back. The crate refuses to keep anything
//! but an open account, to try again, and to decide which name gets a certificate: that is the engine's. What an
//! authority says of a name is put into words for the name's owner in `words.rs`.

mod client;
mod config;
mod dns;
mod transport;
mod words;

pub use client::AcmeClient;
pub use config::{Binding, Config, ConfigMistake, DNS_TIMEOUT};

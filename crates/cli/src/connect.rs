//! `connect`: a platform on another machine, as if it were on this one.
//!
//! The official command line gives its token to private hosts only if they are called `localhost`. So a forwarder listens
//! there and passes requests on over TLS; git, terminals and logs go to the platform directly.
//!
//! ```text
//! heroku ──http://localhost:4010──> forwarder ──TLS, CA pinned──> https://paas.example:4443
//! git ────────────────────────────────TLS, the same CA──────────> https://paas.example:4443
//! ```
//!
//! The platform's CA is no public one. It is trusted by its SHA-256 fingerprint, which the operator knows; without one a
//! private CA is refused, with what is needed to compare. The forwarder adds no credentials of its own.

mod command;
mod forward;
mod pin;

pub(crate) use command::{ConnectArgs, connect};

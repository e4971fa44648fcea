//! `connect`: a platform on another machine, as if it were on this one, or as if it were Heroku.
//!
//! The official command line gives its token to private hosts only if they are called `localhost`. So a forwarder listens
//! there and passes requests on over TLS; git, terminals and logs go to the platform directly.
//!
//! ```text
//! heroku ──http://localhost:4010──> forwarder ──TLS, CA pinned──> https://paas.example:4443
//! git ────────────────────────────────TLS, the same CA──────────> https://paas.example:4443
//! ```
//!
//! Some names of Heroku's stand in the official command line itself, and in remotes, scripts and habits. With `--proxy`
//! the same port is an HTTPS proxy, which answers for these names and lets everybody else's pass:
//!
//! ```text
//! heroku ──CONNECT api.heroku.com:443─┐
//! git ─────CONNECT git.heroku.com:443─┴> proxy (TLS of its own) ──TLS, CA pinned──> https://paas.example:4443
//! npm ─────CONNECT registry...:443─────> proxy ──as it is─────────────────────────> where it says
//! heroku ──CONNECT backboard.heroku.com> refused: Heroku's, and nothing of the platform's
//! heroku (log streams, terminals) ────────TLS, the platform's CA──────────────────> https://paas.example:4443
//! ```
//!
//! The platform's CA is no public one. It is trusted by its SHA-256 fingerprint, which the operator knows; without one a
//! private CA is refused, with what is needed to compare. Neither mode adds credentials of its own: whoever may use the
//! port must have the token. The proxy passes on no other token, since those around may be for Heroku itself.

mod answer;
mod authority;
mod command;
mod forward;
mod head;
mod hosts;
mod pin;
mod pipe;
mod proxy;
mod service;
mod site;

pub(crate) use command::{ConnectArgs, connect};
pub use hosts::SERVED as HEROKU_HOSTS;

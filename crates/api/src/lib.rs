//! The HTTP face: Heroku's Platform API, git over HTTP, log sessions, build outputs, uploads, browser login, and the
//! rendezvous of attached one-off dynos.
//!
//! ```text
//! request ──Accept, Request-Id──> gate (token, scope, rate, app permission) ──> handler ──> engine operation
//!    ^                                                                             │
//!    └────────────── JSON, ETag, ranges, error body <──────────────────────────────┘
//! ```
//!
//! Every endpoint is one row of the table in [`routes`]: method, path, what a token must allow, what the caller must be
//! allowed to do to the app, handler. The router is built from that table and a test walks it, so an endpoint without
//! authorization cannot be written by forgetting something. Links of the published API that are not offered are listed
//! too, and answer `not_found`.
//!
//! URLs that are their own key (log sessions, output streams, uploads, rendezvous secrets) stand outside of the token
//! gate: they carry a signature or a secret that nobody can guess, and open exactly one thing.
//!
//! The crate refuses to decide anything: that is the engine's. It holds no SQL and knows no processes. The words of a
//! refusal become status and body in `error.rs` alone.

mod answer;
mod call;
pub mod coverage;
mod error;
mod gate;
mod git;
mod handlers;
mod kept;
mod limiter;
mod links;
mod links_pages;
mod login;
mod oauth;
mod pages;
mod passwords;
mod range;
mod rendezvous;
mod routes;
mod serve;
mod state;
mod streams;
mod unoffered;

pub use git::{GitCaller, GitHttp};
pub use rendezvous::{Rendezvous, RendezvousTimes, serve_rendezvous};
pub use routes::{EndpointRow, endpoint_rows, router};
pub use state::{ApiState, Parts};
pub use unoffered::unoffered_links;

//! Where the platform is, who we are to it, and how other programs are told.
//!
//! ```text
//! --data-dir ─┐
//! RENGA_DATA_DIR ─> DATA_DIR/endpoints.json ─┐
//! HEROKU_HOST (inside `renga exec`) ─────────┼─> Place ─> Client (API), Exports (exec, env), git remotes
//! /var/lib/renga/endpoints.json ─────────────┘
//! ```

mod bundle;
mod exports;
mod place;
mod proxied;

use bundle::trust_bundle;
pub(crate) use bundle::write_if_changed;
pub(crate) use exports::{Exports, helper_command, quote_sh};
pub(crate) use place::{Place, PlaceArgs, authority};
pub(crate) use proxied::Proxied;

//! The builder: source in, layers out. It is the program that runs inside a build dyno.
//!
//! `renga-build` reads the request, writes the build log on its standard output line by line, in the frame that
//! people know (`-----> step`, seven spaces of detail, ` !     ` for what went wrong), and leaves a result file that
//! names directories under `/out/layers`. Packing them, and everything after it, is the business of the node and the
//! engine: the log ends where this program's knowledge ends, before `-----> Compressing...`.
//!
//! ```text
//! request ── source unpacked ── .slugignore ── buildpacks chosen ──┐
//!                                                                  │ each, in order
//!                                        ┌───────── detect ── compile ── release ─────────┐
//!                                        │ built-in (python, nodejs, Procfile only)       │
//!                                        │ external (bin/detect, bin/compile, bin/release)│
//!                                        └────────────────────┬───────────────────────────┘
//!             result.json <── layers by rename <── process types <── tidy (tmp/, log/, .DS_Store)
//! ```
//!
//! A slug is up to three layers. **Runtime** and **dependencies** have a key, made from everything that their content
//! depends on *before* anything is installed; when the last build left a layer of the same key, it is used through
//! a symlink and not one file of it is written again. What cannot promise such a key (hooks, local packages, other
//! buildpacks in the list) goes into the **app** layer, which is never reused.
//!
//! What it refuses: sources that reach out of their tree, a version that cannot be had (it names those that can, and
//! never takes another in silence), values of config vars in the log or in the environment of external buildpacks,
//! and shell lines made of words from outside. It runs without privileges; the dyno around it is the fence.

mod buildpack;
mod command;
mod context;
mod detect;
mod digest;
mod errors;
mod external;
mod fetch;
mod files;
mod layers;
mod limits;
mod log;
mod node;
mod options;
mod places;
mod procfile;
mod provision;
mod python;
mod release_yaml;
mod run;
mod slug;
mod slugignore;
mod source;

pub use errors::BuildError;
pub use log::Log;
pub use places::Places;
pub use provision::provision_python;
pub use run::{build, conclude};

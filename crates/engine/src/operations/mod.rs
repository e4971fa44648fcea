//! Everything that a user can ask for: each operation is one short transaction and a bell.
//!
//! The workflows and the push gate use three of them:
//!
//! * `release::release_create(tx: &renga_store::Tx<'_>, settings: &Settings, new: NewRelease, now: Timestamp)
//!   -> Result<Release, Refusal>` with `NewRelease { app: AppId, user: AccountId, description: String,
//!   slug: Option<SlugId>, config: ConfigVars, attachments: Vec<String> }`; and
//!   `release::announce(engine: &Engine, release: &Release)` (async), which writes the api log lines
//!   (`Deploy 1234567 by user x`, `Release v12 created by user x`) and rings formation, routes and releases.
//! * `builds::create(engine: &Engine, app: AppId, user: AccountId, source: BuildSource, buildpacks: Vec<String>)
//!   -> Result<Build, Refusal>` (async): inserts the row (empty `buildpacks` means the app's own list), writes
//!   `Build started by user x`, rings the builds' bell; a build under way is a `Fault::Conflict`.
//! * `sources::uploaded_file(engine: &Engine, url: &str) -> Result<Option<PathBuf>, Refusal>` (async): the file in the
//!   exchange directory behind a `get_url` of ours, or none for any other URL.

pub mod builds;
pub mod release;
pub mod sources;

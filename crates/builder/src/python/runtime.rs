//! Where the interpreter comes from: an ordered list of providers, the first that has the version is taken.
//!
//! 1. runtimes that the operator mounted into the build, copied into a runtime layer;
//! 2. runtimes that the stack image holds beside its own, used in place;
//! 3. the stack's own interpreter;
//! 4. the distribution's packages for its next release, put into a runtime layer ([`super::apt`]).
//!
//! Another minor version is never taken instead. Another patch of the same minor is, with a warning that names both.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    apt,
    version::{Requested, Version},
};
use crate::{BuildError, command::Tool, context::Context, digest::LayerKey, files, layers};

/// Where runtime layers put what they hold, relative to `/`.
pub(super) const RUNTIME_FOLDER: &str = "app/.heroku/runtime";

#[derive(Debug, Clone)]
pub(super) struct Runtime {
    /// With its patch.
    pub(super) version: Version,
    /// The folder of the interpreter, as a virtual environment's `home` says it. Valid at run time, too.
    pub(super) bin: PathBuf,
    /// Part of the keys of what is installed with it.
    pub(super) tag: String,
    pub(super) source: Source,
}

/// Where this build has it from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stack,
    LastBuild,
    Installed,
}

impl Runtime {
    pub(super) fn minor(&self) -> String {
        format!("3.{}", self.version.minor)
    }

    pub(super) fn interpreter(&self) -> PathBuf {
        self.bin.join(format!("python{}", self.minor()))
    }

    /// The step that tells where it comes from; one that was installed has told so while it was.
    pub(super) fn tell(&self, context: &mut Context<'_>) {
        let version = self.version;
        match self.source {
            Source::Stack => context.log.step(format!("Using Python {version}, which is part of the stack")),
            Source::LastBuild => context.log.step(format!("Using cached install of Python {version}")),
            Source::Installed => {}
        }
    }

    /// Finds the version, and has it ready for use when it returns.
    pub(super) fn resolve(context: &mut Context<'_>, requested: &Requested) -> Result<Self, BuildError> {
        if let Some(runtime) = find(context, requested.version)? {
            return Ok(runtime);
        }
        let any_patch = Version { patch: None, ..requested.version };
        if any_patch != requested.version
            && let Some(runtime) = find(context, any_patch)?
        {
            let (wanted, taken) = (requested.version, runtime.version);
            context.log.trouble(format!(
                "Warning: Python {wanted} can't be had here. Python {taken} is used instead, the same minor version.\n\
                 Ask for \"3.{}\" without a patch version to get the newest one without this warning.",
                wanted.minor
            ));
            return Ok(runtime);
        }
        Err(BuildError::PythonVersionNotOffered {
            wanted: requested.version.to_string(),
            offered: offered(context).iter().map(Version::to_string).collect(),
        })
    }
}

fn find(context: &mut Context<'_>, wanted: Version) -> Result<Option<Runtime>, BuildError> {
    let mounted = newest(local_runtimes(&context.places.runtimes_mounted), wanted);
    if let Some((version, folder)) = mounted {
        return copied(context, version, &folder).map(Some);
    }
    let beside = newest(local_runtimes(&context.places.stack_tools.join("runtimes")), wanted);
    if let Some((version, folder)) = beside {
        return Ok(Some(in_place(version, folder.join("bin"))));
    }
    if let Some((version, bin)) = newest(stack_runtimes(context), wanted) {
        return Ok(Some(in_place(version, bin)));
    }
    apt::provide(context, wanted)
}

fn newest(found: Vec<(Version, PathBuf)>, wanted: Version) -> Option<(Version, PathBuf)> {
    found.into_iter().filter(|(version, _)| wanted.allows(*version)).max()
}

/// Everything that could be had, newest first. Used only for the message of a failure.
fn offered(context: &mut Context<'_>) -> Vec<Version> {
    let mut found = stack_runtimes(context);
    found.extend(local_runtimes(&context.places.runtimes_mounted));
    found.extend(local_runtimes(&context.places.stack_tools.join("runtimes")));
    let mut versions: Vec<Version> = found.into_iter().map(|(version, _)| version).collect();
    versions.extend(apt::offered(context).unwrap_or_default());
    versions.sort();
    versions.dedup();
    versions.reverse();
    versions
}

/// Folders `python-3.12.9` with a `bin` below them.
fn local_runtimes(folder: &Path) -> Vec<(Version, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = |path: PathBuf| {
        let version = Version::parse(path.file_name()?.to_str()?.strip_prefix("python-")?)?;
        let usable = version.patch.is_some() && path.join(format!("bin/python3.{}", version.minor)).exists();
        usable.then_some((version, path))
    };
    entries.filter_map(|entry| named(entry.ok()?.path())).collect()
}

/// `/usr/bin/python3.13`, asked for its full version.
fn stack_runtimes(context: &Context<'_>) -> Vec<(Version, PathBuf)> {
    let bin = Path::new("/usr/bin");
    let Ok(entries) = fs::read_dir(bin) else { return Vec::new() };
    let full = |path: PathBuf| {
        Version::parse(path.file_name()?.to_str()?.strip_prefix("python")?)?;
        let answer = Tool::new(&path, "/", &context.env).arg("--version").output().ok()?;
        let version = Version::parse(answer.text().strip_prefix("Python ")?)?;
        Some((version, bin.to_owned()))
    };
    entries.filter_map(|entry| full(entry.ok()?.path())).collect()
}

fn in_place(version: Version, bin: PathBuf) -> Runtime {
    let tag = format!("{version} {}", bin.display());
    Runtime { version, bin, tag, source: Source::Stack }
}

/// A mounted runtime is there during the build only, so it goes into a layer.
fn copied(context: &mut Context<'_>, version: Version, folder: &Path) -> Result<Runtime, BuildError> {
    let key = LayerKey::new(format!("python-{version}"))
        .with("mounted", folder.to_string_lossy().as_bytes())
        .finish();
    layered(context, version, key, |_, target| files::copy_tree(folder, target))
}

/// A runtime in a layer of its own: the last build's if it has this key, else made by `make`.
pub(super) fn layered(
    context: &mut Context<'_>,
    version: Version,
    key: String,
    make: impl FnOnce(&mut Context<'_>, &Path) -> Result<(), BuildError>,
) -> Result<Runtime, BuildError> {
    let relative = Path::new(RUNTIME_FOLDER).join(format!("python-{version}"));
    let home = context.places.app.join(".heroku/runtime").join(format!("python-{version}"));
    let (bin, tag) = (home.join("bin"), key.clone());
    if let Some(root) = layers::cached_root(context.request, &key) {
        context.layers.link(&root.join(&relative), &home)?;
        context.layers.cached(key);
        return Ok(Runtime { version, bin, tag, source: Source::LastBuild });
    }
    files::remove(&home)?;
    files::make_dir(&home)?;
    make(context, &home)?;
    context.layers.fresh(Some(key), home, relative);
    Ok(Runtime { version, bin, tag, source: Source::Installed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_fits_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for version in ["3.12.1", "3.12.9", "3.13.2"] {
            let minor = &version[..4];
            files::write(&root.path().join(format!("python-{version}/bin/python{minor}")), "").unwrap();
        }
        files::write(&root.path().join("python-3.11.1/README"), "no interpreter").unwrap();
        let found = local_runtimes(root.path());
        assert_eq!(found.len(), 3);
        let wanted = |text: &str| {
            newest(found.clone(), Version::parse(text).unwrap()).map(|(version, _)| version.to_string())
        };
        assert_eq!(wanted("3.12").as_deref(), Some("3.12.9"));
        assert_eq!(wanted("3.12.1").as_deref(), Some("3.12.1"));
        assert_eq!(wanted("3.11"), None);
    }
}

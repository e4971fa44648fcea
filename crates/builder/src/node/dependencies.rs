//! `node_modules`: installed, pruned, and kept as a layer when only the lock file decides what is in it.

use std::{
    ffi::OsStr,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;

use super::{Build, heading, package::Manager};
use crate::{
    BuildError,
    context::Context,
    digest::LayerKey,
    files, layers,
    limits::{LOCK_FILE_BYTES_MAX, SMALL_FILE_BYTES_MAX},
};

/// Relative to `/`.
const FOLDER: &str = "app/node_modules";
const FORMAT: &str = "1";
/// Scripts of the app that could change what an installation leaves.
const DISTURBING: [&str; 14] = [
    "heroku-prebuild",
    "heroku-postbuild",
    "heroku-cleanup",
    "build",
    "prebuild",
    "postbuild",
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "preprepare",
    "prepare",
    "postprepare",
    "dependencies",
];

/// The key of the last build's `node_modules`, which this build uses.
pub(super) struct Restored {
    key: String,
}

/// Brings back what the last build left: `node_modules` as it is, or the directories that the app named.
pub(super) fn restore(build: &Build<'_>, context: &mut Context<'_>) -> Result<Option<Restored>, BuildError> {
    heading(context, "Restoring cache");
    if build.env.get(OsStr::new("NODE_MODULES_CACHE")).is_some_and(|value| value == "false") {
        context.log.detail("Caching has been disabled because NODE_MODULES_CACHE=false");
        return Ok(None);
    }
    for relative in cache_directories(build) {
        let kept = kept_place(context, &relative);
        if kept.is_dir() && !context.build_dir.join(&relative).exists() {
            files::copy_tree(&kept, &context.build_dir.join(&relative))?;
            context.log.detail(format!("- {}", relative.display()));
        }
    }
    let Some(key) = key(build, context)? else { return Ok(None) };
    let Some(root) = layers::cached_root(context.request, &key) else { return Ok(None) };
    context.layers.link(&root.join(FOLDER), &context.build_dir.join("node_modules"))?;
    context.log.detail("- node_modules");
    Ok(Some(Restored { key }))
}

pub(super) fn install(build: &Build<'_>, context: &mut Context<'_>) -> Result<(), BuildError> {
    let package = build.package;
    if package.prebuilt {
        context.log.detail("Prebuild detected (node_modules already exists)");
        if package.manager == Manager::Npm {
            context.log.detail("Rebuilding any native modules");
            run(build, context, &["rebuild"])?;
        }
    }
    let with_lock = package.lock.is_some();
    match package.manager {
        Manager::Npm if with_lock && !package.prebuilt && !prefers_install(context) => {
            context.log.detail("Installing node modules");
            run(build, context, &["ci", "--include=dev"])
        }
        Manager::Npm => {
            context.log.detail("Installing node modules (package.json)");
            run(build, context, &["install", "--include=dev", "--no-package-lock"])
        }
        Manager::Yarn if build.runtime.manager_major > 1 => {
            context.log.detail("Running 'yarn install' with yarn.lock");
            run(
                build,
                context,
                if with_lock { &["install", "--immutable"] } else { &["install", "--no-immutable"] },
            )
        }
        Manager::Yarn => {
            context.log.detail("Running 'yarn install' with yarn.lock");
            let frozen: &[&str] = if with_lock { &["--frozen-lockfile"] } else { &[] };
            let args = ["install", "--production=false", "--ignore-engines", "--prefer-offline"];
            run(build, context, &[&args[..], frozen].concat())
        }
        Manager::Pnpm => {
            context.log.detail("Running 'pnpm install' with pnpm-lock.yaml");
            let frozen = if with_lock { "--frozen-lockfile" } else { "--no-frozen-lockfile" };
            run(build, context, &["install", "--prod=false", frozen])
        }
    }
}

/// Removes what only development needs. True if `node_modules` is then what production needs and nothing else.
pub(super) fn prune(build: &Build<'_>, context: &mut Context<'_>) -> Result<bool, BuildError> {
    if let Some(reason) = reason_not_to_prune(build) {
        context.log.detail(format!("Skipping because {reason}"));
        return Ok(false);
    }
    if !build.package.has_dev_dependencies && !build.package.has_workspaces {
        context.log.detail("Skipping because package.json has no devDependencies");
        return Ok(true);
    }
    let yarn_berry = build.runtime.manager_major > 1;
    match build.package.manager {
        Manager::Npm => run(build, context, &["prune", "--omit=dev", "--no-package-lock"])?,
        Manager::Yarn if yarn_berry => {
            run(build, context, &["workspaces", "focus", "--all", "--production"])?
        }
        Manager::Yarn => {
            let args =
                ["install", "--production", "--ignore-engines", "--prefer-offline", "--ignore-scripts"];
            run(build, context, &args)?;
        }
        Manager::Pnpm => run(build, context, &["prune", "--prod", "--ignore-scripts"])?,
    }
    Ok(true)
}

fn reason_not_to_prune(build: &Build<'_>) -> Option<&'static str> {
    let value = |name: &str| build.env.get(OsStr::new(name)).and_then(|value| value.to_str());
    if value("NODE_ENV") != Some("production") {
        return Some("NODE_ENV is not 'production'");
    }
    match build.package.manager {
        Manager::Npm if value("NPM_CONFIG_PRODUCTION").is_some() => Some("NPM_CONFIG_PRODUCTION is set"),
        Manager::Yarn if value("YARN_PRODUCTION").is_some() => Some("YARN_PRODUCTION is set"),
        Manager::Yarn if value("YARN2_SKIP_PRUNING") == Some("true") => Some("YARN2_SKIP_PRUNING is 'true'"),
        Manager::Pnpm if value("PNPM_SKIP_PRUNING") == Some("true") => Some("PNPM_SKIP_PRUNING is 'true'"),
        _ => None,
    }
}

/// Keeps the directories that the app named, for its next build.
pub(super) fn save_directories(build: &Build<'_>, context: &mut Context<'_>) -> Result<(), BuildError> {
    heading(context, "Caching build");
    for relative in cache_directories(build) {
        let (from, kept) = (context.build_dir.join(&relative), kept_place(context, &relative));
        files::remove(&kept)?;
        if from.is_dir() {
            files::copy_tree(&from, &kept)?;
            context.log.detail(format!("- {}", relative.display()));
        }
    }
    Ok(())
}

/// `node_modules` as a layer, if it may be one; otherwise it stays where it is, in the app.
pub(super) fn plan_layer(
    build: &Build<'_>,
    context: &mut Context<'_>,
    restored: Option<Restored>,
    clean: bool,
) -> Result<(), BuildError> {
    if let Some(restored) = restored {
        context.layers.cached(restored.key);
        return Ok(());
    }
    let folder = context.build_dir.join("node_modules");
    if clean
        && folder.is_dir()
        && let Some(key) = key(build, context)?
    {
        context.layers.fresh(Some(key), folder, FOLDER);
    }
    Ok(())
}

/// What the content of `node_modules` depends on; none if on more than can be known before installing.
fn key(build: &Build<'_>, context: &Context<'_>) -> Result<Option<String>, BuildError> {
    let package = build.package;
    let disturbed = DISTURBING.iter().any(|name| package.has_script(name));
    let simple = package.manager == Manager::Npm
        && package.lock == Some("package-lock.json")
        && context.only_builtins
        && !(disturbed || package.prebuilt || package.has_workspaces || prefers_install(context))
        && cache_directories(build).is_empty()
        && reason_not_to_prune(build).is_none();
    let read = |name: &str, max| files::read_bytes(&context.build_dir.join(name), max);
    let Some(lock) = read("package-lock.json", LOCK_FILE_BYTES_MAX)?.filter(|_| simple) else {
        return Ok(None);
    };
    let npmrc = read(".npmrc", SMALL_FILE_BYTES_MAX)?.unwrap_or_default();
    let Some(install_scripts) = lock_is_fixed(&lock).filter(|_| !npmrc.contains(&b'$')) else {
        return Ok(None);
    };
    let mut key = LayerKey::new("node-modules")
        .with("format", FORMAT)
        .with("stack", context.stack_id())
        .with("runtime", &build.runtime.key)
        .with("node", build.runtime.node.to_string())
        .with("lock", &lock)
        .with("package", read("package.json", SMALL_FILE_BYTES_MAX)?.unwrap_or_default())
        .with("npmrc", &npmrc);
    // Install scripts of packages see all config vars; npm itself sees its own.
    for (name, value) in &context.request.config {
        if install_scripts || name.to_ascii_lowercase().starts_with("npm_") || name.starts_with("NODE_") {
            key = key.with(name, value.expose());
        }
    }
    Ok(Some(key.finish()))
}

/// Whether everything in the lock file comes from a registry; inside, whether a package has an install script.
fn lock_is_fixed(lock: &[u8]) -> Option<bool> {
    let lock: Value = serde_json::from_slice(lock).ok()?;
    let packages = lock.get("packages")?.as_object()?;
    let mut scripts = false;
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let truth = |key: &str| package.get(key).and_then(Value::as_bool).unwrap_or_default();
        let local = truth("link") || !name.starts_with("node_modules/");
        let elsewhere =
            ["git", "file:", "link:", "ssh:"].iter().any(|kind| text("resolved").starts_with(kind));
        if local || elsewhere {
            return None;
        }
        scripts |= truth("hasInstallScript");
    }
    Some(scripts)
}

/// The named directories that lie inside the app.
fn cache_directories(build: &Build<'_>) -> Vec<PathBuf> {
    let inside = |path: &Path| {
        path.components().all(|part| matches!(part, Component::Normal(_))) && !path.as_os_str().is_empty()
    };
    build.package.cache_directories.iter().map(PathBuf::from).filter(|path| inside(path)).collect()
}

fn kept_place(context: &Context<'_>, relative: &Path) -> PathBuf {
    context.places.cache.join("node/cache").join(relative)
}

fn prefers_install(context: &Context<'_>) -> bool {
    context.config("USE_NPM_INSTALL") == Some("true")
}

fn run(build: &Build<'_>, context: &mut Context<'_>, args: &[&str]) -> Result<(), BuildError> {
    let program = build.package.manager.program();
    let tool = build
        .tool(context, program)
        .args(args)
        .env("YARN_CACHE_FOLDER", context.scratch.join("yarn-cache"))
        .env("YARN_ENABLE_GLOBAL_CACHE", "false")
        .env("npm_config_store_dir", context.scratch.join("pnpm-store"))
        .env("CI", "true");
    let status = tool.run_indented(context.log)?;
    if status.success() {
        return Ok(());
    }
    let command = format!("{program} {}", args.first().copied().unwrap_or_default());
    Err(BuildError::NodeInstall { command, lock: build.package.lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registry_packages_may_be_kept() {
        let fixed = |packages: &str| lock_is_fixed(format!(r#"{{"packages":{{{packages}}}}}"#).as_bytes());
        assert_eq!(fixed(r#""":{"name":"x"},"node_modules/a":{"resolved":"https://r/a.tgz"}"#), Some(false));
        assert_eq!(fixed(r#""node_modules/a":{"hasInstallScript":true}"#), Some(true));
        assert_eq!(fixed(r#""node_modules/a":{"resolved":"lib/a","link":true},"lib/a":{}"#), None);
        assert_eq!(fixed(r#""node_modules/a":{"resolved":"git+ssh://git@h/a.git#1"}"#), None);
        assert_eq!(fixed(r#""node_modules/a":{"resolved":"file:a.tgz"}"#), None);
        assert_eq!(lock_is_fixed(br#"{"lockfileVersion":1,"dependencies":{}}"#), None);
    }
}

//! What frameworks want at build time: Django's static files, NLTK's corpora.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{environment::Environment, with_python};
use crate::{
    BuildError,
    command::{Env, Tool},
    context::{CONFIG_KEPT_BACK, Context},
    files,
};

/// How deep below the root a manage.py is looked for.
const MANAGE_DEPTH_MAX: usize = 3;
/// What the last lines are searched for after a failure.
const NOT_INSTALLED: &str = "Unknown command: 'collectstatic'";

/// `manage.py collectstatic` for Django apps, unless told not to.
pub(super) fn collect_static(context: &mut Context<'_>, environment: &Environment) -> Result<(), BuildError> {
    if !environment.has_module("django") {
        return Ok(());
    }
    let disabled = context.config("DISABLE_COLLECTSTATIC").is_some_and(|value| !matches!(value, "" | "0"));
    if disabled {
        context.log.step("Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set.");
        return Ok(());
    }
    if context.app_has(".heroku/collectstatic_disabled") {
        context
            .log
            .step("Skipping Django collectstatic since the file '.heroku/collectstatic_disabled' exists.");
        return Ok(());
    }
    let Some(manage) = manage_file(&context.build_dir) else {
        context.log.step("Skipping Django collectstatic since no manage.py file found.");
        return Ok(());
    };
    let shown = manage.strip_prefix(&context.build_dir).unwrap_or(&manage).display().to_string();
    context.log.step(format!("$ python {shown} collectstatic --noinput"));
    let env = with_python(&context.env_with_config(&CONFIG_KEPT_BACK), environment);
    let tool = Tool::new(environment.python(), &context.build_dir, &env).arg(&shown).args([
        "collectstatic",
        "--noinput",
        "--traceback",
    ]);
    let mut not_installed = false;
    let log = &mut *context.log;
    let status = tool.run_lines(|line| {
        not_installed |= line.contains(NOT_INSTALLED);
        let noise = line.is_empty() || line.starts_with("Copying") || line.starts_with("Post-processed");
        if !noise {
            log.detail(line);
        }
    })?;
    if status.success() {
        return Ok(());
    }
    if not_installed {
        context.log.detail("Skipped: django.contrib.staticfiles is not in INSTALLED_APPS.");
        return Ok(());
    }
    if context.config("DEBUG_COLLECTSTATIC").is_some_and(|value| !matches!(value, "" | "0")) {
        show_environment(context, &env);
    }
    Err(BuildError::Collectstatic { command: format!("python {shown} collectstatic --noinput") })
}

/// The nearest manage.py: the smallest depth, then the first name.
pub(super) fn manage_file(root: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let walked = files::walk(root, &mut |path, meta| {
        let depth = path.strip_prefix(root).map_or(0, |relative| relative.components().count());
        if meta.is_file() && path.file_name() == Some(OsStr::new("manage.py")) {
            found.push(path.to_owned());
        }
        let hidden = path.file_name().is_some_and(|name| name == ".heroku" || name == "node_modules");
        Ok(depth < MANAGE_DEPTH_MAX && !hidden)
    });
    walked.ok()?;
    found.into_iter().min_by_key(|path| (path.components().count(), path.clone()))
}

/// For `DEBUG_COLLECTSTATIC`: names of all variables; values only of those that are no config vars.
fn show_environment(context: &mut Context<'_>, env: &Env) {
    context.log.step("Environment of collectstatic (values of config vars are not shown):");
    for (name, value) in env {
        let name = name.to_string_lossy();
        let hidden = context.request.config.contains_key(name.as_ref());
        let shown = if hidden { "(config var)".into() } else { value.to_string_lossy() };
        context.log.detail(format!("{name}={shown}"));
    }
}

/// The corpora that `nltk.txt` lists, if NLTK is installed.
pub(super) fn download_corpora(
    context: &mut Context<'_>,
    environment: &Environment,
) -> Result<(), BuildError> {
    if !environment.has_module("nltk") {
        return Ok(());
    }
    context.log.step("Downloading NLTK corpora...");
    let Some(text) = context.app_text("nltk.txt")? else {
        context.log.trouble("'nltk.txt' not found, not downloading any corpora.");
        return Ok(());
    };
    let names: Vec<&str> = text.split_whitespace().filter(|name| !name.starts_with('-')).collect();
    context.log.detail(format!("Downloading NLTK packages: {}", names.join(" ")));
    let env = with_python(&context.env, environment);
    let status = Tool::new(environment.python(), &context.build_dir, &env)
        .args(["-m", "nltk.downloader", "-d"])
        .arg(context.build_dir.join(".heroku/nltk_data"))
        .args(&names)
        .run_indented(context.log)?;
    if status.success() { Ok(()) } else { Err(BuildError::Corpora) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_manage_file_is_taken() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(manage_file(root.path()), None);
        files::write(&root.path().join("a/b/c/manage.py"), "").unwrap();
        assert_eq!(manage_file(root.path()), None);
        files::write(&root.path().join("z/site/manage.py"), "").unwrap();
        files::write(&root.path().join("b/manage.py"), "").unwrap();
        assert_eq!(manage_file(root.path()).unwrap(), root.path().join("b/manage.py"));
    }
}

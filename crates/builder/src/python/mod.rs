//! The Python buildpack: one package manager, one version, one virtual environment at `/app/.heroku/python`.
//!
//! The log has the lines that people know; underneath, `uv` installs. The interpreter comes from the stack or from a
//! runtime layer, the virtual environment is the dependency layer, and a build whose key has not changed links the
//! layer of the last build and installs nothing.

mod apt;
mod django;
mod environment;
mod install;
mod manager;
mod requirements;
mod runtime;
mod uv;
mod version;

use std::path::Path;

use crate::{
    BuildError,
    buildpack::{Buildpack, Detection, Release},
    command::{Env, prepend_path},
    context::{CONFIG_KEPT_BACK, Context},
    files,
};
pub(crate) use apt::provision;
use environment::Environment;
use manager::Manager;
use runtime::Runtime;
pub(crate) use uv::pip_install;

/// Any of these makes it a Python app (directories too).
pub(crate) const DETECT_FILES: [&str; 27] = [
    ".python-version",
    "__init__.py",
    "app.py",
    "main.py",
    "manage.py",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "server.py",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "__pycache__",
    ".venv",
    "venv",
    // Misspellings of requirements.txt, so that the error can name the mistake.
    "requirement.txt",
    "Requirements.txt",
    "requirements.text",
    "requirements.txt.txt",
    "requirments.txt",
    "requriements.txt",
    "requirements.tx",
    "REQUIREMENTS.txt",
];

/// Runs a hook as bash would, also when it has no `#!` line. Constant: the hook's name is `$1`.
const RUN_HOOK: &str = r#""$1""#;

#[derive(Debug, Default)]
pub(crate) struct Python {
    built: Option<Environment>,
}

impl Buildpack for Python {
    fn name(&self) -> String {
        "heroku/python".into()
    }

    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError> {
        Ok(if DETECT_FILES.iter().any(|name| context.build_dir.join(name).exists()) {
            Detection::Applies { language: "Python".into() }
        } else {
            let reason = "None of the files of a Python app is at the root of the source: requirements.txt,\n\
                          Pipfile.lock, poetry.lock, uv.lock, .python-version, manage.py, ...";
            Detection::No { reason: reason.into() }
        })
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        hook(context, "bin/pre_compile", None)?;
        let manager = Manager::find(context)?;
        let requested = version::requested(context, manager)?;
        context.log.step(requested.line());
        if requested.origin == version::Origin::RuntimeTxt {
            context.log.trouble(
                "Warning: The runtime.txt file is deprecated. Put the version into .python-version instead.",
            );
        }
        files::remove(&context.build_dir.join(".heroku/python"))?;
        let runtime = Runtime::resolve(context, &requested)?;
        let environment = install::install(context, manager, &runtime)?;
        django::download_corpora(context, &environment)?;
        django::collect_static(context, &environment)?;
        hook(context, "bin/post_compile", Some(&environment))?;
        environment.make_relocatable(&context.build_dir)?;
        write_profile(&context.build_dir)?;
        context.log.step("Saving cache");
        context.remember("python.version", runtime.minor());
        self.built = Some(environment);
        Ok(())
    }

    fn release(&mut self, context: &mut Context<'_>) -> Result<Release, BuildError> {
        let wants_postgres = self.built.as_ref().is_some_and(|environment| {
            environment.has_module("django")
                && environment.has_module("psycopg2")
                && django::manage_file(&context.build_dir).is_some()
        });
        let addons = if wants_postgres { vec!["heroku-postgresql".into()] } else { Vec::new() };
        Ok(Release { addons, ..Release::default() })
    }

    fn export(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        if let Some(environment) = &self.built {
            context.env = with_python(&context.env, environment);
        }
        Ok(())
    }
}

/// The environment in which `python` and `pip` are the app's.
fn with_python(env: &Env, environment: &Environment) -> Env {
    let mut env = env.clone();
    prepend_path(&mut env, &environment.bin());
    env.insert("PYTHONUNBUFFERED".into(), "1".into());
    env
}

/// Runs one of the app's hooks, if it is there, with all config vars.
fn hook(context: &mut Context<'_>, name: &str, environment: Option<&Environment>) -> Result<(), BuildError> {
    let path = context.build_dir.join(name);
    if !path.is_file() {
        return Ok(());
    }
    files::make_executable(&path)?;
    context.log.step(format!("Running {name} hook"));
    let mut env = context.env_with_config(&CONFIG_KEPT_BACK);
    if let Some(environment) = environment {
        env = with_python(&env, environment);
    }
    let tool =
        crate::command::Tool::new("bash", &context.build_dir, &env).args(["-c", RUN_HOOK, "bash", name]);
    let status = tool.run_indented(context.log)?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Hook { name: name.to_owned(), code: status.code() })
    }
}

/// What a dyno sources when it starts.
fn write_profile(build_dir: &Path) -> Result<(), BuildError> {
    let folder = build_dir.join(".profile.d");
    files::write(&folder.join("python.sh"), include_str!("profile/python.sh"))?;
    files::write(&folder.join("python.gunicorn.sh"), include_str!("profile/gunicorn.sh"))
}

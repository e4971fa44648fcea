//! Installing the dependencies, or not: when the key of the last build's layer is this build's, it is linked.

use std::path::PathBuf;

use super::{
    apt::compile_all,
    environment::{ENVIRONMENT_FOLDER, Environment},
    manager::Manager,
    requirements,
    runtime::Runtime,
    uv::Uv,
    with_python,
};
use crate::{BuildError, command::Tool, context::Context, digest::LayerKey, layers};

/// Changes when the way of installing changes what is installed.
const FORMAT: &str = "1";

pub(super) fn install(
    context: &mut Context<'_>,
    manager: Manager,
    runtime: &Runtime,
) -> Result<Environment, BuildError> {
    let inputs = fixed_inputs(context, manager)?;
    let state = State::of(context, manager, runtime, inputs.as_deref());
    if let Some((inputs, version)) = inputs.as_ref().zip(Uv::expected_version(context)) {
        let key = key(context, manager, runtime, inputs, &version);
        if let Some(root) = layers::cached_root(context.request, &key) {
            return restore(context, manager, runtime, key, &root);
        }
    }
    state.tell_changes(context);
    runtime.tell(context);
    let uv = Uv::get(context)?;
    let environment = Environment::create(context, runtime)?;
    let installer = Installer { manager, uv: &uv, environment: &environment };
    installer.install_manager(context)?;
    context.log.step(format!("Installing dependencies using '{}'", manager.command()));
    installer.install_dependencies(context)?;
    let key = inputs.map(|inputs| key(context, manager, runtime, &inputs, &uv.version));
    context.layers.fresh(key, environment.home.clone(), ENVIRONMENT_FOLDER);
    state.remember(context);
    Ok(environment)
}

fn restore(
    context: &mut Context<'_>,
    manager: Manager,
    runtime: &Runtime,
    key: String,
    root: &std::path::Path,
) -> Result<Environment, BuildError> {
    context.log.step("Restoring cache");
    runtime.tell(context);
    if let Some(version) = context.fact("python.manager.version").map(str::to_owned) {
        context.log.step(format!("Using cached {} {version}", manager.name()));
    }
    context.log.step(format!("Installing dependencies using '{}'", manager.command()));
    context.log.detail(format!("Using cached dependencies: {} has not changed", manager.lock_file()));
    let environment = Environment::restore(context, runtime, root)?;
    context.layers.cached(key);
    Ok(environment)
}

/// What decides the dependencies, if nothing but files does: hooks and other buildpacks may write where they like.
fn fixed_inputs(context: &Context<'_>, manager: Manager) -> Result<Option<Vec<u8>>, BuildError> {
    let hooked = ["bin/pre_compile", "bin/post_compile"].iter().any(|hook| context.app_has(hook));
    if hooked || !context.only_builtins {
        return Ok(None);
    }
    requirements::fixed_inputs(&context.build_dir, manager)
}

fn key(
    context: &Context<'_>,
    manager: Manager,
    runtime: &Runtime,
    inputs: &[u8],
    uv_version: &str,
) -> String {
    LayerKey::new("python-dependencies")
        .with("format", FORMAT)
        .with("stack", context.stack_id())
        .with("runtime", &runtime.tag)
        .with("manager", manager.name())
        .with("uv", uv_version)
        .with("inputs", inputs)
        .with("index", context.config("PIP_EXTRA_INDEX_URL").unwrap_or_default())
        .finish()
}

// === what the log says about the cache ===

/// What the cache depends on, in words; kept as facts to tell the next build what changed.
struct State {
    facts: [(&'static str, String); 4],
    lock_file: &'static str,
}

impl State {
    fn of(context: &Context<'_>, manager: Manager, runtime: &Runtime, inputs: Option<&[u8]>) -> Self {
        let inputs = LayerKey::new("i").with("inputs", inputs.unwrap_or_default()).finish();
        Self {
            facts: [
                ("python.cache.stack", context.request.stack.to_string()),
                ("python.cache.version", runtime.version.to_string()),
                ("python.cache.manager", manager.name().to_owned()),
                ("python.cache.inputs", inputs),
            ],
            lock_file: manager.lock_file(),
        }
    }

    fn tell_changes(&self, context: &mut Context<'_>) {
        let mut reasons = Vec::new();
        for (name, now) in &self.facts {
            let Some(before) = context.fact(name).filter(|before| before != now) else { continue };
            reasons.push(match *name {
                "python.cache.stack" => format!("The stack has changed from {before} to {now}"),
                "python.cache.version" => format!("The Python version has changed from {before} to {now}"),
                "python.cache.manager" => format!("The package manager has changed from {before} to {now}"),
                _ => format!("The contents of {} changed", self.lock_file),
            });
        }
        if !reasons.is_empty() {
            context.log.step("Discarding cache since:");
            for reason in reasons {
                context.log.detail(format!("- {reason}"));
            }
        }
    }

    fn remember(self, context: &mut Context<'_>) {
        for (name, value) in self.facts {
            context.remember(name, value);
        }
    }
}

// === the installers ===

struct Installer<'a> {
    manager: Manager,
    uv: &'a Uv,
    environment: &'a Environment,
}

impl Installer<'_> {
    /// Prints the version of the package manager that the app will have, or that does the work.
    fn install_manager(&self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let version = match self.manager {
            Manager::Uv => self.uv.version.clone(),
            Manager::Pip => self.add_package(context, &self.environment.python(), "pip")?,
            Manager::Pipenv | Manager::Poetry => self.install_foreign(context)?,
        };
        context.log.step(format!("Installing {} {version}", self.manager.name()));
        context.remember("python.manager.version", version);
        Ok(())
    }

    /// A tool with dependencies of its own lives apart from the app's packages.
    fn install_foreign(&self, context: &mut Context<'_>) -> Result<String, BuildError> {
        let home = self.foreign_home(context);
        let answer = self
            .uv
            .tool(context, &context.env)
            .args(["venv", "--quiet", "--no-project", "--no-config", "--python", "/usr/bin/python3"])
            .arg(&home)
            .output()?;
        if !answer.status.success() {
            return Err(BuildError::ToolFetch { tool: self.manager.name(), stderr: answer.error_text() });
        }
        self.add_package(context, &home.join("bin/python"), &self.manager.name().to_lowercase())
    }

    fn foreign_home(&self, context: &Context<'_>) -> PathBuf {
        context.scratch.join(self.manager.name().to_lowercase())
    }

    /// Installs one package and returns its version.
    fn add_package(
        &self,
        context: &Context<'_>,
        python: &std::path::Path,
        package: &str,
    ) -> Result<String, BuildError> {
        let tool = self
            .uv
            .tool(context, &context.env)
            .args(["pip", "install", "--no-config", "--compile-bytecode", "--python"])
            .arg(python)
            .arg(package);
        let mut version = None;
        let mut output = String::new();
        let prefix = format!("+ {package}==");
        let status = tool.run_lines(|line| {
            version = line.trim().strip_prefix(&prefix).map(str::to_owned).or(version.take());
            output.push_str(line);
            output.push('\n');
        })?;
        match version {
            Some(version) if status.success() => Ok(version),
            _ => Err(BuildError::ToolFetch { tool: self.manager.name(), stderr: output }),
        }
    }

    fn install_dependencies(&self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let env = with_python(&context.env, self.environment);
        let python = self.environment.python();
        let tool = match self.manager {
            Manager::Pip => self
                .uv
                .tool(context, &env)
                .args(["pip", "install", "--compile-bytecode", "--python"])
                .arg(&python)
                .args(["--requirement", "requirements.txt"]),
            Manager::Uv => self
                .uv
                .tool(context, &env)
                .env("UV_PROJECT_ENVIRONMENT", &self.environment.home)
                .args(["sync", "--locked", "--no-default-groups", "--compile-bytecode"]),
            Manager::Pipenv => self.foreign(context, "pipenv", &["install", "--deploy"]),
            Manager::Poetry => {
                self.foreign(context, "poetry", &["sync", "--only", "main", "--no-interaction", "--no-ansi"])
            }
        };
        let status = self.run(&tool, context)?;
        if !status.success() {
            return Err(BuildError::PythonInstall {
                manager: self.manager.name(),
                lock: self.manager.lock_file(),
            });
        }
        if matches!(self.manager, Manager::Pipenv | Manager::Poetry) {
            compile_all(context, &python, &self.environment.site_packages())?;
        }
        Ok(())
    }

    fn run(&self, tool: &Tool, context: &mut Context<'_>) -> Result<std::process::ExitStatus, BuildError> {
        let log = &mut *context.log;
        tool.run_lines(|line| {
            // Where the environment lies is no news to anybody, and an app without packages is fine.
            let noise = line.starts_with("Using Python ")
                || line.starts_with("Using CPython ")
                || line.contains("does not contain any dependencies");
            if !noise {
                log.detail(line);
            }
        })
    }

    fn foreign(&self, context: &Context<'_>, program: &str, args: &[&str]) -> Tool {
        let env = with_python(&context.env, self.environment);
        let mut tool =
            Tool::new(self.foreign_home(context).join("bin").join(program), &context.build_dir, &env)
                .args(args)
                .env("VIRTUAL_ENV", &self.environment.home)
                .env("PIPENV_VERBOSITY", "-1")
                .env("PIPENV_NOSPIN", "1")
                .env("PIP_NO_CACHE_DIR", "1")
                .env("POETRY_CACHE_DIR", context.scratch.join("poetry-cache"))
                .env("PIPENV_CACHE_DIR", context.scratch.join("pipenv-cache"));
        if let Some(url) = context.config("PIP_EXTRA_INDEX_URL") {
            tool = tool.env("PIP_EXTRA_INDEX_URL", url);
        }
        tool
    }
}

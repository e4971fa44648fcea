//! `uv`: the stack's if it has one, else from the package index through the stack's own pip.

use std::path::PathBuf;

use crate::{
    BuildError,
    command::{Env, Tool, which},
    context::Context,
    files,
};

#[derive(Debug)]
pub(super) struct Uv {
    program: PathBuf,
    pub(super) version: String,
}

impl Uv {
    /// The version without fetching anything: the stack's, or the one that the last build fetched.
    pub(super) fn expected_version(context: &Context<'_>) -> Option<String> {
        match in_stack(context) {
            Some(program) => version_of(context, &program).ok(),
            None => context.fact("python.uv").map(str::to_owned),
        }
    }

    pub(super) fn get(context: &mut Context<'_>) -> Result<Self, BuildError> {
        let program = match in_stack(context) {
            Some(program) => program,
            None => fetch(context)?,
        };
        let version = version_of(context, &program)?;
        context.remember("python.uv", version.clone());
        Ok(Self { program, version })
    }

    pub(super) fn tool(&self, context: &Context<'_>, env: &Env) -> Tool {
        let mut env = env.clone();
        let mut set = |name: &str, value: &str| drop(env.insert(name.into(), value.into()));
        set("UV_CACHE_DIR", &context.scratch.join("uv-cache").to_string_lossy());
        set("UV_PYTHON_DOWNLOADS", "never");
        set("UV_NO_PROGRESS", "1");
        set("UV_HTTP_TIMEOUT", "60");
        set("UV_LINK_MODE", "hardlink");
        set("PYC_INVALIDATION_MODE", "UNCHECKED_HASH");
        // The operator's settings for pip hold for uv as well, which does not read them itself.
        for (pip, uv) in [("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_FIND_LINKS", "UV_FIND_LINKS")] {
            if let Some(value) = context.request.site_env.get(pip) {
                set(uv, value);
            }
        }
        if let Some(url) = context.config("PIP_EXTRA_INDEX_URL") {
            set("UV_EXTRA_INDEX_URL", url);
            set("UV_INDEX_STRATEGY", "unsafe-best-match");
        }
        Tool::new(&self.program, &context.build_dir, &env)
    }
}

fn in_stack(context: &Context<'_>) -> Option<PathBuf> {
    let tools = &context.places.stack_tools;
    let candidates = [tools.join("uv/bin/uv"), tools.join("bin/uv"), tools.join("uv")];
    candidates.into_iter().find(|path| path.is_file()).or_else(|| which("uv".as_ref(), &context.env))
}

fn fetch(context: &Context<'_>) -> Result<PathBuf, BuildError> {
    let target = context.scratch.join("uv");
    let program = target.join("bin/uv");
    if program.is_file() {
        return Ok(program);
    }
    files::make_dir(&target)?;
    let answer = pip_install(context, &target, "uv").output()?;
    if answer.status.success() && program.is_file() {
        return Ok(program);
    }
    Err(BuildError::ToolFetch { tool: "uv", stderr: answer.error_text() })
}

/// Installs one package of the index, without what it depends on, into a folder.
pub(crate) fn pip_install(context: &Context<'_>, target: &std::path::Path, package: &str) -> Tool {
    Tool::new("python3", &context.scratch, &context.env)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"])
        .args(["--no-deps", "--no-compile", "--only-binary", ":all:", "--target"])
        .arg(target)
        .arg(package)
}

fn version_of(context: &Context<'_>, program: &std::path::Path) -> Result<String, BuildError> {
    let answer = Tool::new(program, &context.scratch, &context.env).arg("--version").output()?;
    Ok(answer.text().split_whitespace().nth(1).unwrap_or("unknown").to_owned())
}

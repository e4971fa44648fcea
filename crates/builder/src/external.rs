//! Classic buildpacks from elsewhere: a directory with `bin/detect`, `bin/compile` and perhaps `bin/release`.
//!
//! The contract that real ones depend on: the working directory is the buildpack's own, the environment is small and
//! holds no config var (those are files in `ENV_DIR`), output passes unchanged, and a file `export` that `compile`
//! leaves beside its `bin` is sourced for whoever comes next.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::{
    BuildError,
    buildpack::{Buildpack, Detection, Release},
    command::{Env, Tool},
    context::Context,
    fetch::Origin,
    files, limits, release_yaml,
};

/// Runs with the file as `$1`; constant, so that nothing from outside becomes part of a shell line.
const SOURCE_AND_SHOW: &str = r#"source "$1" >/dev/null 2>&1; exec /usr/bin/env -0"#;

#[derive(Debug)]
pub(crate) struct External {
    origin: Origin,
    /// Known once it was fetched.
    home: Option<PathBuf>,
    commit: Option<String>,
}

impl External {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, home: None, commit: None }
    }

    fn fetched(&mut self, context: &mut Context<'_>) -> Result<PathBuf, BuildError> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let home = context.scratch.join(format!("buildpack-{}", self.index(context)));
        context.log.step(format!("Fetching {} buildpack...", self.origin.shown()));
        self.commit = self.origin.fetch(&home, &context.env)?;
        if let Some(commit) = &self.commit {
            context.log.detail(format!("commit {commit}"));
        }
        for script in ["bin/detect", "bin/compile"] {
            if !home.join(script).is_file() {
                return Err(BuildError::NotABuildpack { name: self.name(), missing: script });
            }
        }
        for entry in fs::read_dir(home.join("bin")).map_err(|cause| files::failed("read", &home, cause))? {
            let path = entry.map_err(|cause| files::failed("read", &home, cause))?.path();
            if path.is_file() {
                files::make_executable(&path)?;
            }
        }
        self.home = Some(home.clone());
        Ok(home)
    }

    /// A number that no other buildpack of this build has.
    fn index(&self, context: &Context<'_>) -> usize {
        (0..).find(|index| !context.scratch.join(format!("buildpack-{index}")).exists()).unwrap_or_default()
    }

    fn script(&self, context: &Context<'_>, name: &str) -> Option<Tool> {
        let home = self.home.as_ref()?;
        let path = home.join("bin").join(name);
        path.is_file().then(|| Tool::new(path, home, &context.env).arg(&context.build_dir))
    }
}

impl Buildpack for External {
    fn name(&self) -> String {
        self.origin.shown()
    }

    fn record(&self) -> String {
        match (&self.commit, &self.origin) {
            (Some(commit), Origin::Git { url, .. }) => format!("{}#{commit}", crate::fetch::redacted(url)),
            _ => self.name(),
        }
    }

    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError> {
        self.fetched(context)?;
        let tool = self.script(context, "detect").ok_or_else(|| missing(self, "bin/detect"))?;
        let answer = tool.output()?;
        if answer.status.success() {
            let text = bounded(answer.text());
            let language = text.lines().next().unwrap_or_default().trim().to_owned();
            return Ok(Detection::Applies { language });
        }
        Ok(Detection::No { reason: bounded(format!("{}\n{}", answer.text(), answer.error_text())) })
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        write_env_dir(context)?;
        files::make_dir(&context.places.cache)?;
        let tool = self.script(context, "compile").ok_or_else(|| missing(self, "bin/compile"))?;
        let status = tool.arg(&context.places.cache).arg(context.env_dir.path()).run_raw()?;
        if status.success() { Ok(()) } else { Err(BuildError::CompileFailed) }
    }

    fn release(&mut self, context: &mut Context<'_>) -> Result<Release, BuildError> {
        let Some(tool) = self.script(context, "release") else { return Ok(Release::default()) };
        let answer = tool.output()?;
        if !answer.status.success() {
            return Err(BuildError::ReleaseFailed {
                name: self.name(),
                stderr: bounded(answer.error_text()),
            });
        }
        release_yaml::parse(&bounded(answer.text()))
            .ok_or_else(|| BuildError::ReleaseUnreadable { name: self.name() })
    }

    fn export(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let Some(home) = &self.home else { return Ok(()) };
        let file = home.join("export");
        if file.is_file() {
            context.env = sourced(&file, home, &context.env)?;
        }
        Ok(())
    }
}

fn missing(buildpack: &External, script: &'static str) -> BuildError {
    BuildError::NotABuildpack { name: buildpack.name(), missing: script }
}

fn bounded(mut text: String) -> String {
    let mut end = text.len().min(limits::ANSWER_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// One file per config var: name = key, content = value, without an added newline.
fn write_env_dir(context: &Context<'_>) -> Result<(), BuildError> {
    for (name, value) in &context.request.config {
        // Keys were parsed at the platform's door; a name that is no file name can't be one of them.
        if name.parse::<renga_model::ConfigKey>().is_ok() {
            files::write(&context.env_dir.path().join(name), value.expose())?;
        }
    }
    Ok(())
}

/// The environment after bash has sourced `file`.
fn sourced(file: &Path, home: &Path, env: &Env) -> Result<Env, BuildError> {
    let answer = Tool::new("bash", home, env).args(["-c", SOURCE_AND_SHOW, "bash"]).arg(file).output()?;
    if !answer.status.success() {
        return Ok(env.clone());
    }
    Ok(parse_environment(&answer.stdout))
}

fn parse_environment(bytes: &[u8]) -> Env {
    const OF_THE_SHELL: [&str; 4] = ["SHLVL", "_", "PWD", "OLDPWD"];
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let name = OsString::from_vec(pair[..at].to_vec());
        Some((name, OsString::from_vec(pair[at + 1..].to_vec())))
    });
    pairs.filter(|(name, _)| !OF_THE_SHELL.iter().any(|shell| name == *shell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_file_is_sourced_by_bash() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("export");
        files::write(&file, "echo noise\nexport PATH=\"/x:$PATH\" MULTI='a\nb'\nLOCAL=1\n").unwrap();
        let env = Env::from([("PATH".into(), "/usr/bin:/bin".into())]);
        let after = sourced(&file, home.path(), &env).unwrap();
        let shown: Vec<_> = after.iter().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
        assert_eq!(shown, ["MULTI=a\nb", "PATH=/x:/usr/bin:/bin"]);
    }
}

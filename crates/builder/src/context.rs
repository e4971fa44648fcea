//! What every step of one build holds in hand.

use std::{collections::BTreeMap, path::PathBuf};

use renga_ports::BuildRequest;

use crate::{BuildError, Log, Places, command::Env, files::Temporary, layers::Layers};

pub(crate) struct Context<'a> {
    pub(crate) places: &'a Places,
    pub(crate) request: &'a BuildRequest,
    pub(crate) log: &'a mut Log,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// The app's tree while it is built; `/app` at run time.
    pub(crate) build_dir: PathBuf,
    /// For tools and downloads of the build itself; nothing of it reaches the slug.
    pub(crate) scratch: PathBuf,
    /// The environment of the next program: the contract's variables and what earlier buildpacks exported.
    pub(crate) env: Env,
    /// Whether every buildpack of the list is one of ours, so that nobody else writes into our directories.
    pub(crate) only_builtins: bool,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) layers: Layers,
    pub(crate) env_dir: Temporary,
    /// Changes whenever a package of the stack does.
    pub(crate) stack_id: String,
}

impl Context<'_> {
    /// The value of a config var. It must not reach the log.
    pub(crate) fn config(&self, name: &str) -> Option<&str> {
        self.request.config.get(name).map(renga_model::Secret::expose)
    }

    pub(crate) fn stack_id(&self) -> &str {
        &self.stack_id
    }

    /// A fact that the last build left.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.request.facts.get(name).map(String::as_str)
    }

    pub(crate) fn remember(&mut self, name: &str, value: impl Into<String>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// The small file of the app at `relative`, as text.
    pub(crate) fn app_text(&self, relative: &str) -> Result<Option<String>, BuildError> {
        crate::files::read_text(&self.build_dir.join(relative), crate::limits::SMALL_FILE_BYTES_MAX)
    }

    pub(crate) fn app_has(&self, relative: &str) -> bool {
        self.build_dir.join(relative).is_file()
    }

    /// The build's environment with all config vars over it, but for those that would bend the tools themselves.
    pub(crate) fn env_with_config(&self, kept_back: &[&str]) -> Env {
        let mut env = self.env.clone();
        for (name, value) in &self.request.config {
            if !kept_back.contains(&name.as_str()) {
                env.insert(name.into(), value.expose().into());
            }
        }
        env
    }
}

/// Config vars that never enter the environment of a build tool.
pub(crate) const CONFIG_KEPT_BACK: [&str; 12] = [
    "PATH",
    "HOME",
    "STACK",
    "GIT_DIR",
    "CPATH",
    "CPPATH",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LANG",
    "BUILD_DIR",
    "PYTHONHOME",
];

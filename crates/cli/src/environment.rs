//! The environment of the user, as the binary read it. Nothing in this crate asks the process for a variable.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Every variable of the process; the binary's `config.rs` fills it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub vars: BTreeMap<String, String>,
}

impl Environment {
    /// A variable that is set to nothing counts as not set, as it does for the official command line.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.path("HOME").filter(|home| home.is_absolute())
    }

    /// Where small files that can be made again belong.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        let named = self.path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        named.or_else(|| Some(self.home()?.join(".cache"))).map(|base| base.join("renga"))
    }

    /// A program of the search path, as `execvp` would find it.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let found = |folder: &str| Some(Path::new(folder).join(name)).filter(|path| path.is_file());
        self.get("PATH")?.split(':').find_map(found)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(vars: [(&str, &str); N]) -> Self {
        Self { vars: vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

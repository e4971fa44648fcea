//! The virtual environment at `/app/.heroku/python`.
//!
//! It is written by hand, a few lines and links, because the path of its interpreter must be the one of run time,
//! also when that is a link into a cached layer while building: tools would resolve it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::runtime::Runtime;
use crate::{BuildError, context::Context, files};

/// Relative to `/`.
pub(super) const ENVIRONMENT_FOLDER: &str = "app/.heroku/python";

#[derive(Debug, Clone)]
pub(super) struct Environment {
    pub(super) home: PathBuf,
    /// `3.14`
    minor: String,
    /// Whether it is the last build's layer, which can't be written.
    pub(super) restored: bool,
}

impl Environment {
    pub(super) fn home(context: &Context<'_>) -> PathBuf {
        context.places.app.join(".heroku/python")
    }

    /// An empty one.
    pub(super) fn create(context: &mut Context<'_>, runtime: &Runtime) -> Result<Self, BuildError> {
        let home = Self::home(context);
        files::remove(&home)?;
        let minor = runtime.minor();
        let config = format!(
            "home = {}\nimplementation = CPython\nversion_info = {}\nversion = {}\ninclude-system-site-packages = false\n",
            runtime.bin.display(),
            runtime.version,
            runtime.version
        );
        files::write(&home.join("pyvenv.cfg"), config)?;
        files::make_dir(&home.join(format!("lib/python{minor}/site-packages")))?;
        files::link(Path::new("lib"), &home.join("lib64"))?;
        files::link(&runtime.interpreter(), &home.join("bin/python"))?;
        for alias in ["python3".to_owned(), format!("python{minor}")] {
            files::link(Path::new("python"), &home.join("bin").join(alias))?;
        }
        files::write(&home.join("bin/activate"), include_str!("profile/activate.sh"))?;
        context.layers.link(&home, &context.build_dir.join(".heroku/python"))?;
        Ok(Self { home, minor, restored: false })
    }

    /// The last build's, in the layer mounted at `root`.
    pub(super) fn restore(
        context: &mut Context<'_>,
        runtime: &Runtime,
        root: &Path,
    ) -> Result<Self, BuildError> {
        let home = Self::home(context);
        context.layers.link(&root.join(ENVIRONMENT_FOLDER), &home)?;
        context.layers.link(&home, &context.build_dir.join(".heroku/python"))?;
        Ok(Self { home, minor: runtime.minor(), restored: true })
    }

    pub(super) fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    pub(super) fn python(&self) -> PathBuf {
        self.home.join("bin/python")
    }

    pub(super) fn site_packages(&self) -> PathBuf {
        self.home.join(format!("lib/python{}/site-packages", self.minor))
    }

    pub(super) fn has_module(&self, name: &str) -> bool {
        self.site_packages().join(name).join("__init__.py").is_file()
    }

    /// Packages installed from the app's own tree point into the build directory; at run time that is `/app`.
    pub(super) fn make_relocatable(&self, build_dir: &Path) -> Result<(), BuildError> {
        if self.restored {
            return Ok(());
        }
        let folder = self.site_packages();
        let (from, to) = (build_dir.to_string_lossy(), "/app");
        for entry in fs::read_dir(&folder).map_err(|cause| files::failed("read", &folder, cause))? {
            let path = entry.map_err(|cause| files::failed("read", &folder, cause))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let file = if name.ends_with(".dist-info") { path.join("direct_url.json") } else { path };
            let concerned = name.ends_with(".pth")
                || name.ends_with(".egg-link")
                || name.ends_with(".dist-info")
                || (name.starts_with("__editable__") && name.ends_with(".py"));
            if concerned && file.is_file() {
                rewrite(&file, &from, to)?;
            }
        }
        Ok(())
    }
}

fn rewrite(path: &Path, from: &str, to: &str) -> Result<(), BuildError> {
    let Some(text) = files::read_text(path, crate::limits::SMALL_FILE_BYTES_MAX)? else { return Ok(()) };
    if !text.contains(from) {
        return Ok(());
    }
    // It may be a hard link into a tool's cache, and its bytecode says what it said before.
    files::remove(path)?;
    files::write(path, text.replace(from, to))?;
    let stem = format!("{}.", path.file_stem().unwrap_or_default().to_string_lossy());
    let bytecode = path.with_file_name("__pycache__");
    for entry in fs::read_dir(bytecode).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&stem) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_into_the_build_directory_become_those_of_run_time() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment { home: root.path().to_owned(), minor: "3.14".into(), restored: false };
        let site = environment.site_packages();
        files::write(&site.join("mine.pth"), "/tmp/build_1/src\n").unwrap();
        files::write(&site.join("__editable___mine_finder.py"), "M = '/tmp/build_1'\n").unwrap();
        files::write(&site.join("__pycache__/__editable___mine_finder.cpython-314.pyc"), "old").unwrap();
        files::write(&site.join("other/data.txt"), "/tmp/build_1\n").unwrap();
        environment.make_relocatable(Path::new("/tmp/build_1")).unwrap();
        assert_eq!(fs::read_to_string(site.join("mine.pth")).unwrap(), "/app/src\n");
        assert_eq!(fs::read_to_string(site.join("__editable___mine_finder.py")).unwrap(), "M = '/app'\n");
        assert_eq!(fs::read_dir(site.join("__pycache__")).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(site.join("other/data.txt")).unwrap(), "/tmp/build_1\n");
    }
}

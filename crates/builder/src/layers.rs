//! The layers of the result: collected while buildpacks run, put together at the end by renaming.

use std::path::{Path, PathBuf};

use renga_ports::{BuildRequest, BuiltLayer};

use crate::{BuildError, Places, files};

/// Layers in the order in which they are laid over the stack; the app layer comes last by itself.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    planned: Vec<Planned>,
    /// Symlinks in the build directory that only the build needs.
    links: Vec<PathBuf>,
}

#[derive(Debug)]
enum Planned {
    Cached {
        key: String,
    },
    /// With a key a layer of its own, without one a part of the app layer. `to` is relative to `/`.
    Fresh {
        key: Option<String>,
        from: PathBuf,
        to: PathBuf,
    },
}

/// Where the last build's layer of this key is mounted, if it left one.
pub(crate) fn cached_root(request: &BuildRequest, key: &str) -> Option<PathBuf> {
    let layer = request.cached.iter().find(|layer| layer.key == key)?;
    let root = PathBuf::from(&layer.path);
    root.is_dir().then_some(root)
}

impl Layers {
    pub(crate) fn cached(&mut self, key: impl Into<String>) {
        self.planned.push(Planned::Cached { key: key.into() });
    }

    pub(crate) fn fresh(&mut self, key: Option<String>, from: impl Into<PathBuf>, to: impl Into<PathBuf>) {
        self.planned.push(Planned::Fresh { key, from: from.into(), to: to.into() });
    }

    /// Makes a symlink in the build directory (or `/app`) that goes away before packing.
    pub(crate) fn link(&mut self, target: &Path, link: &Path) -> Result<(), BuildError> {
        files::link(target, link)?;
        self.links.push(link.to_owned());
        Ok(())
    }

    /// Moves everything below `layers_out` and names it.
    pub(crate) fn finish(self, places: &Places, build_dir: &Path) -> Result<Vec<BuiltLayer>, BuildError> {
        for link in &self.links {
            if link.is_symlink() {
                files::remove(link)?;
            }
        }
        let app = places.layers_out.join("app/app");
        files::move_tree(build_dir, &app)?;
        let mut layers = Vec::new();
        for (index, planned) in self.planned.into_iter().enumerate() {
            match planned {
                Planned::Cached { key } => layers.push(BuiltLayer::Cached { key }),
                Planned::Fresh { key: None, from, to } => {
                    files::move_tree(&from, &places.layers_out.join("app").join(to))?;
                }
                Planned::Fresh { key, from, to } => {
                    let root = places.layers_out.join(format!("{index}"));
                    files::move_tree(&from, &root.join(to))?;
                    layers.push(fresh(key, &root));
                }
            }
        }
        layers.push(fresh(None, &places.layers_out.join("app")));
        Ok(layers)
    }
}

pub(crate) fn fresh(key: Option<String>, directory: &Path) -> BuiltLayer {
    BuiltLayer::Fresh { key, directory: directory.to_string_lossy().into_owned() }
}

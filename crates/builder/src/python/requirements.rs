//! Whether the dependencies can be known from lock files alone, so that their layer may have a key.
//!
//! A key must cover everything that an installation reads. Packages from the app's own tree, from version control or
//! from changeable URLs, and values from the environment are not covered, so they make the answer no. In doubt: no.

use std::path::{Component, Path};

use serde_json::Value;

use super::manager::Manager;
use crate::{BuildError, files, limits};

/// The bytes of all files that decide the dependencies; none if something else decides as well.
pub(super) fn fixed_inputs(root: &Path, manager: Manager) -> Result<Option<Vec<u8>>, BuildError> {
    let lock = files::read_bytes(&root.join(manager.lock_file()), limits::LOCK_FILE_BYTES_MAX)?;
    let Some(lock) = lock else { return Ok(None) };
    let companion = |name: &str| files::read_bytes(&root.join(name), limits::SMALL_FILE_BYTES_MAX);
    match manager {
        Manager::Pip => {
            let mut inputs = Vec::new();
            let fixed = requirement_file(root, Path::new("requirements.txt"), 0, &mut inputs)?;
            Ok(fixed.then_some(inputs))
        }
        Manager::Pipenv => {
            let pipfile = companion("Pipfile")?.unwrap_or_default();
            Ok(pipfile_lock_is_fixed(&lock).then(|| [lock, pipfile].concat()))
        }
        Manager::Uv | Manager::Poetry => {
            let project = companion("pyproject.toml")?.unwrap_or_default();
            let fixed = toml_lock_is_fixed(&lock)
                && (manager == Manager::Uv || !poetry_installs_the_root(&project))
                && !root.join("uv.toml").exists()
                && !root.join("poetry.toml").exists();
            Ok(fixed.then(|| [lock, project].concat()))
        }
    }
}

fn requirement_file(
    root: &Path,
    relative: &Path,
    depth: usize,
    inputs: &mut Vec<u8>,
) -> Result<bool, BuildError> {
    let climbs = relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if climbs || depth > limits::REQUIREMENTS_DEPTH_MAX {
        return Ok(false);
    }
    let Some(text) = files::read_text(&root.join(relative), limits::SMALL_FILE_BYTES_MAX)? else {
        return Ok(false);
    };
    inputs.extend(text.as_bytes());
    inputs.push(0);
    let folder = relative.parent().unwrap_or(Path::new(""));
    for line in logical_lines(&text) {
        match included(&line) {
            Some(name) if requirement_file(root, &folder.join(name), depth + 1, inputs)? => {}
            None if line_is_fixed(&line) => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Lines without comments, those continued with a backslash joined.
fn logical_lines(text: &str) -> Vec<String> {
    let joined = text.replace("\r\n", "\n").replace("\\\n", " ");
    let bare = |line: &str| {
        let comment = if line.trim_start().starts_with('#') { Some(0) } else { line.find(" #") };
        comment.map_or(line, |at| &line[..at]).trim().to_owned()
    };
    joined.lines().map(bare).filter(|line| !line.is_empty()).collect()
}

/// The file that `-r file` or `-c file` names.
fn included(line: &str) -> Option<&str> {
    ["-r", "-c", "--requirement", "--constraint"].iter().find_map(|option| {
        let rest = line.strip_prefix(option)?;
        let name = rest.strip_prefix([' ', '=', '\t']).or_else(|| (option.len() == 2).then_some(rest))?;
        Some(name.trim())
    })
}

fn line_is_fixed(line: &str) -> bool {
    const HARMLESS: [&str; 8] = [
        "--index-url",
        "--extra-index-url",
        "-i",
        "--pre",
        "--no-binary",
        "--only-binary",
        "--require-hashes",
        "--prefer-binary",
    ];
    if line.contains("${") {
        return false;
    }
    let first = line.split([' ', '=', '\t']).next().unwrap_or_default();
    if line.starts_with('-') {
        return HARMLESS.contains(&first);
    }
    let name_end =
        line.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    let archive = [".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2"].iter().any(|end| name.ends_with(end));
    let rest = rest.split(';').next().unwrap_or_default();
    !name.is_empty() && !archive && !rest.contains(['@', '/']) && !name.starts_with('.')
}

fn pipfile_lock_is_fixed(lock: &[u8]) -> bool {
    let Ok(lock) = serde_json::from_slice::<Value>(lock) else { return false };
    let Some(packages) = lock.get("default").and_then(Value::as_object) else { return false };
    let local = ["git", "hg", "svn", "bzr", "path", "file", "editable"];
    packages.values().all(|package| local.iter().all(|key| package.get(key).is_none()))
}

/// For `uv.lock` and `poetry.lock`: every package comes from a registry; uv's root may be virtual.
fn toml_lock_is_fixed(lock: &[u8]) -> bool {
    let parsed = std::str::from_utf8(lock).ok().and_then(|text| toml::from_str::<toml::Table>(text).ok());
    let Some(lock) = parsed else { return false };
    let Some(packages) = lock.get("package").and_then(toml::Value::as_array) else { return true };
    packages.iter().all(|package| match package.get("source").and_then(toml::Value::as_table) {
        None => true,
        Some(source) => {
            let poetry_registry = source.get("type").and_then(toml::Value::as_str) == Some("legacy");
            poetry_registry || source.contains_key("registry") || source.contains_key("virtual")
        }
    })
}

/// Poetry installs the app itself, too, unless told not to.
fn poetry_installs_the_root(project: &[u8]) -> bool {
    let parsed = std::str::from_utf8(project).ok().and_then(|text| toml::from_str::<toml::Table>(text).ok());
    let mode = parsed
        .as_ref()
        .and_then(|project| project.get("tool")?.get("poetry")?.get("package-mode")?.as_bool());
    mode != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pip(text: &str) -> bool {
        let root = tempfile::tempdir().unwrap();
        files::write(&root.path().join("requirements.txt"), text).unwrap();
        files::write(&root.path().join("more/base.txt"), "six\n-r other.txt\n").unwrap();
        files::write(&root.path().join("more/other.txt"), "six\n").unwrap();
        files::write(&root.path().join("more/local.txt"), "-e .\n").unwrap();
        fixed_inputs(root.path(), Manager::Pip).unwrap().is_some()
    }

    #[test]
    fn plain_requirements_have_a_key() {
        for text in [
            "",
            "django\n",
            "Django==6.0.10 \\\n    --hash=sha256:aa # why\n# -e .\n",
            "uvicorn[standard]>=0.30,<1 ; python_version >= '3.10'\r\n",
            "--index-url https://pypi.example/simple\nsix\n",
            "-r more/base.txt\n",
            "ruamel.yaml\n",
        ] {
            assert!(pip(text), "{text}");
        }
    }

    #[test]
    fn what_comes_from_elsewhere_has_none() {
        for text in [
            "-e .\n",
            ".\n",
            "./lib\n",
            "git+https://example.com/x.git\n",
            "x @ git+https://example.com/x.git\n",
            "x @ https://example.com/x.whl\n",
            "x.whl\n",
            "vendor/x.tar.gz\n",
            "x==${VERSION}\n",
            "--find-links vendor\n",
            "-r more/local.txt\n",
            "-r ../outside.txt\n",
            "-r missing.txt\n",
        ] {
            assert!(!pip(text), "{text}");
        }
    }

    #[test]
    fn lock_files_are_judged_by_their_sources() {
        assert!(toml_lock_is_fixed(b"[[package]]\nname='a'\nsource = { registry = 'https://x' }\n"));
        assert!(toml_lock_is_fixed(b"[[package]]\nname='a'\nsource = { virtual = '.' }\n"));
        assert!(!toml_lock_is_fixed(b"[[package]]\nname='a'\nsource = { editable = '.' }\n"));
        assert!(!toml_lock_is_fixed(b"[[package]]\nname='a'\n[package.source]\ntype = 'git'\n"));
        assert!(pipfile_lock_is_fixed(br#"{"default":{"a":{"version":"==1"}}}"#));
        assert!(!pipfile_lock_is_fixed(br#"{"default":{"a":{"path":"."}}}"#));
        assert!(poetry_installs_the_root(b"[tool.poetry]\nname='x'\n"));
        assert!(!poetry_installs_the_root(b"[tool.poetry]\npackage-mode=false\n"));
    }
}

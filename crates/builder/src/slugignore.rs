//! `.slugignore`: what the source holds and the slug must not.
//!
//! Blank lines and `#` lines are ignored; a pattern with a `/` is anchored at the root, one without matches at any
//! depth; globs as in a shell; a matching directory goes with all its content. There is no `!`.

use std::{
    fs,
    path::{Component, Path},
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{BuildError, files, limits};

/// Deletes what the app's `.slugignore` names; returns how many files went.
pub(crate) fn apply(root: &Path) -> Result<usize, BuildError> {
    let Some(text) = files::read_text(&root.join(".slugignore"), limits::SMALL_FILE_BYTES_MAX)? else {
        return Ok(0);
    };
    let Some(patterns) = compile(&text)? else { return Ok(0) };
    let mut count = 0;
    let mut doomed = Vec::new();
    files::walk(root, &mut |path, meta| {
        let relative = path.strip_prefix(root).unwrap_or(path);
        let hit = patterns.is_match(relative);
        if hit {
            doomed.push(path.to_owned());
            count += if meta.is_dir() { count_files(path)? } else { 1 };
        }
        Ok(!hit)
    })?;
    for path in doomed {
        files::remove(&path)?;
    }
    Ok(count)
}

fn count_files(folder: &Path) -> Result<usize, BuildError> {
    let mut count = 0;
    files::walk(folder, &mut |_, meta: &fs::Metadata| {
        count += usize::from(!meta.is_dir());
        Ok(true)
    })?;
    Ok(count)
}

fn compile(text: &str) -> Result<Option<GlobSet>, BuildError> {
    let mut set = GlobSetBuilder::new();
    let mut count = 0;
    for line in text.lines().map(str::trim) {
        let Some(glob) = to_glob(line) else { continue };
        count += 1;
        if count > limits::SLUGIGNORE_PATTERNS_MAX {
            return Err(BuildError::SlugignoreTooLong { max: limits::SLUGIGNORE_PATTERNS_MAX });
        }
        // A line that is no valid glob matches nothing, as in a shell.
        if let Ok(glob) = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build() {
            set.add(glob);
        }
    }
    Ok(set.build().ok().filter(|_| count > 0))
}

fn to_glob(line: &str) -> Option<String> {
    if line.is_empty() || line.starts_with('#') || line.starts_with('!') {
        return None;
    }
    let climbs = Path::new(line).components().any(|part| part == Component::ParentDir);
    let pattern = line.trim_start_matches("./").trim_end_matches('/');
    if climbs || pattern.trim_matches('/').is_empty() {
        return None;
    }
    // `docs/` has its only slash at the end: it is a name, at any depth.
    Some(if pattern.contains('/') {
        pattern.trim_start_matches('/').to_owned()
    } else {
        format!("**/{pattern}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ignore: &str, gone: &[&str], kept: &[&str], count: usize) {
        let root = tempfile::tempdir().unwrap();
        for name in gone.iter().chain(kept) {
            files::write(&root.path().join(name), "x").unwrap();
        }
        files::write(&root.path().join(".slugignore"), ignore).unwrap();
        assert_eq!(apply(root.path()).unwrap(), count, "{ignore}");
        for name in gone {
            assert!(!root.path().join(name).exists(), "{ignore}: {name} should be gone");
        }
        for name in kept {
            assert!(root.path().join(name).exists(), "{ignore}: {name} should be there");
        }
    }

    #[test]
    fn names_match_at_any_depth_and_paths_at_the_root() {
        check("*.psd\n", &["a.psd", "x/y/b.psd"], &["a.png"], 2);
        check("# c\n\n/test\n", &["test/a", "test/b/c"], &["lib/test/a"], 2);
        check("docs/", &["docs/a", "lib/docs/b"], &["mydocs/x"], 2);
        check("spec/*.rb", &["spec/a.rb"], &["spec/x/b.rb", "lib/spec/a.rb"], 1);
        check("node_modules/**/test", &["node_modules/a/test/x"], &["node_modules/a/y"], 1);
    }

    #[test]
    fn there_is_no_negation_and_no_way_out() {
        check("!keep\n../\n..\n/\n", &[], &["keep", "other"], 0);
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        files::write(&outside.join("precious"), "x").unwrap();
        let build = root.path().join("build");
        files::write(&build.join(".slugignore"), "alias/precious\nprecious\n").unwrap();
        files::link(&outside, &build.join("alias")).unwrap();
        apply(&build).unwrap();
        assert!(outside.join("precious").exists());
    }
}

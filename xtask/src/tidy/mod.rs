//! House rules that neither the compiler nor clippy knows. Each finding names its rule; ARCHITECTURE.md says why it is one.
//!
//! | rule | what it holds |
//! | --- | --- |
//! | `edges` | which crate may use which |
//! | `file-length`, `function-length` | 700 and 70 lines, tests not counted |
//! | `environment` | variables are read in the binaries only |
//! | `shell` | no shell is started with a line made here |
//! | `sql` | statements live in `store` |
//! | `status` | HTTP status codes live where answers are made |
//! | `print`, `unsafe`, `todo`, `page`, `lints` | see [`words`] and [`manifests`] |
//!
//! What broke a rule before the rule was there is in `xtask/ratchet/RULE.txt`, one `key count` a line. A line that allows
//! more than is needed is a finding too, so these files only shrink.

mod manifests;
mod ratchet;
mod sizes;
mod source;
mod words;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace::root;
use source::Source;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    /// Lowers ratchets that allow too much; never raises one.
    Bless,
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    rule: &'static str,
    /// What a ratchet counts by: a path, a function, an edge.
    key: String,
    /// How much: lines for lengths, 1 for anything that is counted by occurrence.
    amount: usize,
    place: String,
    say: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: {}", self.place, self.rule, self.say)
    }
}

pub(crate) fn run(mode: Mode) -> Result<()> {
    let files = rust_files()?;
    let mut findings = manifests::findings(root())?;
    for path in &files {
        let text = fs::read_to_string(root().join(path))
            .with_context(|| format!("could not read {}", path.display()))?;
        findings.extend(file_findings(&Source::parse(path, &text)));
    }
    let left = ratchet::apply(&root().join("xtask/ratchet"), findings, mode)?;
    for line in &left {
        eprintln!("{line}");
    }
    if !left.is_empty() {
        bail!("{} findings of tidy", left.len());
    }
    println!("       {} files are tidy", files.len());
    Ok(())
}

fn file_findings(source: &Source) -> Vec<Finding> {
    let mut findings = sizes::findings(source);
    findings.extend(words::findings(source));
    findings
}

/// Every Rust file of ours, relative to the root, in a fixed order.
fn rust_files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["crates", "xtask"] {
        walk(Path::new(folder), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(root().join(folder)).with_context(|| format!("could not list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                walk(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

//! What broke a rule before the rule was there. Files of `key count`; they may only shrink.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Finding, Mode};

/// Lengths are compared by their greatest; everything else by how often it occurs.
fn is_length(rule: &str) -> bool {
    rule.ends_with("-length")
}

/// Findings that no ratchet allows, and ratchet lines that allow too much, as lines for a terminal.
pub(super) fn apply(folder: &Path, findings: Vec<Finding>, mode: Mode) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let mut by_rule: BTreeMap<&'static str, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        by_rule.entry(finding.rule).or_default().push(finding);
    }
    for rule in RULES {
        let path = folder.join(format!("{rule}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let found = by_rule.remove(rule).unwrap_or_default();
        let (remaining, lowered) = hold(&text, &found);
        left.extend(remaining.iter().map(ToString::to_string));
        if lowered == text {
            continue;
        }
        if mode == Mode::Bless {
            fs::write(&path, lowered).with_context(|| format!("could not write {}", path.display()))?;
        } else {
            left.push(format!(
                "{}: allows more than is needed; run `cargo xtask tidy --bless`",
                path.display()
            ));
        }
    }
    Ok(left)
}

const RULES: [&str; 12] = [
    "edges",
    "environment",
    "file-length",
    "function-length",
    "lints",
    "page",
    "print",
    "shell",
    "sql",
    "status",
    "todo",
    "unsafe",
];

/// Holds findings against a ratchet file: what is left over, and the file as low as it can be now.
fn hold(text: &str, findings: &[Finding]) -> (Vec<Finding>, String) {
    let mut amounts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        let amount = amounts.entry(&finding.key).or_default();
        *amount =
            if is_length(finding.rule) { finding.amount.max(*amount) } else { *amount + finding.amount };
    }
    let mut limits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lowered = String::new();
    for line in text.lines() {
        let entry = line.rsplit_once(' ').and_then(|(key, count)| Some((key, count.parse::<usize>().ok()?)));
        let Some((key, limit)) = entry.filter(|_| !line.starts_with('#')) else {
            lowered.push_str(line);
            lowered.push('\n');
            continue;
        };
        limits.insert(key, limit);
        let needed = amounts.get(key).copied().unwrap_or(0).min(limit);
        if needed > 0 {
            lowered.push_str(&format!("{key} {needed}\n"));
        }
    }
    let over = |finding: &&Finding| {
        let amount = amounts.get(finding.key.as_str()).copied().unwrap_or(0);
        amount > limits.get(finding.key.as_str()).copied().unwrap_or(0)
    };
    (findings.iter().filter(over).cloned().collect(), lowered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, key: &str, amount: usize) -> Finding {
        Finding { rule, key: key.into(), amount, place: key.into(), say: String::new() }
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let (left, lowered) = hold("", &[finding("sql", "a", 1)]);
        assert_eq!((left.len(), lowered.as_str()), (1, ""));
    }

    #[test]
    fn the_agreed_number_passes_and_one_more_does_not() {
        let two = [finding("sql", "a", 1), finding("sql", "a", 1)];
        assert!(hold("a 2\n", &two).0.is_empty());
        assert_eq!(hold("a 1\n", &two).0.len(), 2);
    }

    #[test]
    fn lengths_are_compared_not_added() {
        let found = [finding("function-length", "a::f", 80), finding("function-length", "a::f", 75)];
        assert!(hold("a::f 80\n", &found).0.is_empty());
        assert_eq!(hold("a::f 79\n", &found).0.len(), 2);
    }

    #[test]
    fn lowering_keeps_comments_and_drops_what_is_mended() {
        let (left, lowered) = hold("# why\na 3\nb 1\n", &[finding("sql", "a", 1)]);
        assert!(left.is_empty());
        assert_eq!(lowered, "# why\na 1\n");
    }

    #[test]
    fn blessing_never_raises() {
        let (left, lowered) = hold("a 1\n", &[finding("sql", "a", 1), finding("sql", "a", 1)]);
        assert_eq!((left.len(), lowered.as_str()), (2, "a 1\n"));
    }
}

//! Which crate may use which: the one-way graph of ARCHITECTURE.md, read from the manifests.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

use super::Finding;

const HAND: &[&str] = &["ports", "model"];
const HAND_OF_DYNOS: &[&str] = &["ports", "model", "supervision"];

/// Crate, and what it may use. `server` may use everything.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("model", &[]),
    ("ports", &["model"]),
    ("supervision", &["model", "ports"]),
    ("wire", &["model"]),
    ("planner", &["model"]),
    ("store", &["model"]),
    ("runtime", HAND_OF_DYNOS),
    ("builder", HAND),
    ("git", HAND),
    ("router", HAND_OF_DYNOS),
    ("logs", HAND_OF_DYNOS),
    ("mail", HAND),
    ("acme", HAND),
    ("addons", HAND),
    ("engine", &["planner", "store", "ports", "model"]),
    ("api", &["engine", "wire", "ports", "model"]),
    ("cli", &["wire", "model"]),
    ("testkit", HAND),
    ("dyno", &["supervision", "model"]),
];
/// `node` serves the runtime port over a socket: the one place where a hand is held by name.
const NODE: (&str, &[&str]) = ("node", &["runtime", "supervision", "ports", "model"]);
const ROOT_OF_ALL: &str = "server";
/// What tests may use besides: the real ledger, rather than a double of it.
const FOR_TESTS: [&str; 4] = ["testkit", "store", "ports", "model"];

pub(super) fn findings(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let crates = root.join("crates");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&crates).context("could not list crates/")? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for name in names {
        let path = format!("crates/{name}/Cargo.toml");
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        let manifest: toml::Table = text.parse().with_context(|| format!("{path} is not understood"))?;
        findings.extend(edge_findings(&name, &path, &manifest));
        findings.extend(lint_finding(&path, &manifest));
    }
    Ok(findings)
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().chain([&NODE]).find(|(known, _)| *known == name).map(|(_, list)| *list)
}

fn edge_findings(name: &str, path: &str, manifest: &toml::Table) -> Vec<Finding> {
    if name == ROOT_OF_ALL {
        return Vec::new();
    }
    let finding =
        |key: String, say: String| Finding { rule: "edges", key, amount: 1, place: path.to_owned(), say };
    let Some(list) = allowed(name) else {
        return vec![finding(
            name.to_owned(),
            format!("{name} is not on the map; give it a place in xtask/src/tidy/manifests.rs"),
        )];
    };
    let mut findings = Vec::new();
    for (section, extra) in
        [("dependencies", &[][..]), ("build-dependencies", &[]), ("dev-dependencies", &FOR_TESTS)]
    {
        for used in used_crates(manifest, section) {
            if !list.contains(&used.as_str()) && !extra.contains(&used.as_str()) {
                findings.push(finding(
                    format!("{name}->{used}"),
                    format!("{name} may not use {used} ({section})"),
                ));
            }
        }
    }
    findings
}

/// Our own crates in a section, by their short names.
fn used_crates(manifest: &toml::Table, section: &str) -> Vec<String> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    let names = table.into_iter().flat_map(toml::Table::keys);
    names.filter_map(|name| name.strip_prefix("renga-")).map(str::to_owned).collect()
}

fn lint_finding(path: &str, manifest: &toml::Table) -> Option<Finding> {
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    (lints.and_then(toml::Value::as_bool) != Some(true)).then(|| Finding {
        rule: "lints",
        key: path.to_owned(),
        amount: 1,
        place: path.to_owned(),
        say: "say `[lints] workspace = true`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(name: &str, manifest: &str) -> Vec<String> {
        let manifest: toml::Table = manifest.parse().unwrap();
        edge_findings(name, "Cargo.toml", &manifest).into_iter().map(|finding| finding.key).collect()
    }

    #[test]
    fn the_graph_is_one_way() {
        assert!(edges("planner", "[dependencies]\nrenga-model.workspace = true\nserde = \"1\"").is_empty());
        assert_eq!(edges("planner", "[dependencies]\nrenga-store.workspace = true"), ["planner->store"]);
        assert_eq!(edges("router", "[dependencies]\nrenga-engine.workspace = true"), ["router->engine"]);
        assert!(edges("server", "[dependencies]\nrenga-store.workspace = true").is_empty());
    }

    #[test]
    fn tests_may_use_the_testkit() {
        assert!(edges("engine", "[dev-dependencies]\nrenga-testkit.workspace = true").is_empty());
        assert_eq!(edges("engine", "[dependencies]\nrenga-testkit.workspace = true"), ["engine->testkit"]);
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(edges("novelty", ""), ["novelty"]);
    }

    #[test]
    fn the_map_itself_has_no_ways_back() {
        // A crate that may be used by those it uses would be a cycle; cargo forbids it, the map must not promise it.
        for (name, list) in ALLOWED.iter().chain([&NODE]) {
            for used in *list {
                assert!(!allowed(used).unwrap_or_default().contains(name), "{name} <-> {used}");
            }
        }
    }
}

//! The part of `cargo deny check` that needs no network, read from the same `deny.toml`: licences, origins, duplicates.
//!
//! Advisories need a database that is fetched; where `cargo-deny` is installed, `bin/test` runs it as well.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::workspace::{Metadata, Package, metadata, root};

/// One version of each crate, except these: `name count`. May only shrink.
const DUPLICATES: &str = "xtask/ratchet/duplicates.txt";

#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

pub(crate) fn run() -> Result<()> {
    let text = fs::read_to_string(root().join("deny.toml")).context("could not read deny.toml")?;
    let policy: Policy = toml::from_str(&text).context("deny.toml is not understood")?;
    let metadata = metadata(true)?;
    let mut findings = licence_findings(&metadata.packages, &policy.licenses.allow);
    findings.extend(origin_findings(&metadata));
    let ratchet = fs::read_to_string(root().join(DUPLICATES)).unwrap_or_default();
    findings.extend(duplicate_findings(&metadata.packages, &ratchet));
    for finding in &findings {
        eprintln!("deny: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings about dependencies", findings.len());
    }
    println!("       {} packages: licences, origins and duplicates are as agreed", metadata.packages.len());
    Ok(())
}

fn licence_findings(packages: &[Package], allowed: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let known = package.license.clone().or_else(|| licence_by_text(package));
        let licence = known.as_deref().unwrap_or("none given");
        match known.as_deref().map_or(Ok(false), |expression| is_allowed(expression, allowed)) {
            Ok(true) => {}
            Ok(false) => findings.push(format!("{} {}: licence {licence}", package.name, package.version)),
            Err(error) => findings.push(format!("{}: licence {licence}: {error:#}", package.name)),
        }
    }
    findings
}

/// For crates that carry a text and no name: MIT is told by its two unmistakable sentences.
fn licence_by_text(package: &Package) -> Option<String> {
    const MIT: [&str; 2] =
        ["Permission is hereby granted, free of charge, to any person", "THE SOFTWARE IS PROVIDED \"AS IS\""];
    let path = package.manifest_path.parent()?.join(package.license_file.as_ref()?);
    let text = fs::read_to_string(path).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    MIT.iter().all(|sentence| text.contains(sentence)).then(|| "MIT".to_owned())
}

/// All from one registry; nothing from a branch of somebody's repository.
fn origin_findings(metadata: &Metadata) -> Vec<String> {
    let mut registries: BTreeMap<&str, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for package in &metadata.packages {
        match package.source.as_deref() {
            None => {}
            Some(source) if source.starts_with("registry+") || source.starts_with("sparse+") => {
                registries.entry(source).or_insert(&package.name);
            }
            Some(source) => {
                findings.push(format!("{}: comes from {source}, not from a registry", package.name))
            }
        }
    }
    if registries.len() > 1 {
        findings.push(format!("several registries: {registries:?}"));
    }
    findings
}

fn duplicate_findings(packages: &[Package], ratchet: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let agreed: BTreeMap<&str, usize> = ratchet
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, count)| Some((name, count.trim().parse().ok()?)))
        .collect();
    let mut findings = Vec::new();
    for (name, list) in &versions {
        let limit = agreed.get(name).copied().unwrap_or(1);
        if list.len() > limit {
            findings.push(format!("{name}: versions {}; agreed are {limit}", list.join(", ")));
        }
    }
    for (name, limit) in agreed {
        let count = versions.get(name).map_or(0, Vec::len);
        if count < limit {
            findings.push(format!("{name}: only {count} left; lower its line in {DUPLICATES}"));
        }
    }
    findings
}

// === SPDX expressions ===

/// Whether an SPDX expression can be satisfied with the allowed licences alone.
fn is_allowed(expression: &str, allowed: &[String]) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let verdict = parser.any()?;
    if !parser.words.is_empty() {
        bail!("unexpected {:?}", parser.words[0]);
    }
    Ok(verdict)
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Result<bool> {
        let mut verdict = self.all()?;
        while self.skip("OR") {
            verdict |= self.all()?;
        }
        Ok(verdict)
    }

    fn all(&mut self) -> Result<bool> {
        let mut verdict = self.one()?;
        while self.skip("AND") {
            verdict &= self.one()?;
        }
        Ok(verdict)
    }

    fn one(&mut self) -> Result<bool> {
        if self.skip("(") {
            let verdict = self.any()?;
            if !self.skip(")") {
                bail!("a bracket is not closed");
            }
            return Ok(verdict);
        }
        let mut licence = self.next().context("a licence is missing")?.to_owned();
        if self.skip("WITH") {
            licence = format!("{licence} WITH {}", self.next().context("an exception is missing")?);
        }
        Ok(self.allowed.contains(&licence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<String> {
        ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).to_vec()
    }

    fn package(name: &str, version: &str, source: Option<&str>) -> Package {
        let source = source.map(str::to_owned);
        let license = Some("MIT".into());
        let manifest_path = "Cargo.toml".into();
        Package {
            name: name.into(),
            version: version.into(),
            license,
            license_file: None,
            manifest_path,
            source,
        }
    }

    #[test]
    fn expressions() {
        let check =
            |text: &str, want: bool| assert_eq!(is_allowed(text, &allowed()).unwrap(), want, "{text}");
        check("MIT", true);
        check("GPL-3.0", false);
        check("MIT OR GPL-3.0", true);
        check("MIT AND GPL-3.0", false);
        check("MIT/Apache-2.0", true);
        check("(MIT OR GPL-3.0) AND Apache-2.0", true);
        check("MIT AND (GPL-3.0 OR BSL-1.0)", false);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("GPL-2.0 OR Apache-2.0 AND MIT", true);
        assert!(is_allowed("(MIT", &allowed()).is_err());
        assert!(is_allowed("MIT MIT", &allowed()).is_err());
        assert!(is_allowed("", &allowed()).is_err());
    }

    #[test]
    fn a_package_without_licence_is_a_finding() {
        let mut nameless = package("a", "1.0.0", None);
        nameless.license = None;
        assert_eq!(licence_findings(&[nameless], &allowed()), ["a 1.0.0: licence none given"]);
    }

    #[test]
    fn a_licence_is_told_by_its_text() {
        let folder = std::env::temp_dir().join(format!("renga-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut silent = package("a", "1.0.0", None);
        (silent.license, silent.license_file) = (None, Some("LICENSE".into()));
        silent.manifest_path = folder.join("Cargo.toml");
        let mit = "Permission is hereby granted, free of charge,\nto any person. THE SOFTWARE IS PROVIDED \"AS IS\".";
        fs::write(folder.join("LICENSE"), mit).unwrap();
        assert!(licence_findings(std::slice::from_ref(&silent), &allowed()).is_empty());
        fs::write(folder.join("LICENSE"), "All rights reserved.").unwrap();
        assert_eq!(licence_findings(&[silent], &allowed()).len(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn duplicates_are_held_to_their_ratchet() {
        let packages =
            [package("a", "1.0.0", None), package("a", "2.0.0", None), package("b", "1.0.0", None)];
        assert_eq!(duplicate_findings(&packages, "").len(), 1);
        assert!(duplicate_findings(&packages, "# why\na 2\n").is_empty());
        assert_eq!(
            duplicate_findings(&packages, "a 3\n"),
            [format!("a: only 2 left; lower its line in {DUPLICATES}")]
        );
    }

    #[test]
    fn a_git_origin_is_a_finding() {
        let packages = vec![package("a", "1.0.0", Some("git+https://example.test/a"))];
        let metadata = Metadata { packages, target_directory: "target".into() };
        assert_eq!(origin_findings(&metadata).len(), 1);
    }
}

//! Makes `renga`: one file that carries its supervisors.
//!
//! `renga-dyno` and `renga-build` are programs of their own, because they outlive the platform or run inside dynos. They
//! are built first; the build script of `renga-server` then embeds what it finds in `RENGA_BUNDLE`.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{cargo, metadata, succeed};

/// Packages of the first step, and the files which they make.
const CARRIED: [(&str, &str); 2] = [("renga-dyno", "renga-dyno"), ("renga-builder", "renga-build")];
const CARRIER: (&str, &str) = ("renga-server", "renga");

pub(crate) fn build(profile: &str) -> Result<()> {
    let folder = folder_of(profile)?;
    let output = metadata(false)?.target_directory.join(folder);
    let begin = Instant::now();

    println!("-----> Building the supervisors ({profile})");
    let mut first = cargo();
    first.args(["build", "--locked", "--profile", profile, "--bins"]);
    for (package, _) in CARRIED {
        first.args(["--package", package]);
    }
    succeed(&mut first)?;

    println!("-----> Building renga ({profile})");
    let bundle = output.join("bundle");
    for (_, file) in CARRIED {
        place(&output.join(file), &bundle.join(file))?;
    }
    let mut second = cargo();
    second.args(["build", "--locked", "--profile", profile, "--package", CARRIER.0, "--bin", CARRIER.1]);
    succeed(second.env("RENGA_BUNDLE", &bundle))?;

    let file = output.join(CARRIER.1);
    let bytes = fs::metadata(&file).with_context(|| format!("{} was not made", file.display()))?.len();
    println!("       {}: {} MB in {} s", file.display(), bytes / 1_000_000, begin.elapsed().as_secs());
    Ok(())
}

/// Cargo's folder for a profile is its name, but for the oldest.
fn folder_of(profile: &str) -> Result<&str> {
    match profile {
        "dev" => Ok("debug"),
        "release" | "dist" => Ok(profile),
        other => bail!("unknown profile {other}; there are dev, release and dist"),
    }
}

/// Copies only what changed, so that the second step is not repeated for nothing.
fn place(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let parent = to.parent().context("a bundle has a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    fs::write(to, content).with_context(|| format!("could not write {}", to.display()))
}

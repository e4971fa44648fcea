//! Everything that can be held against a change without root.

use std::time::Instant;

use anyhow::Result;

use crate::{
    deny, tidy,
    workspace::{cargo, succeed},
};

pub(crate) fn run() -> Result<()> {
    stage("format", || succeed(cargo().args(["fmt", "--all", "--check"])))?;
    stage("tidy", || tidy::run(tidy::Mode::Check))?;
    stage("deny", deny::run)?;
    stage("clippy", || {
        succeed(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    })?;
    stage("tests", || succeed(cargo().args(["test", "--workspace", "--locked", "--", "--skip", "real_"])))
}

fn stage(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("-----> {name}");
    let begin = Instant::now();
    work()?;
    println!("       {name}: {} s", begin.elapsed().as_secs());
    Ok(())
}

//! `renga upgrade`, called with the newer program: puts itself where the running one came from, and has the roles
//! replaced one by one. Dynos and their supervisors go on.
//!
//! ```text
//! may this build open the ledger? ──> does it take the command line that runs? ──> it is put in place (rename)
//!     ──> `renga up`: SIGUSR2, and wait until it says that all three have been replaced
//!     └─> units: systemctl restart, node, server, router, each when the one before it answers
//! ```

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use renga_store::{Store, StoreError};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{
    config::Config,
    install,
    layout::Layout,
    roles::up::{Up, role_answers},
};

/// Three roles, each of which may drain for half a minute.
const TAKEOVER_MAX: Duration = Duration::from_secs(120);
/// A role that was restarted as a unit.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
}

pub(crate) fn run(config: &Config) -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga upgrade needs root: it replaces the program and restarts the platform's processes");
    }
    let layout = Layout::new(&config.data_dir);
    let us = std::env::current_exe().context("could not find this program")?;
    refuse_older(&layout)?;
    let begun = Instant::now();
    if let Some(up) = running(&layout) {
        check(&us, &up)?;
        put_in_place(&us, &up.program)?;
        take_over(&layout, &up)?;
    } else if let Some(program) = install::installed(&config.data_dir) {
        put_in_place(&us, &program)?;
        restart_units(&layout)?;
    } else {
        bail!(
            "nothing runs in {0}, so there is nothing to replace: start this build with renga up --data-dir {0}",
            layout.root.display()
        );
    }
    let seconds = begun.elapsed().as_secs_f32();
    Ok(format!(
        "Upgraded to renga {VERSION} in {seconds:.1} s: node, server and router are new, dynos went on.\n"
    ))
}

fn refuse_older(layout: &Layout) -> Result<()> {
    match Store::schema_of(&layout.at("ledger/ledger.db")) {
        Ok(_) => Ok(()),
        Err(StoreError::Newer { found, known }) => bail!(
            "this is renga {VERSION}, and the ledger was written by a newer one (its schema is {found}, this build knows \
             {known}): a ledger does not go back. Nothing was changed. To return to this build, restore a backup that it \
             made"
        ),
        Err(failed) => Err(failed.into()),
    }
}

/// The `renga up` that has said so and still is one.
fn running(layout: &Layout) -> Option<Up> {
    let up: Up = serde_json::from_slice(&fs::read(layout.up()).ok()?).ok()?;
    let is_up = command_line(&up).get(1).is_some_and(|word| word == "up");
    is_up.then_some(up)
}

fn command_line(up: &Up) -> Vec<String> {
    let words = fs::read(format!("/proc/{}/cmdline", up.pid)).unwrap_or_default();
    let words = words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    words.pop();
    words
}

/// The newer build must understand what the running one was called with.
fn check(us: &Path, up: &Up) -> Result<()> {
    let words = command_line(up);
    let checked =
        Command::new(us).args(&words[1..]).arg("--check").output().context("could not run this program")?;
    if !checked.status.success() {
        bail!(
            "this build does not take the configuration of the platform that runs; nothing was changed:\n{}",
            String::from_utf8_lossy(&checked.stderr).trim()
        );
    }
    Ok(())
}

/// Copied beside it and renamed: there is a whole program at every moment.
fn put_in_place(us: &Path, program: &Path) -> Result<()> {
    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    if identity(us)? == identity(program).unwrap_or_default() {
        return Ok(());
    }
    let place = |doing: &str| format!("could not {doing} {}", program.display());
    let mut fresh = program.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    fs::copy(us, &fresh).with_context(|| place("write beside"))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    fs::File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, program).with_context(|| place("replace"))
}

fn take_over(layout: &Layout, before: &Up) -> Result<()> {
    let pid = Pid::from_raw(before.pid).context("up.json names no process")?;
    kill_process(pid, Signal::USR2).context("could not tell renga up")?;
    let begun = Instant::now();
    loop {
        let now = fs::read(layout.up()).ok().and_then(|text| serde_json::from_slice::<Up>(&text).ok());
        if now.is_some_and(|up| up.takeovers > before.takeovers) {
            return Ok(());
        }
        if test_kill_process(pid).is_err() {
            bail!("renga up has ended; its log says why. Dynos go on: start it again");
        }
        if begun.elapsed() > TAKEOVER_MAX {
            bail!(
                "renga up has not replaced its processes within {} s; its log says why",
                TAKEOVER_MAX.as_secs()
            );
        }
        std::thread::sleep(LOOK);
    }
}

fn restart_units(layout: &Layout) -> Result<()> {
    for role in install::ROLES {
        install::restart(role)?;
        let begun = Instant::now();
        while !role_answers(layout, role) {
            if begun.elapsed() > ANSWER_MAX {
                bail!("renga-{role} does not answer after its restart: journalctl -u renga-{role}");
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

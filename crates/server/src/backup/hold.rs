//! The moment that a backup shows: a snapshot of the ledger, and a hold on every layer that it names.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use renga_model::{AppId, LayerDigest, Refusal};
use renga_store::{MasterKey, Store};

use crate::layout::Layout;

/// Each try is one copy of the ledger; collection would have to take a layer within milliseconds, every time.
const TRIES: usize = 5;

/// A folder of ours below the data directory, emptied before and after. One backup at a time has it.
pub(super) struct Scratch {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(super) fn take(layout: &Layout) -> Result<Self> {
        let (path, lock) = (layout.at("backup"), layout.at(".backup.lock"));
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another backup of {} is under way", layout.root.display())
            }
            Err(TryLockError::Error(failed)) => return Err(failed.into()),
        }
        empty(&path)?;
        // Git runs as another user, and passes through.
        fs::DirBuilder::new().mode(0o711).create(&path)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(empty(&self.path));
    }
}

fn empty(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(failed) if failed.kind() != io::ErrorKind::NotFound => Err(failed),
        _ => Ok(()),
    }
}

pub(super) struct Held {
    pub(super) ledger: PathBuf,
    pub(super) apps: Vec<(AppId, BTreeSet<String>)>,
    pub(super) outputs: Vec<String>,
    pub(super) layers: Vec<(LayerDigest, File)>,
    /// Named, and not on this machine: it was so before we came.
    pub(super) missing: Vec<LayerDigest>,
}

pub(super) fn hold(layout: &Layout, scratch: &Scratch) -> Result<Held> {
    let key_file = layout.at("secrets/master.key");
    if !key_file.exists() {
        bail!("{} is not there: no platform was ever started here", key_file.display());
    }
    let key = MasterKey::load_or_create(&key_file)?;
    more_files();
    let mut tries = 0;
    loop {
        tries += 1;
        let held = look(layout, scratch, key.clone())?;
        if held.missing.is_empty() || tries == TRIES {
            return Ok(held);
        }
    }
}

fn look(layout: &Layout, scratch: &Scratch, key: MasterKey) -> Result<Held> {
    let folder = scratch.path.join("ledger");
    empty(&folder)?;
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let ledger = folder.join("ledger.db");
    Store::snapshot(&layout.at("ledger/ledger.db"), &ledger)?;
    let found = output_names(layout)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A copy of an older ledger is brought up to date on the way: it shall be read by this build.
    let store = Store::open(&ledger, key)?;
    let (layers, apps, outputs) = runtime.block_on(store.read(move |read| -> Result<_, Refusal> {
        let mut apps = Vec::new();
        for app in read.app_list()? {
            apps.push((app.id, read.commits_deployed(app.id)?));
        }
        let mut outputs = Vec::new();
        for name in found {
            if read.output_has_owner(&name)? {
                outputs.push(name);
            }
        }
        Ok((read.layers_in_use()?, apps, outputs))
    }))?;
    // Closed, it is one file.
    drop(store);
    let mut held = Held { ledger, apps, outputs, layers: Vec::new(), missing: Vec::new() };
    for digest in layers {
        let path = layout.at(&format!("node/layers/{digest}.erofs"));
        match File::open(&path) {
            Ok(file) => held.layers.push((digest, file)),
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => held.missing.push(digest),
            Err(failed) => {
                return Err(failed).with_context(|| format!("could not open {}", path.display()));
            }
        }
    }
    Ok(held)
}

fn output_names(layout: &Layout) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(layout.at("outputs")).context("could not list the outputs")? {
        names.extend(
            entry?.file_name().into_string().ok().filter(|name| super::format::plain(name).is_some()),
        );
    }
    Ok(names)
}

/// Every layer is open at one time.
fn more_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused, a few layers may still fit.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
}

//! Opening the hand: is the machine fit, what runs already, and what is nobody's any more.
//!
//! After a crash the directories of the dynos are the truth: one with `exit.json` has exited; one whose supervisor
//! lives is adopted; of one with neither, everything is killed and the loss recorded, unless it was never begun: then it
//! goes as if it had not been asked for. Then whatever bears the name of this instance and belongs to no dyno is taken
//! away: mounts, interfaces, cgroups, half-made files.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::Duration,
};

use renga_model::{DynoId, ExitReason};
use renga_supervision::{DynoDirectory, Label};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cgroup::Cgroups,
    config::{Config, PACKS_MAX},
    error::{Doing, HandError, Result, chain, tell},
    files::{directory, read_json},
    hand::Inner,
    host::{self, HostFacts},
    images::Images,
    mounts,
    net::{self, Network},
    owners::Owners,
    paths::Paths,
    plan::Plan,
    stack::Stacks,
    supervisor,
    table::{Entry, Table},
    watches,
};

/// A dyno younger than this may have a supervisor that is not in its cgroup yet.
const STARTING_AGE: Duration = Duration::from_secs(2);
const STARTING_PAUSE: Duration = Duration::from_millis(20);

/// Dynos whose supervisors live, with their handles.
pub(crate) type Running = Vec<(Arc<Entry>, OwnedFd)>;

pub(crate) fn open(config: Config, tasks: TaskTracker) -> Result<(Inner, Running)> {
    let mistakes = config.mistakes();
    if !mistakes.is_empty() {
        return Err(HandError::Refused(mistakes.join("; ")));
    }
    check_machine(&config)?;
    let paths = Paths::new(&config.data_dir);
    let lock = make_folders(&config.data_dir, &paths)?;
    let cgroups = Cgroups::open(&config)?;
    let network = Network::open(&config)?;
    tell(watches::raise(config.ranges()));
    let images = Images::open(&paths)?;
    let program = supervisor::install(&paths, &config.supervisor)?;
    let inner = Inner {
        cgroups,
        network,
        images,
        tasks,
        program,
        table: Mutex::new(Table::default()),
        cancel: CancellationToken::new(),
        changes: watch::Sender::new(1),
        seen: Mutex::new(0),
        lock: Mutex::new(Some(lock)),
        stacks: Stacks::default(),
        owners: Owners::default(),
        packs: Semaphore::new(PACKS_MAX),
        config,
        paths,
    };
    let running = adopt_all(&inner)?;
    tidy(&inner)?;
    tell(supervisor::remove_old(&inner.paths, &inner.program));
    let (known, alive) = (inner.table().all().len(), running.len());
    tracing::info!(
        bridge = inner.network.bridge(),
        "the node is ready; {known} dynos known, {alive} running"
    );
    Ok((inner, running))
}

/// Kills every dyno of the instance and takes away everything it has on this machine, but not its data directory.
pub fn remove_instance(config: &Config) -> Result<()> {
    let paths = Paths::new(&config.data_dir);
    let cgroups = Cgroups::find(config)?;
    for id in cgroups.dynos() {
        cgroups.kill_all(id)?;
        cgroups.remove(id)?;
    }
    mounts::detach_below(paths.node())?;
    mounts::detach(paths.node())?;
    cgroups.tidy_writes()?;
    cgroups.remove_parents()?;
    net::remove(config)
}

fn check_machine(config: &Config) -> Result<()> {
    let findings = host::judge(&HostFacts::read(&config.data_dir, config.disk_floor_bytes));
    match host::unfit(&findings, config.allow_weak_isolation) {
        Some(text) => Err(HandError::Unfit(text)),
        None => Ok(()),
    }
}

fn make_folders(data_dir: &Path, paths: &Paths) -> Result<fs::File> {
    use std::os::unix::fs::PermissionsExt;
    for folder in data_dir.ancestors() {
        let meta = fs::metadata(folder).doing("look at", folder.display())?;
        if meta.permissions().mode() & 0o001 == 0 {
            let text = format!("dynos can't pass {}: its mode lacks o+x", folder.display());
            return Err(HandError::Unfit(text));
        }
    }
    directory(paths.node(), 0o711)?;
    mounts::keep_to_ourselves(paths.node())?;
    let lock = take_lock(&paths.lock())?;
    // What is in it belongs to an earlier process.
    fs::remove_dir_all(paths.temporary())
        .or_else(ignore_missing)
        .doing("empty", paths.temporary().display())?;
    let passed = [paths.dynos(), paths.images(), paths.programs(), paths.run(), paths.temporary()];
    passed.iter().try_for_each(|folder| directory(folder, 0o711))?;
    [paths.layers(), paths.stacks(), paths.templates()]
        .iter()
        .try_for_each(|folder| directory(folder, 0o755))?;
    Ok(lock)
}

/// Two hands on one data directory would take each other's dynos for rubbish.
fn take_lock(path: &Path) -> Result<fs::File> {
    let file = fs::File::create(path).doing("make", path.display())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(HandError::Refused(format!("another node holds {}", path.display()))),
        other => other.doing("lock", path.display()).map(|()| file),
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Directories of dynos, by id; others are given to the log.
fn folders(dynos: &Path) -> Result<Vec<(DynoId, std::path::PathBuf)>> {
    let list = match fs::read_dir(dynos) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing("list", dynos.display())?,
    };
    let known = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if id.is_none() {
            tracing::warn!("{} is not a dyno's directory", entry.path().display());
        }
        Some((id?, entry.path()))
    };
    Ok(list.filter_map(io::Result::ok).filter_map(known).collect())
}

fn adopt_all(inner: &Inner) -> Result<Running> {
    let mut running = Vec::new();
    for (id, folder) in folders(&inner.paths.dynos())? {
        match adopt(inner, id) {
            Ok(Some((entry, handle))) => running.push((entry, handle)),
            Ok(None) => {}
            Err(error) => {
                // Without its plan nothing can be said of it; `tidy` takes its mounts, cgroups and interfaces.
                tracing::warn!(dyno.id = %id, "removing what can't be understood: {}", chain(&error));
                tell(inner.cgroups.kill_all(id));
                mounts::detach_below(&folder)?;
                fs::remove_dir_all(&folder).doing("remove", folder.display())?;
            }
        }
    }
    Ok(running)
}

fn adopt(inner: &Inner, id: DynoId) -> Result<Option<(Arc<Entry>, OwnedFd)>> {
    let dyno = inner.paths.dyno(id);
    let missing = |name: &str| HandError::NotFound(format!("{name} of dyno {id}"));
    let label: Label = read_json(&dyno.label())?.ok_or_else(|| missing("label"))?;
    let plan: Plan = read_json(&dyno.plan())?.ok_or_else(|| missing("plan"))?;
    let entry = Arc::new(Entry::new(label, plan));
    inner.table().insert(Arc::clone(&entry));
    let directory = DynoDirectory::new(dyno.directory());
    let unreadable = |error: renga_supervision::FileError| io::Error::other(chain(&error));
    let state = directory.read_state().map_err(unreadable).doing("read", dyno.state().display())?;
    if let Some(state) = &state {
        entry.set_started(state.started_at);
    }
    if let Some(exit) = directory.read_exit().map_err(unreadable).doing("read", dyno.exit().display())? {
        entry.set_exited(exit);
        return Ok(None);
    }
    if let Some(handle) = find_supervisor(inner, id, &dyno.label()) {
        entry.frozen.store(inner.cgroups.is_frozen(id), Ordering::Relaxed);
        return Ok(Some((entry, handle)));
    }
    if let Some(exit) = directory.read_exit().map_err(unreadable).doing("read", dyno.exit().display())? {
        // It ended while we looked.
        entry.set_exited(exit);
        return Ok(None);
    }
    if state.is_none() {
        // The state is written before the command's first instruction: it has never run, and may be asked for again.
        tracing::info!(dyno.id = %id, "removing a dyno that was never begun");
        inner.free(&entry)?;
        inner.table().remove(id);
        return Ok(None);
    }
    tracing::warn!(dyno.id = %id, "a dyno has lost its supervisor");
    inner.cgroups.kill_all(id)?;
    inner.end(&entry, ExitReason::SupervisorLost);
    Ok(None)
}

/// A supervisor enters its cgroup a few milliseconds after it was started; the node may have died in between.
fn find_supervisor(inner: &Inner, id: DynoId, label: &Path) -> Option<OwnedFd> {
    let age = || fs::metadata(label).ok()?.modified().ok()?.elapsed().ok();
    loop {
        let found = inner.cgroups.supervisor(id);
        if found.is_some() || age().is_none_or(|age| age > STARTING_AGE) {
            return found;
        }
        thread::sleep(STARTING_PAUSE);
    }
}

/// Takes away what bears our name and belongs to no dyno.
fn tidy(inner: &Inner) -> Result<()> {
    let entries = inner.table().all();
    for id in inner.cgroups.dynos() {
        if !entries.iter().any(|entry| entry.label.id == id) {
            inner.cgroups.kill_all(id)?;
            inner.cgroups.remove(id)?;
        }
    }
    for index in inner.network.indexes() {
        if !entries.iter().any(|entry| entry.plan.index == index) {
            inner.network.disconnect(index)?;
        }
    }
    let kept: Vec<_> =
        entries.iter().map(|entry| inner.paths.dyno(entry.label.id).directory().to_owned()).collect();
    for point in mounts::below(&inner.paths.dynos())?.iter().rev() {
        if !kept.iter().any(|folder| point.starts_with(folder)) {
            mounts::detach(point)?;
        }
    }
    inner.cgroups.tidy_writes()
}

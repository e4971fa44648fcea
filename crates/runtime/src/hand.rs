//! The hand itself: what the port's calls do, in steps.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use renga_model::{DynoId, DynoKind, Exit, ExitReason, LayerDigest, Secret, limits};
use renga_ports::{
    AttachSession, Capacity, DynoReport, DynoSpec, LayerInfo, PackedLayer, Runtime, RuntimeError,
};
use renga_supervision::{Bind, DynoDirectory, Label, PROTOCOL_VERSION, SupervisorSpec};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attach,
    cgroup::Cgroups,
    check,
    config::{
        APP_ID, CHANGED_TIMEOUT, Config, LAYER_SWEEP_EVERY, LINGER_TIMEOUT, LOG_BYTES_MAX,
        MEMORY_FLOOR_BYTES, NETWORK_GUARD_EVERY, OPEN_FILES_MAX,
    },
    error::{Doing, HandError, Result, chain, gone_is_fine, tell},
    files::{directory, disk_free, memory_available, mount_point_file, write_json},
    follow::{Lead, follow},
    images::Images,
    mounts,
    net::Network,
    pack,
    paths::Paths,
    plan::{PLAN_VERSION, Plan, layers_of},
    rootfs::{self, Assembled, Owners, Steps, Workshop},
    stack::{Stack, Stacks},
    supervisor::{self, Launched},
    sys::ext4,
    table::{Entry, StopOrder, Table},
};

/// Runs dynos on this machine. Dropping it leaves them running; the next [`Hand::open`] adopts them.
#[derive(Debug, Clone)]
pub struct Hand {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) paths: Paths,
    pub(crate) cgroups: Cgroups,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) images: Images,
    pub(crate) network: Network,
    pub(crate) table: Mutex<Table>,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) stacks: Stacks,
    pub(crate) owners: Owners,
    pub(crate) program: PathBuf,
    pub(crate) packs: Semaphore,
    /// What the caller of `changed` has seen.
    pub(crate) seen: Mutex<u64>,
    /// Held while this hand owns the data directory.
    pub(crate) lock: Mutex<Option<fs::File>>,
}

impl Hand {
    /// Makes bridge, rules and cgroups, adopts what runs, and takes away what belongs to no dyno.
    pub async fn open(config: Config) -> Result<Self> {
        let tasks = TaskTracker::new();
        let opened = tasks.spawn_blocking({
            let tasks = tasks.clone();
            move || crate::open::open(config, tasks)
        });
        let (inner, running) = joined(opened.await)?;
        let inner = Arc::new(inner);
        inner.network.serve_dns(&inner.tasks, &inner.cancel).await?;
        for (entry, handle) in running {
            inner.tasks.spawn(follow(Arc::clone(&inner), entry, Lead::Adopted(handle)));
        }
        inner.tasks.spawn(every(Arc::clone(&inner), LAYER_SWEEP_EVERY, sweep_images));
        inner.tasks.spawn(every(Arc::clone(&inner), NETWORK_GUARD_EVERY, |inner| inner.network.guard()));
        Ok(Self { inner })
    }

    /// Ends the hand's own tasks. Dynos go on.
    pub async fn close(&self) {
        self.inner.cancel.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        drop(self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Returns when more has changed than `seen`, or after a while; gives what is to be passed next time.
    pub async fn changed_since(&self, seen: u64) -> u64 {
        let mut changes = self.inner.changes.subscribe();
        // After the time the caller looks anyway.
        timeout(CHANGED_TIMEOUT, changes.wait_for(|now| *now != seen)).await.ok();
        *self.inner.changes.borrow()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        joined(self.inner.tasks.spawn_blocking(move || work(&inner)).await)
    }

    fn exited(&self, id: DynoId) -> std::result::Result<Arc<Entry>, RuntimeError> {
        let entry = self.inner.table().get(id);
        let entry = entry.ok_or_else(|| RuntimeError::NotFound(format!("dyno {id}")))?;
        if entry.has_exited() {
            Ok(entry)
        } else {
            Err(RuntimeError::Refused(format!("dyno {id} has not exited")))
        }
    }
}

/// What a task gave; its panic is an error like others.
fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    outcome.map_err(io::Error::other).doing("finish", "a task of the hand")?
}

#[async_trait]
impl Runtime for Hand {
    async fn start(&self, spec: DynoSpec) -> std::result::Result<(), RuntimeError> {
        check::spec(&spec)?;
        let inner = Arc::clone(&self.inner);
        // Whoever asked may go away in the middle; what was begun is finished.
        let made = self.inner.tasks.spawn(async move { inner.start(spec).await });
        Ok(joined(made.await)?)
    }

    async fn stop(&self, dyno: DynoId, grace: Duration) -> std::result::Result<(), RuntimeError> {
        if let Some(entry) = self.inner.table().get(dyno) {
            let order = StopOrder { grace, asked_at: Instant::now() };
            entry.stop.send_if_modified(|last| {
                // Asking again does not lengthen the grace.
                let sooner =
                    last.is_none_or(|last| order.asked_at + order.grace < last.asked_at + last.grace);
                if sooner {
                    *last = Some(order);
                }
                sooner
            });
        }
        Ok(())
    }

    async fn inventory(&self) -> std::result::Result<Vec<DynoReport>, RuntimeError> {
        let entries = self.inner.table().all();
        Ok(entries.iter().map(|entry| entry.report()).collect())
    }

    async fn forget(&self, dyno: DynoId) -> std::result::Result<(), RuntimeError> {
        let entry = match self.exited(dyno) {
            Err(RuntimeError::NotFound(_)) => return Ok(()),
            other => other?,
        };
        let inner = Arc::clone(&self.inner);
        let forgotten = self.inner.tasks.spawn(async move {
            let _work = entry.work.lock().await;
            let freed = Arc::clone(&inner);
            let id = entry.label.id;
            let label = Arc::clone(&entry);
            joined(inner.tasks.spawn_blocking(move || freed.free(&label)).await)?;
            inner.table().remove(id);
            inner.note_change();
            Ok(())
        });
        Ok(joined(forgotten.await)?)
    }

    async fn changed(&self) -> std::result::Result<(), RuntimeError> {
        let seen = *self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.changed_since(seen).await;
        *self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    async fn attach(&self, dyno: DynoId) -> std::result::Result<AttachSession, RuntimeError> {
        attach::attach(&self.inner.paths.dynos(), dyno, &self.inner.tasks).await
    }

    async fn pack(&self, dyno: DynoId, directory: &str) -> std::result::Result<PackedLayer, RuntimeError> {
        let entry = self.exited(dyno)?;
        let _work = entry.work.lock().await;
        let place = self.inner.packs.acquire().await;
        let directory = directory.to_owned();
        let uid_base = entry.plan.uid_base;
        let packed = self.blocking(move |inner| {
            inner.refuse_below_floor(0)?;
            pack::pack(&inner.paths, &inner.paths.dyno(dyno), uid_base, &directory)
        });
        let packed = packed.await;
        drop(place);
        Ok(packed?)
    }

    async fn read_file(
        &self,
        dyno: DynoId,
        path: &str,
        bytes_max: u64,
    ) -> std::result::Result<Vec<u8>, RuntimeError> {
        let entry = self.exited(dyno)?;
        let _work = entry.work.lock().await;
        let path = path.to_owned();
        let read = self.blocking(move |inner| pack::read_file(&inner.paths.dyno(dyno), &path, bytes_max));
        Ok(read.await?)
    }

    async fn layers(&self) -> std::result::Result<Vec<LayerInfo>, RuntimeError> {
        Ok(self.blocking(Inner::layers).await?)
    }

    async fn layer_remove(&self, digest: &LayerDigest) -> std::result::Result<(), RuntimeError> {
        let digest = digest.clone();
        Ok(self.blocking(move |inner| inner.layer_remove(&digest)).await?)
    }

    async fn capacity(&self) -> std::result::Result<Capacity, RuntimeError> {
        let capacity = self.blocking(|inner| {
            let (disk_bytes_free, disk_bytes_total) = disk_free(inner.paths.node())?;
            Ok(Capacity { memory_bytes_free: memory_available()?, disk_bytes_free, disk_bytes_total })
        });
        Ok(capacity.await?)
    }
}

// === starting ===

impl Inner {
    async fn start(self: Arc<Self>, spec: DynoSpec) -> Result<()> {
        let reserved = {
            let (inner, spec) = (Arc::clone(&self), spec.clone());
            joined(self.tasks.spawn_blocking(move || inner.reserve(&spec)).await)?
        };
        let Some((entry, stack)) = reserved else { return Ok(()) };
        let made = {
            let (inner, entry) = (Arc::clone(&self), Arc::clone(&entry));
            joined(self.tasks.spawn_blocking(move || inner.make(&entry, &spec, &stack)).await)
        };
        match made {
            Ok(launched) => {
                self.tasks.spawn(follow(Arc::clone(&self), entry, Lead::Launched(launched)));
            }
            Err(error) => {
                tracing::warn!(dyno.id = %entry.label.id, "a dyno could not be made: {}", chain(&error));
                let (inner, entry) = (Arc::clone(&self), Arc::clone(&entry));
                let undone = self.tasks.spawn_blocking(move || {
                    tell(inner.release(&entry));
                    inner.end(&entry, ExitReason::NotStarted(chain(&error)));
                    Ok(())
                });
                joined(undone.await)?;
            }
        }
        Ok(())
    }

    /// Chooses every name and writes them down. `None` when the dyno is there already.
    fn reserve(&self, spec: &DynoSpec) -> Result<Option<(Arc<Entry>, Stack)>> {
        if self.table().get(spec.id).is_some() {
            return Ok(None);
        }
        self.refuse_below_floor(0)?;
        if memory_available()? < MEMORY_FLOOR_BYTES {
            return Err(HandError::NoRoom("less than 128 MiB of memory are free".into()));
        }
        let stack = self.stacks.find(&self.config, &self.paths, &spec.stack)?;
        let label = Label {
            id: spec.id,
            generation: spec.generation,
            app: spec.app,
            kind: spec.kind,
            name: spec.name.clone(),
        };
        let entry = {
            // Under one lock with the removal of layers: what is in the table's plans stays.
            let mut table = self.table();
            if table.get(spec.id).is_some() {
                return Ok(None);
            }
            let layers = layers_of(spec);
            if let Some(missing) = layers.iter().find(|digest| !self.paths.layer(digest).is_file()) {
                return Err(HandError::NotFound(format!("layer {missing}")));
            }
            let index = table.free_index(&self.config)?;
            let plan = Plan {
                version: PLAN_VERSION,
                index,
                address: self.config.subnet.nth(index),
                port: spec.port,
                layers,
                stack: stack.key.clone(),
                uid_base: self.config.range_base(index),
            };
            let entry = Arc::new(Entry::new(label, plan));
            table.insert(Arc::clone(&entry));
            entry
        };
        if let Err(error) = self.write_down(&entry) {
            tell(gone_is_fine(
                fs::remove_dir_all(self.paths.dyno(spec.id).directory()),
                "remove",
                self.paths.dyno(spec.id).directory(),
            ));
            self.table().remove(spec.id);
            return Err(error);
        }
        Ok(Some((entry, stack)))
    }

    fn write_down(&self, entry: &Entry) -> Result<()> {
        let dyno = self.paths.dyno(entry.label.id);
        directory(dyno.directory(), 0o711)?;
        write_json(&dyno.plan(), &entry.plan, false)?;
        write_json(&dyno.label(), &entry.label, false)
    }

    /// Mounts, network, supervisor. What it leaves on failure is taken away by [`Inner::release`].
    fn make(&self, entry: &Entry, spec: &DynoSpec, stack: &Stack) -> Result<Launched> {
        let mut steps = Steps::begin();
        let dyno = self.paths.dyno(spec.id);
        directory(&dyno.mounts(), 0o711)?;
        for point in [dyno.disk(), dyno.lower(), dyno.root(), dyno.files()] {
            directory(&point, 0o755)?;
        }
        mount_point_file(&dyno.netns())?;
        let shop = Workshop {
            config: &self.config,
            paths: &self.paths,
            images: &self.images,
            owners: &self.owners,
            gateway: self.network.gateway(),
        };
        let (assembled, network) = thread::scope(|scope| {
            let network = scope.spawn(|| self.network.connect(entry.plan.place(), &dyno.netns()));
            let assembled = rootfs::assemble(&shop, spec, &entry.plan, stack, &mut steps);
            (assembled, network.join())
        });
        network.map_err(|_| io::Error::other("panicked")).doing("make", "the network")??;
        steps.done("rest of the network");
        let Assembled { binds, disk } = assembled?;
        let order = self.order(entry, spec, binds);
        let launched = supervisor::launch(&self.program, &order)?;
        steps.done("supervisor");
        tracing::info!(dyno.id = %spec.id, dyno.name = %spec.name, "made a dyno: {steps}");
        self.tasks.spawn_blocking(move || {
            if let Err(error) = disk.go_direct() {
                // The file system of the image may not know direct I/O: more memory is used, nothing else.
                tracing::debug!(%error, "a disk stays in the page cache twice");
            }
        });
        Ok(launched)
    }

    fn order(&self, entry: &Entry, spec: &DynoSpec, binds: Vec<Bind>) -> SupervisorSpec {
        let dyno = self.paths.dyno(spec.id);
        let mut env = spec.env.clone();
        env.entry("HOME".into()).or_insert_with(|| Secret::new("/app"));
        let keeps_all = matches!(spec.kind, DynoKind::Build | DynoKind::ReleasePhase);
        SupervisorSpec {
            version: PROTOCOL_VERSION,
            directory: dyno.directory().to_owned(),
            label: entry.label.clone(),
            hostname: spec.id.to_string(),
            rootfs: dyno.root(),
            netns: dyno.netns(),
            binds,
            argv: spec.argv.clone(),
            env,
            cwd: "/app".into(),
            uid_base: entry.plan.uid_base,
            uid_count: self.config.range_ids(),
            uid: APP_ID,
            gid: APP_ID,
            cgroup: self.cgroups.of(spec.id),
            memory_hard_bytes: spec.limits.memory_bytes.saturating_mul(2),
            cpu_shares: spec.limits.cpu_shares,
            processes_max: spec.limits.processes_max,
            open_files_max: OPEN_FILES_MAX,
            tty: spec.tty,
            attach: spec.attach,
            log_bytes_max: if keeps_all { limits::OUTPUT_BYTES_MAX } else { LOG_BYTES_MAX },
            time_to_live: spec.limits.time_to_live,
            reader_uid: self.config.server_uid,
        }
    }

    fn refuse_below_floor(&self, wanted: u64) -> Result<()> {
        let (free, _) = disk_free(self.paths.node())?;
        let floor = self.config.disk_floor_bytes.saturating_add(wanted);
        if free < floor {
            let (free, floor) = (free >> 20, floor >> 20);
            return Err(HandError::NoRoom(format!("{free} MiB of disk are free, {floor} MiB must stay")));
        }
        Ok(())
    }
}

// === ending ===

impl Inner {
    /// Records an exit that no supervisor has written.
    pub(crate) fn end(&self, entry: &Entry, reason: ExitReason) {
        let exit = Exit { code: 1, reason, at: Timestamp::now() };
        let directory = DynoDirectory::new(self.paths.dyno(entry.label.id).directory());
        if let Err(error) = directory.write_exit(&exit) {
            // The next start of the node finds neither a supervisor nor an exit, and tries again.
            tracing::error!(dyno.id = %entry.label.id, "{}", chain(&error));
        }
        self.record_exit(entry, exit);
    }

    pub(crate) fn record_exit(&self, entry: &Entry, exit: Exit) {
        tracing::info!(dyno.id = %entry.label.id, dyno.name = %entry.label.name, exit.code = exit.code, "a dyno exited");
        entry.set_exited(exit);
        self.note_change();
    }

    /// Everything of an exited dyno, its directory last.
    pub(crate) fn free(&self, entry: &Entry) -> Result<()> {
        self.release(entry)?;
        let folder = self.paths.dyno(entry.label.id).directory().to_owned();
        gone_is_fine(fs::remove_dir_all(&folder), "remove", &folder)
    }

    /// Processes, cgroups, mounts and interfaces; what it wrote down and logged stays.
    pub(crate) fn release(&self, entry: &Entry) -> Result<()> {
        let id = entry.label.id;
        let dyno = self.paths.dyno(id);
        self.end_supervisor(id)?;
        self.cgroups.kill_all(id)?;
        self.cgroups.remove(id)?;
        drop_disk(&dyno.disk());
        mounts::detach_below(dyno.directory())?;
        self.network.disconnect(entry.plan.index)?;
        gone_is_fine(fs::remove_file(dyno.disk_image()), "remove", &dyno.disk_image())
    }

    /// It writes `exit.json` last of all; what still runs a little later is stuck.
    fn end_supervisor(&self, id: DynoId) -> Result<()> {
        let Some(handle) = self.cgroups.supervisor(id) else { return Ok(()) };
        let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec::try_from(LINGER_TIMEOUT).ok();
        if rustix::event::poll(&mut polled, patience.as_ref()).doing("wait for", "a supervisor")? == 0 {
            // It may end in this very moment.
            rustix::process::pidfd_send_signal(&handle, rustix::process::Signal::KILL).ok();
            rustix::event::poll(&mut polled, patience.as_ref()).doing("wait for", "a supervisor")?;
        }
        Ok(())
    }

    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is one insertion or removal; a panic can't leave half of one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody will read what the disk has not written yet.
fn drop_disk(disk: &std::path::Path) {
    if let Ok(root) = fs::File::open(disk) {
        // An empty mount point is on the machine's own file system, which must not be touched.
        let is_ours =
            mounts::below(disk.parent().unwrap_or(disk)).is_ok_and(|list| list.iter().any(|p| p == disk));
        if is_ours && let Err(error) = ext4::shut_down(&root) {
            tracing::debug!(%error, "could not shut a disk down; unmounting writes it");
        }
    }
}

// === layers ===

impl Inner {
    fn layers(&self) -> Result<Vec<LayerInfo>> {
        let folder = self.paths.layers();
        let mut found = Vec::new();
        for file in fs::read_dir(&folder).doing("list", folder.display())?.flatten() {
            let name = file.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".erofs")?.parse().ok());
            let (Some(digest), Ok(meta)) = (digest, file.metadata()) else { continue };
            let in_use = self.table().uses(&digest);
            found.push(LayerInfo { digest, bytes: meta.len(), in_use });
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    fn layer_remove(&self, digest: &LayerDigest) -> Result<()> {
        // Held until the file is gone: a start that comes now finds no layer, one that came before has a plan.
        let table = self.table();
        if table.uses(digest) {
            return Err(HandError::Refused(format!("layer {digest} is in use")));
        }
        self.images.release(digest.as_str())?;
        let path = self.paths.layer(digest);
        gone_is_fine(fs::remove_file(&path), "remove layer", &path)
    }
}

/// A start between these two lines mounts again what is taken away here: its plan was not seen, but its mount is
/// fresh and thus not idle.
fn sweep_images(inner: &Inner) -> Result<()> {
    let in_use = inner.table().images();
    inner.images.sweep(&in_use)
}

async fn every(inner: Arc<Inner>, pause: Duration, work: fn(&Inner) -> Result<()>) {
    loop {
        tokio::select! {
            biased;
            () = inner.cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let worker = Arc::clone(&inner);
        tell(joined(inner.tasks.spawn_blocking(move || work(&worker)).await));
    }
}

//! The hand itself: what the port's calls do, in steps.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use renga_model::{DynoId, LayerDigest};
use renga_ports::{
    AttachSession, Capacity, DynoReport, DynoSpec, DynoUsage, ExecSpec, LayerInfo, PackedLayer, Runtime,
    RuntimeError,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    attach,
    cgroup::Cgroups,
    check,
    config::{BREATH_EVERY, CHANGED_TIMEOUT, Config, LAYER_SWEEP_EVERY, NETWORK_GUARD_EVERY},
    crowd,
    disk::unique,
    error::{Doing, Result, tell},
    files::{disk_free, disk_usage, memory_available, memory_stalled_percent, memory_total},
    follow::{Lead, follow},
    guard::guard,
    images::Images,
    net::Network,
    owners::Owners,
    pack,
    paths::Paths,
    stack::Stacks,
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
        inner.tasks.spawn(every(Arc::clone(&inner), LAYER_SWEEP_EVERY, Inner::sweep_images));
        inner.tasks.spawn(every(Arc::clone(&inner), BREATH_EVERY, Inner::breathe));
        inner.tasks.spawn(every(Arc::clone(&inner), NETWORK_GUARD_EVERY, |inner| inner.network.guard()));
        inner.tasks.spawn(guard(Arc::clone(&inner)));
        inner.tasks.spawn(crowd::watch(Arc::clone(&inner)));
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

    fn known(&self, id: DynoId) -> std::result::Result<Arc<Entry>, RuntimeError> {
        let entry = self.inner.table().get(id);
        entry.ok_or_else(|| RuntimeError::NotFound(format!("dyno {id}")))
    }

    fn exited(&self, id: DynoId) -> std::result::Result<Arc<Entry>, RuntimeError> {
        let entry = self.known(id)?;
        if entry.has_exited() {
            Ok(entry)
        } else {
            Err(RuntimeError::Refused(format!("dyno {id} has not exited")))
        }
    }
}

/// What a task gave; its panic is an error like others.
pub(crate) fn joined<T>(outcome: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
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
            entry.order_stop(StopOrder { grace, asked_at: Instant::now() });
        }
        Ok(())
    }

    async fn freeze(&self, dyno: DynoId) -> std::result::Result<(), RuntimeError> {
        let entry = self.known(dyno)?;
        Ok(self.blocking(move |inner| inner.freeze(&entry)).await?)
    }

    async fn thaw(&self, dyno: DynoId) -> std::result::Result<(), RuntimeError> {
        let entry = self.known(dyno)?;
        Ok(self.blocking(move |inner| inner.thaw(&entry)).await?)
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

    async fn exec(&self, dyno: DynoId, exec: ExecSpec) -> std::result::Result<AttachSession, RuntimeError> {
        attach::exec(&self.inner.paths.dynos(), dyno, exec, &self.inner.tasks).await
    }

    async fn pack(&self, dyno: DynoId, directory: &str) -> std::result::Result<PackedLayer, RuntimeError> {
        let entry = self.exited(dyno)?;
        let _work = entry.work.lock().await;
        let place = self.inner.packs.acquire().await;
        let directory = directory.to_owned();
        let uid_base = entry.plan.uid_base;
        let packed = self.blocking(move |inner| {
            inner.refuse_below_floor()?;
            let image = inner.paths.temporary().join(format!("layer-{}.erofs", unique()));
            pack::make_layer(&inner.paths.dyno(dyno), uid_base, &directory, &image)
                .and_then(|digest| inner.layer_keep(digest, &image))
                .inspect_err(|_| drop(fs::remove_file(&image)))
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

    async fn layer_remove(
        &self,
        digest: &LayerDigest,
        packed_before: Timestamp,
    ) -> std::result::Result<(), RuntimeError> {
        let digest = digest.clone();
        Ok(self.blocking(move |inner| inner.layer_remove(&digest, packed_before)).await?)
    }

    async fn usage(&self) -> std::result::Result<Vec<DynoUsage>, RuntimeError> {
        let entries = self.inner.table().all();
        let usage = self.blocking(move |inner| {
            let running = entries.iter().filter(|entry| !entry.has_exited());
            Ok(running.filter_map(|entry| inner.usage(entry)).collect())
        });
        Ok(usage.await?)
    }

    async fn listeners(&self, dyno: DynoId) -> std::result::Result<Vec<SocketAddr>, RuntimeError> {
        Ok(self.blocking(move |inner| Ok(inner.cgroups.listeners(dyno))).await?)
    }

    async fn capacity(&self) -> std::result::Result<Capacity, RuntimeError> {
        let capacity = self.blocking(|inner| {
            let (disk_bytes_free, disk_bytes_total) = disk_free(inner.paths.node())?;
            Ok(Capacity {
                memory_bytes_total: memory_total()?,
                memory_bytes_free: memory_available()?,
                memory_stalled_percent: memory_stalled_percent(),
                disk_bytes_free,
                disk_bytes_total,
                disk_bytes_dynos: inner.table().all().iter().map(|entry| inner.disk_bytes(entry)).sum(),
            })
        });
        Ok(capacity.await?)
    }
}

// === impl Inner ===

impl Inner {
    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn usage(&self, entry: &Entry) -> Option<DynoUsage> {
        let (id, plan) = (entry.label.id, &entry.plan);
        if plan.quota_bytes == 0 {
            return None;
        }
        let memory = self.cgroups.memory(id)?;
        let runnable_tasks = if plan.metered { Some(self.cgroups.runnable_tasks(id)?) } else { None };
        Some(DynoUsage {
            id,
            memory,
            disk: disk_usage(&self.paths.dyno(id).disk()),
            quota_bytes: plan.quota_bytes,
            runnable_tasks,
            cpu_time: self.cgroups.cpu_time(id),
        })
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        // Every change of the table is one insertion or removal; a panic can't leave half of one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

//! From a spec to a supervisor that has its order.

use std::{fs, io, sync::Arc, thread};

use renga_model::{DynoKind, ExitReason, Secret, limits};
use renga_ports::DynoSpec;
use renga_supervision::{Bind, Label, PROTOCOL_VERSION, SupervisorSpec};

use crate::{
    config::{APP_ID, LOG_BYTES_MAX, LOG_BYTES_PER_S, MEMORY_FLOOR_BYTES},
    error::{Doing, HandError, Result, chain, gone_is_fine, tell},
    files::{directory, disk_free, memory_available, mount_point_file, write_json},
    follow::{Lead, follow},
    hand::{Inner, joined},
    plan::{PLAN_VERSION, Plan, layers_of},
    rootfs::{self, Assembled, Steps, Workshop},
    stack::Stack,
    supervisor::{self, Launched},
    table::Entry,
};

impl Inner {
    pub(crate) async fn start(self: Arc<Self>, spec: DynoSpec) -> Result<()> {
        let cgroups = self.cgroups.clone();
        self.tasks.spawn_blocking(move || cgroups.prepare_moves());
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
        self.refuse_below_floor()?;
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
                quota_bytes: spec.limits.memory_bytes,
                metered: spec.metered,
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
            cgroups: &self.cgroups,
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
            open_files_max: spec.limits.open_files_max,
            tty: spec.tty,
            attach: spec.attach,
            log_bytes_max: if keeps_all { limits::OUTPUT_BYTES_MAX } else { LOG_BYTES_MAX },
            log_bytes_per_s: (!keeps_all).then_some(LOG_BYTES_PER_S),
            time_to_live: spec.limits.time_to_live,
            reader_uid: self.config.server_uid,
            hangup_interval: None,
        }
    }

    pub(crate) fn refuse_below_floor(&self) -> Result<()> {
        let (free, _) = disk_free(self.paths.node())?;
        let floor = self.config.disk_floor_bytes;
        if free < floor {
            let (free, floor) = (free >> 20, floor >> 20);
            return Err(HandError::NoRoom(format!(
                "the disk is almost full, {free} MiB are free and {floor} MiB must stay free"
            )));
        }
        Ok(())
    }
}

//! A dyno's root file system: stack and layers below, a writable disk above, and what is mounted into it.
//!
//! Owners on disk are small numbers (0 root, 1000 the dyno user); clones of the image mounts shift them into the
//! dyno's range of host ids. The writable disk is fresh and ours alone until the supervisor starts, so files are put
//! there by plain paths.

use std::{net::Ipv4Addr, os::fd::OwnedFd, time::Instant};

use renga_ports::DynoSpec;
use renga_supervision::Bind;
use rustix::fs::{Mode, OFlags, open};

use crate::{
    binds::bind_all,
    cgroup::Cgroups,
    config::Config,
    disk,
    error::{Doing, Result, tell},
    images::Images,
    mounts,
    owners::Owners,
    paths::{DynoPaths, Paths},
    plan::Plan,
    stack::Stack,
    sys::{idmap::Attributes, loop_device::LoopDevice},
    upper::{Upper, furnish},
};

/// What assembling needs, beside the dyno itself.
pub(crate) struct Workshop<'a> {
    pub(crate) config: &'a Config,
    pub(crate) paths: &'a Paths,
    pub(crate) images: &'a Images,
    pub(crate) owners: &'a Owners,
    pub(crate) cgroups: &'a Cgroups,
    pub(crate) gateway: Ipv4Addr,
}

/// How long each part took, for the log and for the figures.
#[derive(Debug)]
pub(crate) struct Steps {
    last: Instant,
    taken: Vec<(&'static str, f64)>,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self { last: Instant::now(), taken: Vec::new() }
    }
    pub(crate) fn done(&mut self, name: &'static str) {
        self.taken.push((name, self.last.elapsed().as_secs_f64() * 1000.0));
        self.last = Instant::now();
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.taken.iter().try_for_each(|(name, ms)| write!(f, "{name} {ms:.1} ms, "))?;
        write!(f, "in all {:.1} ms", self.taken.iter().map(|(_, ms)| ms).sum::<f64>())
    }
}

pub(crate) struct Assembled {
    pub(crate) binds: Vec<Bind>,
    /// To be switched to direct I/O when there is time.
    pub(crate) disk: LoopDevice,
}

/// Mounts everything and gives what the supervisor is to mount inside, in order.
pub(crate) fn assemble(
    shop: &Workshop<'_>,
    spec: &DynoSpec,
    plan: &Plan,
    stack: &Stack,
    steps: &mut Steps,
) -> Result<Assembled> {
    let dyno = shop.paths.dyno(spec.id);
    let template = disk::template(shop.paths, spec.limits.disk_bytes)?;
    disk::clone_template(&template, &dyno.disk_image())?;
    steps.done("clone disk");
    let disk = mounts::mount_disk(&dyno.disk_image(), &dyno.disk())?;
    limit_writes(shop, &disk);
    steps.done("mount disk");
    let stack_root = shop.images.root(&stack.key, &stack.image)?;
    let upper = Upper::make(&dyno, plan.uid_base)?;
    furnish(shop, &upper, spec, plan, &stack_root)?;
    steps.done("fill disk");
    let binds = bind_all(shop, &dyno, &upper, spec, plan, stack)?;
    steps.done("binds");
    overlay(shop, spec, plan, &stack_root, &dyno)?;
    steps.done("overlay");
    Ok(Assembled { binds, disk })
}

/// A machine that can't limit writes runs its dynos all the same.
fn limit_writes(shop: &Workshop<'_>, disk: &LoopDevice) {
    let Some(bytes_per_s) = shop.config.disk_write_bytes_per_s else { return };
    let number = disk.number().doing("look at", disk.path.display());
    tell(number.and_then(|number| shop.cgroups.limit_writes(number, bytes_per_s)));
}

fn overlay(
    shop: &Workshop<'_>,
    spec: &DynoSpec,
    plan: &Plan,
    stack_root: &OwnedFd,
    dyno: &DynoPaths,
) -> Result<()> {
    let owners = shop.owners.of_range(shop.config, plan.uid_base)?;
    let attributes = Attributes { read_only: true, owners: Some(&owners) };
    let mut lowers = vec![mounts::clone_at(stack_root, &dyno.lower(), attributes)?];
    for digest in &spec.layers {
        let root = shop.images.layer(digest)?;
        lowers.push(mounts::clone_at(&*root, &dyno.lower(), attributes)?);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let disk = open(dyno.disk(), flags, Mode::empty()).doing("open", dyno.disk().display())?;
    mounts::mount_overlay(&lowers, &disk, &dyno.root())?;
    // The overlay has clones of its own; ours were stacked on one mount point.
    lowers.iter().try_for_each(|_| mounts::detach(&dyno.lower()))
}

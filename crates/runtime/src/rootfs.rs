//! A dyno's root file system: stack and layers below, a writable disk above, and what is mounted into it.
//!
//! Owners on disk are small numbers (0 root, 1000 the dyno user); clones of the image mounts shift them into the
//! dyno's range of host ids. The writable disk is fresh and ours alone until the supervisor starts, so files are put
//! there by plain paths.

use std::{
    collections::HashMap,
    fs, io,
    net::Ipv4Addr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{PermissionsExt, chown},
    },
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use renga_ports::DynoSpec;
use renga_supervision::Bind;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat, openat2};

use crate::{
    config::{APP_ID, Config, SPEC_FILES_TMPFS_BYTES},
    disk,
    error::{Doing, HandError, Result},
    files::{directory, mount_point_file},
    images::Images,
    mounts,
    paths::{DynoPaths, Paths},
    plan::Plan,
    stack::Stack,
    sys::{
        idmap::{self, Attributes, IdRange},
        loop_device::LoopDevice,
    },
};

const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const SPEC_FILES_INODES: u32 = 512;
const PASSWD_BYTES_MAX: u64 = 256 * 1024;

/// What assembling needs, beside the dyno itself.
pub(crate) struct Workshop<'a> {
    pub(crate) config: &'a Config,
    pub(crate) paths: &'a Paths,
    pub(crate) images: &'a Images,
    pub(crate) owners: &'a Owners,
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
    steps.done("mount disk");
    let stack_root = shop.images.root(&stack.key, &stack.image)?;
    let upper = Upper::make(&dyno, plan.uid_base)?;
    furnish(shop, &upper, spec, plan, &stack_root)?;
    steps.done("fill disk");
    let mut binds = Binds { dyno: &dyno, list: Vec::new(), upper: &upper };
    add_binds(shop, &mut binds, spec, plan, stack)?;
    steps.done("binds");
    let binds = binds.list;
    overlay(shop, spec, plan, &stack_root, &dyno)?;
    steps.done("overlay");
    Ok(Assembled { binds, disk })
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

// === what lies on the fresh disk ===

struct Upper {
    root: PathBuf,
    uid_base: u32,
}

impl Upper {
    fn make(dyno: &DynoPaths, uid_base: u32) -> Result<Self> {
        directory(&dyno.disk().join("work"), 0o700)?;
        let upper = Self { root: dyno.upper(), uid_base };
        upper.folder("", 0, 0o755)?;
        Ok(upper)
    }

    /// Owners are ids inside.
    fn folder(&self, path: &str, owner: u32, mode: u32) -> Result<()> {
        let path = self.root.join(path);
        directory(&path, mode)?;
        self.give(&path, owner)
    }

    fn file(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let path = self.root.join(path);
        let write = || {
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        };
        write().doing("write", path.display())?;
        self.give(&path, 0)
    }

    fn give(&self, path: &Path, owner: u32) -> Result<()> {
        let id = Some(self.uid_base + owner);
        chown(path, id, id).doing("give away", path.display())
    }

    /// Something to mount over, with the folders above it. Below `/app` they are the dyno user's.
    fn mount_point(&self, target: &str, is_folder: bool) -> Result<()> {
        let target = inner_path(target)?;
        let owner = if target.starts_with("app") { APP_ID } else { 0 };
        let mut path = self.root.clone();
        let mut parts = target.components().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            if path.symlink_metadata().is_ok() {
                continue;
            }
            if parts.peek().is_some() || is_folder {
                directory(&path, 0o755)?;
            } else {
                mount_point_file(&path)?;
            }
            self.give(&path, owner)?;
        }
        Ok(())
    }
}

/// An absolute path inside, as a relative one; refuses `..`, the root itself, and more.
pub(crate) fn inner_path(path: &str) -> Result<PathBuf> {
    let refuse = || HandError::Refused(format!("{path:?} is not an absolute path of plain names"));
    let relative = Path::new(path).strip_prefix("/").map_err(|_| refuse())?;
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || relative.as_os_str().is_empty() || path.contains('\0') {
        return Err(refuse());
    }
    Ok(relative.to_owned())
}

fn furnish(shop: &Workshop<'_>, upper: &Upper, spec: &DynoSpec, plan: &Plan, stack: &OwnedFd) -> Result<()> {
    upper.folder("app", APP_ID, 0o755)?;
    upper.folder("tmp", 0, 0o1777)?;
    upper.folder("etc", 0, 0o755)?;
    if spec.with_builder {
        upper.folder("out", APP_ID, 0o755)?;
        upper.folder("layers", APP_ID, 0o755)?;
    }
    // Where buildpacks look for the quota.
    for folder in ["sys", "sys/fs", "sys/fs/cgroup", "sys/fs/cgroup/memory"] {
        upper.folder(folder, 0, 0o755)?;
    }
    let quota = format!("{}\n", spec.limits.memory_bytes);
    upper.file("sys/fs/cgroup/memory/memory.limit_in_bytes", quota.as_bytes(), 0o444)?;
    let passwd = with_app(&stack_file(stack, "etc/passwd")?, "app:x:1000:1000:app:/app:/bin/bash");
    let group = with_app(&stack_file(stack, "etc/group")?, "app:x:1000:");
    let hosts = format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{} {}\n",
        plan.address, spec.id
    );
    upper.file("etc/passwd", passwd.as_bytes(), 0o644)?;
    upper.file("etc/group", group.as_bytes(), 0o644)?;
    upper.file("etc/hosts", hosts.as_bytes(), 0o644)?;
    upper.file("etc/hostname", format!("{}\n", spec.id).as_bytes(), 0o644)?;
    upper.file("etc/resolv.conf", format!("nameserver {}\n", shop.gateway).as_bytes(), 0o644)
}

/// The table with this entry and without others of that name or number.
fn with_app(table: &str, entry: &str) -> String {
    let foreign = |line: &&str| {
        let mut fields = line.split(':');
        fields.next() != Some("app") && fields.nth(1) != Some("1000")
    };
    let mut lines: Vec<&str> = table.lines().filter(foreign).collect();
    lines.push(entry);
    lines.join("\n") + "\n"
}

/// A small text of the stack; none counts as empty.
fn stack_file(stack: &OwnedFd, path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(stack, path, flags, Mode::empty()) {
        Ok(file) => io::read_to_string(io::Read::take(fs::File::from(file), PASSWD_BYTES_MAX))
            .doing("read the stack's", path),
        Err(rustix::io::Errno::NOENT) => Ok(String::new()),
        Err(error) => Err(error).doing("open the stack's", path),
    }
}

// === what the supervisor mounts inside ===

struct Binds<'a> {
    dyno: &'a DynoPaths,
    upper: &'a Upper,
    list: Vec<Bind>,
}

impl Binds<'_> {
    /// Clones `source` as a read-only mount of its own and asks for it at `target`.
    fn add(&mut self, source: impl AsFd, target: &str, is_folder: bool, owners: &OwnedFd) -> Result<()> {
        let point = self.dyno.bind(self.list.len());
        if is_folder {
            directory(&point, 0o755)?;
        } else {
            mount_point_file(&point)?;
        }
        let attributes = Attributes { read_only: true, owners: Some(owners) };
        mounts::clone_at_if_mappable(source, &point, attributes)?;
        self.push(point, target, is_folder, true)
    }

    fn push(&mut self, source: PathBuf, target: &str, is_folder: bool, read_only: bool) -> Result<()> {
        self.upper.mount_point(target, is_folder)?;
        self.list.push(Bind { source, target: target.to_owned(), read_only });
        Ok(())
    }
}

fn add_binds(
    shop: &Workshop<'_>,
    binds: &mut Binds<'_>,
    spec: &DynoSpec,
    plan: &Plan,
    stack: &Stack,
) -> Result<()> {
    let owners = shop.owners.of_range(shop.config, plan.uid_base)?;
    if stack.host_usr {
        binds.add(open_any(Path::new("/usr"))?, "/usr", true, &owners)?;
    }
    for mount in &spec.mounts {
        binds.add(&*shop.images.layer(&mount.digest)?, &mount.path, true, &owners)?;
    }
    if !spec.inputs.is_empty() {
        let exchange = open_any(&shop.config.exchange_dir)?;
        let owners = shop.owners.of_server(shop.config, plan.uid_base)?;
        for input in &spec.inputs {
            let file = open_input(&exchange, &shop.config.exchange_dir, &input.host)?;
            let is_folder = is_folder(&file)?;
            binds.add(&file, &input.path, is_folder, &owners)?;
        }
    }
    if !spec.files.is_empty() {
        spec_files(binds, spec, plan)?;
    }
    if spec.with_builder {
        binds.add(open_any(&shop.config.builder)?, "/renga/build", false, &owners)?;
    }
    if let Some(bundle) = &shop.config.ca_bundle {
        binds.add(open_any(bundle)?, &format!("/{CA_BUNDLE}"), false, &owners)?;
    }
    Ok(())
}

fn open_any(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing("open", path.display())
}

fn is_folder(file: &OwnedFd) -> Result<bool> {
    let stat = rustix::fs::fstat(file).doing("look at", "an input")?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => Ok(true),
        rustix::fs::FileType::RegularFile => Ok(false),
        _ => Err(HandError::Refused("an input must be a file or a folder".into())),
    }
}

/// Only what lies below the exchange directory, and by no link: the server chose the name.
fn open_input(exchange: &OwnedFd, exchange_dir: &Path, host: &Path) -> Result<OwnedFd> {
    let refuse = || HandError::Refused(format!("{} is not in the exchange directory", host.display()));
    let relative = host.strip_prefix(exchange_dir).map_err(|_| refuse())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(exchange, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(|error| {
        match error {
            rustix::io::Errno::NOENT => HandError::NotFound(format!("input {}", host.display())),
            rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => refuse(),
            error => {
                HandError::Io { what: "open input", object: host.display().to_string(), cause: error.into() }
            }
        }
    })
}

/// Small files on a tmpfs of their own: they hold secrets and never reach a disk.
fn spec_files(binds: &mut Binds<'_>, spec: &DynoSpec, plan: &Plan) -> Result<()> {
    let folder = binds.dyno.files();
    let owner = plan.uid_base + APP_ID;
    mounts::mount_tmpfs(&folder, SPEC_FILES_TMPFS_BYTES, SPEC_FILES_INODES, owner)?;
    for file in &spec.files {
        let inside = inner_path(&file.path)?;
        let outside = HandError::Refused(format!("{} is not below /run/renga", file.path));
        let relative = inside.strip_prefix("run/renga").map_err(|_| outside)?;
        let path = folder.join(relative);
        let write = || -> io::Result<()> {
            let mut parent = folder.clone();
            for part in relative.parent().into_iter().flat_map(Path::components) {
                parent.push(part);
                if !parent.exists() {
                    fs::create_dir(&parent)?;
                    chown(&parent, Some(owner), Some(owner))?;
                }
            }
            fs::write(&path, file.content.expose())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            chown(&path, Some(owner), Some(owner))
        };
        write().doing("write", path.display())?;
    }
    binds.push(folder, "/run/renga", true, false)
}

// === shifted owners ===

/// User namespaces that hold the shifts, made once per range.
#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<Vec<IdRange>, Arc<OwnedFd>>>);

/// Ranges remembered; each costs a descriptor.
const OWNERS_MAX: usize = 512;

impl Owners {
    /// Ids on disk are ids inside.
    fn of_range(&self, config: &Config, uid_base: u32) -> Result<Arc<OwnedFd>> {
        self.get(vec![IdRange { inside: 0, outside: uid_base, count: config.range_ids() }])
    }

    /// What the server owns on disk is the dyno user's inside.
    fn of_server(&self, config: &Config, uid_base: u32) -> Result<Arc<OwnedFd>> {
        let app = IdRange { inside: config.server_uid, outside: uid_base + APP_ID, count: 1 };
        let root = IdRange { inside: 0, outside: uid_base, count: 1 };
        self.get(if config.server_uid == 0 { vec![app] } else { vec![app, root] })
    }

    fn get(&self, ranges: Vec<IdRange>) -> Result<Arc<OwnedFd>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&ranges) {
            return Ok(Arc::clone(found));
        }
        if known.len() >= OWNERS_MAX {
            known.clear();
        }
        let made = Arc::new(idmap::namespace(&ranges).doing("make", "a user namespace")?);
        known.insert(ranges, Arc::clone(&made));
        Ok(made)
    }
}

/// Whether this machine lets root make user namespaces and shift owners at all.
pub(crate) fn can_shift() -> Result<()> {
    idmap::namespace(&[IdRange { inside: 0, outside: 100_000, count: 1 }])
        .map(drop)
        .doing("make", "a user namespace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_paths_are_absolute_and_plain() {
        assert_eq!(inner_path("/app/x").unwrap(), PathBuf::from("app/x"));
        for bad in ["app", "/", "", "/app/../etc", "/./x/..", "/a\0b"] {
            assert!(inner_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_app_user_takes_its_number() {
        let table = "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home:/bin/sh\napp:x:7:7::/:/x\n";
        assert_eq!(with_app(table, "app:x:1000:1000::/app:/bin/bash").lines().count(), 2);
    }
}

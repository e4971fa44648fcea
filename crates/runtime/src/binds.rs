//! What the supervisor is to mount inside: clones of our own making, each read-only and with the right owners, and a
//! tmpfs for the small files of the spec.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use renga_ports::DynoSpec;
use renga_supervision::Bind;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use crate::{
    config::{APP_ID, SPEC_FILES_TMPFS_BYTES},
    error::{Doing, HandError, Result},
    files::{directory, mount_point_file},
    mounts,
    paths::DynoPaths,
    plan::Plan,
    rootfs::Workshop,
    stack::Stack,
    sys::idmap::Attributes,
    upper::{Upper, inner_path},
};

const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const SPEC_FILES_INODES: u32 = 512;

pub(crate) fn bind_all(
    shop: &Workshop<'_>,
    dyno: &DynoPaths,
    upper: &Upper,
    spec: &DynoSpec,
    plan: &Plan,
    stack: &Stack,
) -> Result<Vec<Bind>> {
    let binds = &mut Binds { dyno, upper, list: Vec::new() };
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
        binds.add(open_any(bundle)?, CA_BUNDLE, false, &owners)?;
    }
    Ok(std::mem::take(&mut binds.list))
}

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

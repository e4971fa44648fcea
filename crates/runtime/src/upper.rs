//! What lies on a fresh disk before the dyno starts: its home, its `/tmp`, who it is, where names are resolved, and
//! something to mount over.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt, chown},
    },
    path::{Component, Path, PathBuf},
};

use renga_ports::DynoSpec;
use rustix::fs::{Mode, OFlags, openat};

use crate::{
    config::APP_ID,
    error::{Doing, HandError, Result},
    files::{directory, mount_point_file},
    paths::DynoPaths,
    plan::Plan,
    rootfs::Workshop,
};

const PASSWD_BYTES_MAX: u64 = 256 * 1024;

pub(crate) struct Upper {
    root: PathBuf,
    uid_base: u32,
}

impl Upper {
    pub(crate) fn make(dyno: &DynoPaths, uid_base: u32) -> Result<Self> {
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
    pub(crate) fn mount_point(&self, target: &str, is_folder: bool) -> Result<()> {
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

pub(crate) fn furnish(
    shop: &Workshop<'_>,
    upper: &Upper,
    spec: &DynoSpec,
    plan: &Plan,
    stack: &OwnedFd,
) -> Result<()> {
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

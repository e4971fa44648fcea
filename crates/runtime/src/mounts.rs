//! Mounting, cloning with other owners, and taking away.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
        mount_change, move_mount, open_tree, unmount,
    },
};

use crate::{
    error::{Doing, HandError, Result},
    sys::{
        idmap::{Attributes, set_attributes},
        loop_device::{self, LoopDevice},
    },
};

const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// A read-only EROFS image at `target`: straight from the file where the kernel can (6.12), else by a loop device.
pub(crate) fn mount_image(image: &Path, target: &Path) -> Result<()> {
    let flags = PLAIN | MountFlags::RDONLY;
    for options in [Some(c"directio"), None] {
        match mount(image, target, "erofs", flags, options) {
            Ok(()) => return Ok(()),
            // EINVAL: this kernel does not know `directio`; the others: it needs a block device.
            Err(Errno::INVAL | Errno::NOTBLK | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).doing("mount image", image.display()),
        }
    }
    mount_image_by_loop(image, target)
}

fn mount_image_by_loop(image: &Path, target: &Path) -> Result<()> {
    let device = loop_device::attach(image, true, true).doing("make a loop device for", image.display())?;
    let flags = PLAIN | MountFlags::RDONLY;
    mount(&device.path, target, "erofs", flags, None).doing("mount image", image.display())
}

/// A writable ext4 image. Its content does not outlive the machine, so nothing waits for the disk; neither does the
/// mount itself: direct I/O, which would first wait until the fresh image is written, is for later.
pub(crate) fn mount_disk(image: &Path, target: &Path) -> Result<LoopDevice> {
    let device = loop_device::attach(image, false, false).doing("make a loop device for", image.display())?;
    let options = c"noinit_itable,nobarrier";
    mount(&device.path, target, "ext4", PLAIN, options).doing("mount disk", image.display())?;
    Ok(device)
}

pub(crate) fn mount_tmpfs(target: &Path, bytes: u64, inodes: u32, owner: u32) -> Result<()> {
    let options = format!("size={bytes},nr_inodes={inodes},mode=0755,uid={owner},gid={owner}");
    let options =
        std::ffi::CString::new(options).map_err(io::Error::from).doing("mount", target.display())?;
    mount("tmpfs", target, "tmpfs", PLAIN, options.as_c_str()).doing("mount tmpfs", target.display())
}

/// Layers, lowest first, under a writable upper. The kernel keeps clones of the lowers of its own, so that those given
/// may be taken away afterwards. Every feature that stores things in other places than plain copies is off: `pack`
/// reads the upper directory by itself.
pub(crate) fn mount_overlay(lowers: &[OwnedFd], disk: &OwnedFd, target: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower: Vec<String> = lowers.iter().rev().map(path).collect();
    let options = format!(
        "lowerdir={},upperdir={disk}/upper,workdir={disk}/work,volatile,redirect_dir=off,metacopy=off,index=off",
        lower.join(":"),
        disk = path(disk)
    );
    let options =
        std::ffi::CString::new(options).map_err(io::Error::from).doing("mount", target.display())?;
    mount("overlay", target, "overlay", PLAIN, options.as_c_str()).doing("mount overlay", target.display())
}

/// A clone of a mount (or of a part of one, or of a file) as a mount of its own that is nowhere yet.
pub(crate) fn clone_tree(source: impl AsFd) -> Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(source, "", flags).doing("clone", "a mount")
}

/// Clones `source`, with other owners if `owners` is given, and puts it at `target`. Gives the mount's descriptor.
pub(crate) fn clone_at(source: impl AsFd, target: &Path, attributes: Attributes<'_>) -> Result<OwnedFd> {
    let clone = clone_tree(source)?;
    set_attributes(&clone, attributes).doing("set owners and flags of the mount", target.display())?;
    place(&clone, target)?;
    Ok(clone)
}

/// Like [`clone_at`], but keeps the owners where the file system can't show others.
pub(crate) fn clone_at_if_mappable(source: impl AsFd, target: &Path, wish: Attributes<'_>) -> Result<()> {
    let source = source.as_fd();
    match clone_at(source, target, wish) {
        Err(HandError::Io { cause, .. }) if cause.raw_os_error() == Some(libc::EINVAL) => {
            clone_at(source, target, Attributes { owners: None, ..wish }).map(drop)
        }
        other => other.map(drop),
    }
}

fn place(tree: &OwnedFd, target: &Path) -> Result<()> {
    move_mount(tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .doing("place mount", target.display())
}

/// A bind mount of a namespace file, which keeps the namespace alive.
pub(crate) fn keep_namespace(namespace: &OwnedFd, target: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    mount_bind(source, target).doing("keep the network namespace", target.display())
}

/// Takes away the topmost mount at `target`, now or as soon as nobody uses it. None there is fine.
pub(crate) fn detach(target: &Path) -> Result<()> {
    match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error).doing("unmount", target.display()),
    }
}

/// Makes `folder` a mount of its own whose changes are told to nobody. Below a shared mount, which systemd makes of the
/// root, clones of one image would be peers, and what is taken from one dyno would be taken from all; and every service
/// with a mount namespace of its own would get a copy of every dyno's mounts.
pub(crate) fn keep_to_ourselves(folder: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").doing("read", "/proc/self/mountinfo")?;
    if !mount_points(&table).any(|point| point == folder) {
        mount_bind(folder, folder).doing("make a mount of", folder.display())?;
    }
    mount_change(folder, MountPropagationFlags::PRIVATE).doing("make private", folder.display())
}

/// All mount points below `folder` in this mount namespace, oldest first.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").doing("read", "/proc/self/mountinfo")?;
    Ok(mount_points(&table).filter(|point| point.starts_with(folder) && point != folder).collect())
}

fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> + '_ {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| PathBuf::from(unescape(field)))
}

/// The kernel writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        text.push(code.map_or('\\', char::from));
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    text.push_str(rest);
    text
}

/// Takes away every mount below `folder`, newest first, and makes sure that none is left.
pub(crate) fn detach_below(folder: &Path) -> Result<()> {
    for point in below(folder)?.iter().rev() {
        detach(point)?;
    }
    match below(folder)?.first() {
        None => Ok(()),
        Some(point) => Err(HandError::Refused(format!("{} is still mounted", point.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_from_the_kernels_table() {
        let table = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                     37 35 98:0 / /a\\040b\\134c rw - tmpfs x rw\n";
        let seen: Vec<PathBuf> = mount_points(table).collect();
        assert_eq!(seen, [PathBuf::from("/mnt2"), PathBuf::from("/a b\\c")]);
    }

    /// What kernels before 6.12 need.
    #[test]
    fn real_an_image_is_mounted_by_a_loop_device_too() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let (tree, point) = (folder.path().join("tree"), folder.path().join("point"));
        let image = folder.path().join("image.erofs");
        fs::create_dir(&tree).unwrap();
        fs::create_dir(&point).unwrap();
        fs::write(tree.join("file"), "content").unwrap();
        let mut command = crate::program::command("mkfs.erofs");
        command.args(["-zlz4", "--quiet"]).arg(&image).arg(&tree);
        crate::program::run(command, "", crate::config::PROGRAM_TIMEOUT).unwrap();
        for way in [mount_image, mount_image_by_loop] {
            way(&image, &point).unwrap();
            let read = fs::read_to_string(point.join("file"));
            detach_below(folder.path()).unwrap();
            assert_eq!(read.unwrap(), "content");
        }
        let shown = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
        let busy = || {
            let mut files = fs::read_dir("/sys/block").unwrap().flatten().filter_map(shown);
            files.any(|file| file.trim() == image.to_str().unwrap())
        };
        // A mount that is detached ends when the last user is gone, which may be another process for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while busy() {
            assert!(std::time::Instant::now() < deadline, "the device does not become free");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

//! Mounts whose owners are shifted: a user namespace holds the mapping, `mount_setattr` applies it to a detached mount.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// One line of `uid_map`: ids `inside..inside + count` on disk are shown as `outside..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdRange {
    pub(crate) inside: u32,
    pub(crate) outside: u32,
    pub(crate) count: u32,
}

/// A user namespace with this mapping for users and groups. Nothing runs in it.
pub(crate) fn namespace(ranges: &[IdRange]) -> io::Result<OwnedFd> {
    let (read_end, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (read_raw, write_raw) = (read_end.as_raw_fd(), write_end.as_raw_fd());
    // SAFETY: a fork without a shared address space; the child only makes the async-signal-safe calls below
    // and never returns. It has no exit signal, so nobody's SIGCHLD handling sees it.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let mut byte = 0_u8;
        // SAFETY: both descriptors are open in this copy of the process; `byte` outlives the read. The child is there
        // until its parent kills it, or dies.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            libc::close(write_raw);
            libc::read(read_raw, (&raw mut byte).cast(), 1);
            libc::_exit(0)
        }
    }
    let opened = map_and_open(pid, ranges);
    drop(write_end);
    let mut status = 0;
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // Killed, not only let go: children of two starts at one time hold the ends of each other's pipes, and would wait for
    // each other for ever.
    // SAFETY: `status` is a valid place for the result; `pid` is our unreaped child (`__WALL`: it has no exit signal).
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &raw mut status, libc::__WALL)
    };
    opened
}

fn map_and_open(pid: i64, ranges: &[IdRange]) -> io::Result<OwnedFd> {
    let lines: String =
        ranges.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect();
    for name in ["uid_map", "gid_map"] {
        File::options().write(true).open(format!("/proc/{pid}/{name}"))?.write_all(lines.as_bytes())?;
    }
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// What a detached mount gets, beside `nosuid` and `nodev`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) read_only: bool,
    pub(crate) owners: Option<&'a OwnedFd>,
}

/// Sets the attributes of the mount that `mount` (from `open_tree` with CLONE) refers to.
pub(crate) fn set_attributes(mount: impl AsFd, attributes: Attributes<'_>) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if attributes.read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if attributes.owners.is_some() {
        set |= libc::MOUNT_ATTR_IDMAP;
    }
    let userns_fd = attributes.owners.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0));
    let order = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd };
    // SAFETY: an empty path with AT_EMPTY_PATH names the descriptor itself; `order` is a whole `mount_attr` and its
    // size is passed.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const order,
            size_of::<libc::mount_attr>(),
        )
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! A new network namespace, seen from outside.

use std::{fs::File, io, os::fd::OwnedFd, thread};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A network namespace and a netlink socket that speaks to it.
pub(crate) struct NetworkNamespace {
    pub(crate) file: OwnedFd,
    pub(crate) socket: Socket,
}

/// Made on a thread of its own, which ends at once; the namespace lives as long as something refers to it.
pub(crate) fn network(prepare: fn() -> io::Result<()>) -> io::Result<NetworkNamespace> {
    let make = move || -> io::Result<NetworkNamespace> {
        // SAFETY: only the network namespace is left, and only by this thread, which ends with this closure; no
        // descriptor table is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        prepare()?;
        let file = File::open("/proc/thread-self/ns/net")?.into();
        Ok(NetworkNamespace { file, socket: Socket::new(NETLINK_ROUTE)? })
    };
    let thread = thread::Builder::new().name("netns".into()).spawn(make)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that makes the namespace panicked")))
}

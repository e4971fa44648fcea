//! Shutting an ext4 file system down, so that its unmount does not write what nobody will read.

use std::os::fd::AsFd;

use rustix::ioctl::{Setter, ioctl, opcode};

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
/// Neither data nor journal is flushed.
const NO_LOG_FLUSH: u32 = 2;

/// Every later write to the file system fails; what was not written is lost.
pub(crate) fn shut_down(root: impl AsFd) -> rustix::io::Result<()> {
    // SAFETY: the opcode takes a pointer to a u32, which `Setter` passes.
    unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }
}

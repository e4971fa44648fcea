//! The few system calls that no crate offers safely. Nothing else in this crate is `unsafe`.

#![allow(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod credentials;
pub(crate) mod ext4;
pub(crate) mod idmap;
pub(crate) mod loop_device;
pub(crate) mod namespace;
pub(crate) mod watch;

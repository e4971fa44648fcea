//! How fast a dyno's writable disk may be written.
//!
//! The kernel writes what processes left in its cache later, by threads of its own, which use processors and the
//! machine's disk like any process but belong to no dyno: a dyno that fills its disk would slow its neighbours. The
//! disk is a block device that only this dyno has, so a limit for the device is a limit for the dyno.
//!
//! * Version 2 charges such writes to the group that wrote the pages; the limit stands in the parent of all dynos.
//! * Version 1 charges them to the root group, where the limit must stand. Writes that the app itself waits for (`fsync`,
//!   direct I/O) are charged to its own group there, and are not limited.

use std::{fs, io, path::PathBuf};

use rustix::fs::{Dev, major, minor};

use super::{Cgroups, Version};
use crate::error::{Doing, Result};

/// Major number of loop devices.
const LOOP_MAJOR: u32 = 7;
const FILE_V1: &str = "blkio.throttle.write_bps_device";

impl Cgroups {
    /// None where the machine can't limit writes: an old kernel, or a controller that is not there.
    fn write_limits(&self) -> Option<PathBuf> {
        let file = match self.version {
            Version::One => self.roots.iter().map(|root| root.join(FILE_V1)).find(|file| file.exists())?,
            Version::Two => self.roots.first()?.join(&self.parent).join("io.max"),
        };
        file.exists().then_some(file)
    }

    pub(crate) fn limit_writes(&self, device: Dev, bytes_per_s: u64) -> Result<()> {
        let value = match self.version {
            Version::One => bytes_per_s.to_string(),
            Version::Two => format!("wbps={bytes_per_s}"),
        };
        self.set_writes(device, &value)
    }

    /// The device is about to go; its number will be somebody else's.
    pub(crate) fn free_writes(&self, device: Dev) -> Result<()> {
        self.set_writes(device, if self.version == Version::One { "0" } else { "wbps=max" })
    }

    fn set_writes(&self, device: Dev, value: &str) -> Result<()> {
        let Some(file) = self.write_limits() else { return Ok(()) };
        match fs::write(&file, format!("{}:{} {value}", major(device), minor(device))) {
            // The device is gone, and its limit with it.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            written => written.doing("limit writes in", file.display()),
        }
    }

    /// Takes the limits from loop devices that hold no file (any more): their dynos ended while no node looked.
    pub(crate) fn tidy_writes(&self) -> Result<()> {
        let Some(file) = self.write_limits() else { return Ok(()) };
        let table = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.doing("read", file.display())?,
        };
        let limited = limited_loops(&table).map(|minor| rustix::fs::makedev(LOOP_MAJOR, minor));
        limited.filter(|device| !holds_file(*device)).try_for_each(|device| self.free_writes(device))
    }
}

/// Minor numbers of the loop devices in a table of limits, whose lines begin `MAJOR:MINOR `.
fn limited_loops(table: &str) -> impl Iterator<Item = u32> + '_ {
    table.lines().filter_map(|line| {
        let (major, minor) = line.split(' ').next()?.split_once(':')?;
        (major.parse() == Ok(LOOP_MAJOR)).then_some(minor.parse().ok()?)
    })
}

fn holds_file(device: Dev) -> bool {
    let path = format!("/sys/dev/block/{}:{}/loop/backing_file", major(device), minor(device));
    fs::exists(path).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loop_devices_of_a_table_are_ours() {
        let one = "7:2 134217728\n254:0 1000\n";
        assert_eq!(limited_loops(one).collect::<Vec<_>>(), [2]);
        let two = "7:10 rbps=max wbps=134217728 riops=max wiops=max\n8:0 rbps=1 wbps=max\n";
        assert_eq!(limited_loops(two).collect::<Vec<_>>(), [10]);
        assert_eq!(limited_loops("").count(), 0);
    }
}

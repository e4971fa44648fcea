//! Small files of the hand, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use renga_model::DiskUsage;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Doing, HandError, Result};

/// A JSON file of the hand or of a supervisor may be this large.
const JSON_BYTES_MAX: u64 = 1024 * 1024;

/// Replaces `path` atomically. `synced` when it must survive a power cut.
pub(crate) fn write_json(path: &Path, value: &impl Serialize, synced: bool) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::from).doing("write", path.display())?;
    let temporary = temporary_name(path);
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&temporary)?;
        file.write_all(&text)?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)?;
        if synced { sync_parent(path) } else { Ok(()) }
    };
    write().doing("write", path.display())
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.new"))
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// `None` when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing("open", path.display()),
    };
    let reader = io::Read::take(io::BufReader::new(file), JSON_BYTES_MAX);
    serde_json::from_reader(reader).map(Some).map_err(io::Error::from).doing("read", path.display())
}

/// Makes the directory if need be, and gives it exactly this mode.
pub(crate) fn directory(path: &Path, mode: u32) -> Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).doing("make directory", path.display()),
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing("set the mode of", path.display())
}

/// An empty file to mount over.
pub(crate) fn mount_point_file(path: &Path) -> Result<()> {
    File::create(path).map(drop).doing("make mount point", path.display())
}

/// Bytes free for new files, and in all, on the file system of `path`.
pub(crate) fn disk_free(path: &Path) -> Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).doing("ask for free space of", path.display())?;
    Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
}

/// Of a dyno's writable layer; none while it is not mounted.
pub(crate) fn disk_usage(disk: &Path) -> Option<DiskUsage> {
    let stat = rustix::fs::statvfs(disk).ok()?;
    Some(DiskUsage {
        total_bytes: stat.f_blocks * stat.f_frsize,
        free_bytes: stat.f_bavail * stat.f_frsize,
        files_free: stat.f_favail,
    })
}

/// `MemAvailable` of `/proc/meminfo`.
pub(crate) fn memory_available() -> Result<u64> {
    meminfo("MemAvailable:")
}

pub(crate) fn memory_total() -> Result<u64> {
    meminfo("MemTotal:")
}

fn meminfo(name: &str) -> Result<u64> {
    meminfo_bytes(name).ok_or_else(|| HandError::NotFound(format!("{name} in /proc/meminfo")))
}

/// From the kernel's account of pressure, where it keeps one: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
pub(crate) fn memory_stalled_percent() -> Option<u8> {
    stalled_percent(&fs::read_to_string("/proc/pressure/memory").ok()?)
}

fn stalled_percent(pressure: &str) -> Option<u8> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let average = some.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    average.split('.').next()?.parse().ok()
}

pub(crate) fn meminfo_bytes(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_told_where_it_is_counted() {
        let pressure = "some avg10=12.75 avg60=0.00 avg300=0.00 total=32357314\nfull avg10=0.00 avg60=0.00\n";
        assert_eq!(stalled_percent(pressure), Some(12));
        assert_eq!(stalled_percent(""), None);
    }
}

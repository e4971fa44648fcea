//! The lock on the data directory: one control process at a time. The kernel drops it with the process, however that
//! ends; the pid in the file only serves the error message.

use std::{
    fs::{self, File, TryLockError},
    io::{Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::StoreError;

/// A child that is about to become another program has the descriptors of its parent for a moment more: also those of a
/// parent that has just been killed.
const PATIENCE: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        // Not truncated: until the lock is ours, the pid in it is somebody else's.
        let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(StoreError::file("open the lock", path))?;
        match lock_patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
                return Err(StoreError::Locked { path: path.into(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(StoreError::file("write the lock", path))?;
        Ok(Self { _file: file })
    }
}

fn lock_patiently(file: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

//! Unix sockets whose paths may be longer than a socket address: bound through their directory's descriptor.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{OpenOptionsExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::Path,
};

use crate::error::SupervisorError;

/// A listening socket, 0600, of `owner`. What a crash left at the path is replaced.
pub(crate) fn listen(path: &Path, owner: Option<u32>) -> Result<UnixListener, SupervisorError> {
    let make = || -> io::Result<UnixListener> {
        let (directory, name) = path
            .parent()
            .zip(path.file_name())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let directory: File =
            OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        if let Some(owner) = owner {
            std::os::unix::fs::chown(path, Some(owner), None)?;
        }
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    make().map_err(SupervisorError::io("listen at", path.display()))
}

//! Making a layer image of what an exited dyno left, and reading a file of it.
//!
//! What lies there was written by strangers. Paths are resolved by the kernel within the writable layer and through
//! no link; the packer runs as the dyno's own unprivileged user, so that a fault in it reaches what the dyno could
//! reach anyway. The same content gives the same image: order, times, owners and the UUID are fixed.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use renga_model::LayerDigest;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use sha2::{Digest, Sha256};

use crate::{
    config::{APP_ID, LAYER_BYTES_MAX, PACK_TIMEOUT, READ_FILE_BYTES_MAX},
    error::{Doing, HandError, Result},
    paths::DynoPaths,
    program,
    sys::credentials::become_user,
    upper::inner_path,
};

/// Images differ by content alone.
pub(crate) const IMAGE_UUID: &str = "00000000-0000-4000-8000-000000000000";
const SUPERBLOCK_AT: u64 = 1024;
const SUPERBLOCK_MAGIC: [u8; 4] = 0xE0F5_E1E2_u32.to_le_bytes();
const HASH_CHUNK_BYTES: usize = 256 * 1024;

/// Makes the image at `image`; what a failure leaves there is the caller's to remove.
pub(crate) fn make_layer(
    dyno: &DynoPaths,
    uid_base: u32,
    directory: &str,
    image: &Path,
) -> Result<LayerDigest> {
    let source = resolve(dyno, directory, OFlags::PATH | OFlags::DIRECTORY)?;
    make_image(&source, image, uid_base, directory)?;
    take_over(image)
}

fn make_image(source: &OwnedFd, image: &Path, uid_base: u32, name: &str) -> Result<()> {
    let user = uid_base + APP_ID;
    let make = || {
        File::options().write(true).create_new(true).mode(0o600).open(image)?;
        chown(image, Some(user), Some(user))
    };
    make().doing("make", image.display())?;
    let mut command = program::command("mkfs.erofs");
    command.args(["-zlz4", "-T0", "-x-1", "--quiet", "-U", IMAGE_UUID]);
    command.args([format!("--force-uid={APP_ID}"), format!("--force-gid={APP_ID}")]);
    command.arg(image).arg(".");
    // The child enters the folder by the descriptor that was resolved, not by a name again.
    command.current_dir(format!("/proc/self/fd/{}", source.as_raw_fd()));
    become_user(&mut command, user, uid_base, LAYER_BYTES_MAX);
    match program::run(command, "", PACK_TIMEOUT) {
        Ok(_) => Ok(()),
        Err(HandError::Program { program, said }) => {
            Err(HandError::Program { program: format!("{program} on {name}"), said })
        }
        Err(error) => Err(error),
    }
}

/// Takes the image from the packer's user, and answers the name of its content.
fn take_over(image: &Path) -> Result<LayerDigest> {
    let file = File::options().read(true).open(image).doing("open", image.display())?;
    let own = || -> io::Result<()> {
        chown(image, Some(0), Some(0))?;
        file.set_permissions(fs::Permissions::from_mode(0o444))?;
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, SUPERBLOCK_AT)?;
        if magic != SUPERBLOCK_MAGIC {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        file.sync_all()
    };
    own().doing("take over", image.display())?;
    hash(&file).doing("read", image.display())
}

fn hash(file: &File) -> io::Result<LayerDigest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_CHUNK_BYTES];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => break,
            length => {
                hasher.update(&buffer[..length]);
                at += length as u64;
            }
        }
    }
    hex::encode(hasher.finalize()).parse().map_err(io::Error::other)
}

pub(crate) fn read_file(dyno: &DynoPaths, path: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let bytes_max = bytes_max.min(READ_FILE_BYTES_MAX);
    // Not blocking: what was a file a moment ago stays one (nothing runs), but a FIFO must not hold us.
    let file = File::from(resolve(dyno, path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let meta = file.metadata().doing("look at", path)?;
    if !meta.is_file() {
        return Err(HandError::Refused(format!("{path} is not a regular file")));
    }
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content).doing("read", path)?;
    if content.len() as u64 > bytes_max {
        return Err(HandError::Refused(format!("{path} has more than {bytes_max} bytes")));
    }
    Ok(content)
}

/// Opens what the dyno called `path`, within its writable layer and without following any link.
fn resolve(dyno: &DynoPaths, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let relative: PathBuf = inner_path(path)?;
    let upper = dyno.upper();
    let root = open(&upper, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|_| {
        HandError::NotFound(format!("{path}: the writable layer is gone, the machine has restarted since"))
    })?;
    let resolve = ResolveFlags::IN_ROOT
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let found = openat2(&root, &relative, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    found.map_err(|error| match error {
        rustix::io::Errno::NOENT => HandError::NotFound(format!("{path} in the writable layer")),
        rustix::io::Errno::LOOP => HandError::Refused(format!("{path} leads through a symbolic link")),
        rustix::io::Errno::NOTDIR => HandError::Refused(format!("{path} is not a folder")),
        error => HandError::Io { what: "open", object: path.to_owned(), cause: error.into() },
    })
}

//! The writable layer: a sparse ext4 image as large as the dyno's limit, cloned from a template.
//!
//! A tmpfs would turn a full disk into an out-of-memory kill, and project quotas need a kernel that ordinary hosts do
//! not have. Making a file system takes 50 ms, cloning one 2 ms: one template per size is kept.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{SeekFrom, fsync, ioctl_ficlone, seek};

use crate::{
    config::{DISK_BYTES_MIN, PROGRAM_TIMEOUT},
    error::{Doing, Result},
    paths::Paths,
    program,
};

/// Raised when the options below change, so that old templates are not used again.
const TEMPLATE_VERSION: u32 = 1;
const COPY_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of disk for each inode: builds make many small files.
const BYTES_PER_INODE: &str = "8192";

/// Makes sure that the template of this size is there.
pub(crate) fn template(paths: &Paths, bytes: u64) -> Result<PathBuf> {
    let bytes = bytes.max(DISK_BYTES_MIN).next_multiple_of(1024 * 1024);
    let template = paths.templates().join(format!("v{TEMPLATE_VERSION}-{bytes}.ext4"));
    if template.exists() {
        return Ok(template);
    }
    let temporary = paths.temporary().join(format!("template-{bytes}-{}", unique()));
    let made = make(&temporary, bytes);
    let placed = made
        .and_then(|()| fs::rename(&temporary, &template).doing("place disk template", template.display()));
    if placed.is_err() {
        fs::remove_file(&temporary).ok();
    }
    placed.map(|()| template)
}

/// A number that no other file of this process has had; the directory is emptied when the process starts.
pub(crate) fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn make(path: &Path, bytes: u64) -> Result<()> {
    let file = create(path)?;
    file.set_len(bytes).doing("size", path.display())?;
    let mut command = program::command("mkfs.ext4");
    command.args(["-q", "-F", "-m", "0", "-b", "4096", "-i", BYTES_PER_INODE]);
    command.args(["-O", "^has_journal,^resize_inode,^huge_file", "-E", "lazy_itable_init=1,nodiscard"]);
    command.arg(path);
    program::run(command, "", PROGRAM_TIMEOUT)?;
    fsync(&file).doing("sync", path.display())
}

fn create(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .doing("make disk image", path.display())
}

/// A copy of the template: shared blocks where the file system can, else only its data, holes left out.
pub(crate) fn clone_template(template: &Path, target: &Path) -> Result<()> {
    let source = File::open(template).doing("open disk template", template.display())?;
    let copy = create(target)?;
    if ioctl_ficlone(&copy, &source).is_ok() {
        return Ok(());
    }
    copy_sparse(&source, &copy).doing("copy disk template to", target.display())
}

fn copy_sparse(source: &File, target: &File) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut buffer = vec![0; COPY_CHUNK_BYTES];
    let mut at = 0;
    while at < length {
        let data = match seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        at = seek(source, SeekFrom::Hole(data))?;
        copy_range(source, target, data, at, &mut buffer)?;
    }
    Ok(())
}

fn copy_range(source: &File, target: &File, from: u64, to: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
        source.read_exact_at(&mut buffer[..want], at)?;
        target.write_all_at(&buffer[..want], at)?;
        at += want as u64;
    }
    Ok(())
}

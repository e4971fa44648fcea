//! The source archive becomes the build directory.
//!
//! The archive is somebody else's: every name and link in it is checked before anything is written, nothing is
//! written through a symlink, and sizes are counted while unpacking. Files, directories and links are all there is.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use renga_model::limits::SOURCE_BYTES_MAX;
use tar::{Archive, Entry, EntryType};

use crate::{BuildError, digest, files, limits::SOURCE_ENTRIES_MAX};

/// Refuses a file that is not the one that was promised: `SHA256:<64 hex>`.
pub(crate) fn verify(path: &Path, checksum: &str) -> Result<(), BuildError> {
    let wanted = match checksum.split_once(':') {
        Some((kind, hex)) if kind.eq_ignore_ascii_case("sha256") => hex.trim().to_ascii_lowercase(),
        _ => return Err(BuildError::ChecksumUnknown { checksum: checksum.to_owned() }),
    };
    let found = digest::sha256_of_file(path)?;
    if found == wanted { Ok(()) } else { Err(BuildError::ChecksumDiffers { wanted, found }) }
}

/// Unpacks the archive (plain or gzip) into `target`, which must not exist.
pub(crate) fn unpack(archive: &Path, target: &Path, strip_top_folder: bool) -> Result<(), BuildError> {
    if !strip_top_folder {
        return Unpacker::new(target)?.run(archive);
    }
    let whole = target.with_extension("whole");
    Unpacker::new(&whole)?.run(archive)?;
    match single_folder(&whole)? {
        Some(folder) => {
            files::move_tree(&folder, target)?;
            files::remove(&whole)
        }
        None => files::move_tree(&whole, target),
    }
}

pub(crate) fn single_folder(root: &Path) -> Result<Option<PathBuf>, BuildError> {
    let entries = fs::read_dir(root).map_err(|cause| files::failed("read", root, cause))?;
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).take(2).collect();
    match paths.as_slice() {
        [one] if fs::symlink_metadata(one).is_ok_and(|meta| meta.is_dir()) => Ok(Some(one.clone())),
        _ => Ok(None),
    }
}

struct Unpacker {
    root: PathBuf,
    /// Folders known to be real ones, relative to the root.
    folders: HashSet<PathBuf>,
    bytes: u64,
}

impl Unpacker {
    fn new(root: &Path) -> Result<Self, BuildError> {
        files::remove(root)?;
        files::make_dir(root)?;
        Ok(Self { root: root.to_owned(), folders: HashSet::from([PathBuf::new()]), bytes: 0 })
    }

    fn run(mut self, archive: &Path) -> Result<(), BuildError> {
        let reader = open(archive).map_err(|cause| BuildError::SourceUnreadable { cause })?;
        let mut archive = Archive::new(reader);
        let entries = archive.entries().map_err(|cause| BuildError::SourceUnreadable { cause })?;
        for (count, entry) in entries.enumerate() {
            if count >= SOURCE_ENTRIES_MAX {
                return Err(BuildError::SourceTooManyFiles { max: SOURCE_ENTRIES_MAX });
            }
            self.entry(entry.map_err(|cause| BuildError::SourceUnreadable { cause })?)?;
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), BuildError> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |why| BuildError::SourceEntry { name: shown.clone(), why };
        let path = entry.path().map_err(|_| refuse("has a name that can't be used"))?;
        let relative = inside(&path).ok_or_else(|| refuse("would lie outside of the source tree"))?;
        if relative.as_os_str().is_empty() {
            return Ok(());
        }
        match kind {
            EntryType::Directory => self.folder(&relative, &shown),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&mut entry, &relative, &shown)
            }
            EntryType::Symlink | EntryType::Link => {
                let target =
                    entry.link_name().ok().flatten().ok_or_else(|| refuse("is a link without target"))?;
                if kind == EntryType::Symlink {
                    self.symlink(&target, &relative, &shown)
                } else {
                    self.hard_link(&target, &relative, &shown)
                }
            }
            _ => Err(refuse("is neither a file nor a directory nor a link")),
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        relative: &Path,
        shown: &str,
    ) -> Result<(), BuildError> {
        let path = self.place(relative, shown)?;
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777 | 0o600;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(|cause| files::failed("write", &path, cause))?;
        let room = SOURCE_BYTES_MAX - self.bytes;
        let written = io::copy(&mut entry.by_ref().take(room + 1), &mut file)
            .map_err(|cause| BuildError::SourceUnreadable { cause })?;
        if written > room {
            return Err(BuildError::SourceTooLarge { bytes_max: SOURCE_BYTES_MAX });
        }
        self.bytes += written;
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(|cause| files::failed("write", &path, cause))
    }

    fn symlink(&mut self, target: &Path, relative: &Path, shown: &str) -> Result<(), BuildError> {
        if !link_stays(relative, target) {
            return Err(BuildError::SourceEntry {
                name: shown.to_owned(),
                why: "is a link that leads out of the source tree",
            });
        }
        let path = self.place(relative, shown)?;
        std::os::unix::fs::symlink(target, &path).map_err(|cause| files::failed("link", &path, cause))
    }

    fn hard_link(&mut self, target: &Path, relative: &Path, shown: &str) -> Result<(), BuildError> {
        let refuse = |why| BuildError::SourceEntry { name: shown.to_owned(), why };
        let inner = inside(target).ok_or_else(|| refuse("is a link that leads out of the source tree"))?;
        let existing = self.place_of_existing(&inner).ok_or_else(|| refuse("is a link to nothing"))?;
        let path = self.place(relative, shown)?;
        fs::hard_link(&existing, &path).map_err(|cause| files::failed("link", &path, cause))
    }

    /// Where `relative` may be written: all its folders are real ones, and nothing is there.
    fn place(&mut self, relative: &Path, shown: &str) -> Result<PathBuf, BuildError> {
        if let Some(parent) = relative.parent() {
            self.folder(parent, shown)?;
        }
        let path = self.root.join(relative);
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
            files::remove(&path)?;
        }
        Ok(path)
    }

    fn folder(&mut self, relative: &Path, shown: &str) -> Result<(), BuildError> {
        if self.folders.contains(relative) {
            return Ok(());
        }
        if let Some(parent) = relative.parent() {
            self.folder(parent, shown)?;
        }
        let path = self.root.join(relative);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(BuildError::SourceEntry {
                    name: shown.to_owned(),
                    why: "would be written through something that is not a directory",
                });
            }
            Err(_) => fs::create_dir(&path).map_err(|cause| files::failed("create", &path, cause))?,
        }
        self.folders.insert(relative.to_owned());
        Ok(())
    }

    /// A regular file that was unpacked before, reached through real folders only.
    fn place_of_existing(&self, relative: &Path) -> Option<PathBuf> {
        let parent = relative.parent()?;
        let path = self.root.join(relative);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        (self.folders.contains(parent) && is_file).then_some(path)
    }
}

/// The name without `.`; none if it is absolute or climbs.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Whether a symlink at `link` leads to somewhere in the tree, or to a place of the dyno that apps link to with
/// good reason: `/app` is the tree itself at run time, logs are linked to the standard streams, and a virtual
/// environment that was committed links to `/usr/bin/python3`.
fn link_stays(link: &Path, target: &Path) -> bool {
    if target.is_absolute() {
        let climbs = target.components().any(|part| part == Component::ParentDir);
        return !climbs
            && ["/app", "/tmp", "/dev", "/usr", "/bin"].iter().any(|root| target.starts_with(root));
    }
    let mut depth = link.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            _ => {}
        }
    }
    true
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let gzip = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
    file.rewind()?;
    let reader = BufReader::with_capacity(256 * 1024, file);
    Ok(if gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) })
}

#[cfg(test)]
mod tests;

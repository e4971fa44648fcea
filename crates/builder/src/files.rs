//! The file operations of a build: bounded reads, moves that never copy what they can rename, tidy removal.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::BuildError;

pub(crate) fn failed(operation: &'static str, path: &Path, cause: io::Error) -> BuildError {
    BuildError::Io { operation, path: path.to_owned(), cause }
}

/// The text of a file of at most `bytes_max`; none if there is no such file.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, BuildError> {
    Ok(read_bytes(path, bytes_max)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, BuildError> {
    if !path.is_file() {
        return Ok(None);
    }
    let file = File::open(path).map_err(|cause| failed("read", path, cause))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|cause| failed("read", path, cause))?;
    if bytes.len() as u64 > bytes_max {
        return Err(BuildError::FileTooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(Some(bytes))
}

pub(crate) fn make_dir(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|cause| failed("create", path, cause))
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), BuildError> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    fs::write(path, content).map_err(|cause| failed("write", path, cause))
}

/// Makes the symlink `link` -> `target`, replacing whatever is at `link`.
pub(crate) fn link(target: &Path, link: &Path) -> Result<(), BuildError> {
    if let Some(parent) = link.parent() {
        make_dir(parent)?;
    }
    remove(link)?;
    symlink(target, link).map_err(|cause| failed("link", link, cause))
}

/// Removes a file, a symlink or a whole directory; nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), BuildError> {
    let outcome = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    outcome.map_err(|cause| failed("remove", path, cause))
}

/// Empties a directory and keeps it; a path that is none is left alone.
pub(crate) fn empty_dir(path: &Path) -> Result<(), BuildError> {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|cause| failed("read", path, cause))? {
        remove(&entry.map_err(|cause| failed("read", path, cause))?.path())?;
    }
    Ok(())
}

/// Moves a tree to a place that does not exist or is a directory to be merged into. A rename where that works; on an
/// overlay a directory that lies (also) in a lower layer cannot be renamed, so its files are moved one by one.
pub(crate) fn move_tree(from: &Path, to: &Path) -> Result<(), BuildError> {
    let meta = fs::symlink_metadata(from).map_err(|cause| failed("read", from, cause))?;
    if let Some(parent) = to.parent() {
        make_dir(parent)?;
    }
    let merging = meta.is_dir() && fs::symlink_metadata(to).is_ok_and(|there| there.is_dir());
    if !merging {
        match fs::rename(from, to) {
            Ok(()) => return Ok(()),
            Err(cause) if cause.kind() != io::ErrorKind::CrossesDevices => {
                return Err(failed("move", from, cause));
            }
            Err(_) => {}
        }
    }
    if !meta.is_dir() {
        return copy_entry(from, to, &meta).and_then(|()| remove(from));
    }
    make_dir(to)?;
    fs::set_permissions(to, meta.permissions()).map_err(|cause| failed("write", to, cause))?;
    for entry in fs::read_dir(from).map_err(|cause| failed("read", from, cause))? {
        let entry = entry.map_err(|cause| failed("read", from, cause))?;
        move_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::remove_dir(from).map_err(|cause| failed("remove", from, cause))
}

/// Copies a tree, symlinks as symlinks.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), BuildError> {
    let meta = fs::symlink_metadata(from).map_err(|cause| failed("read", from, cause))?;
    if !meta.is_dir() {
        return copy_entry(from, to, &meta);
    }
    make_dir(to)?;
    for entry in fs::read_dir(from).map_err(|cause| failed("read", from, cause))? {
        let entry = entry.map_err(|cause| failed("read", from, cause))?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy_entry(from: &Path, to: &Path, meta: &fs::Metadata) -> Result<(), BuildError> {
    if meta.is_symlink() {
        let target = fs::read_link(from).map_err(|cause| failed("read", from, cause))?;
        return link(&target, to);
    }
    if !meta.is_file() {
        return Ok(()); // sockets and pipes have no place in a slug
    }
    fs::copy(from, to).map(drop).map_err(|cause| failed("copy", from, cause))
}

/// Calls `visit` for everything below `root` (directories before their content), never following symlinks. A
/// directory for which `visit` says false is not entered.
pub(crate) fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Result<bool, BuildError>,
) -> Result<(), BuildError> {
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).map_err(|cause| failed("read", &folder, cause))? {
            let entry = entry.map_err(|cause| failed("read", &folder, cause))?;
            let path = entry.path();
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if visit(&path, &meta)? && meta.is_dir() {
                pending.push(path);
            }
        }
    }
    Ok(())
}

/// Bytes of all regular files of a tree.
pub(crate) fn tree_bytes(root: &Path) -> Result<u64, BuildError> {
    let mut bytes = 0;
    walk(root, &mut |_, meta| {
        bytes += if meta.is_file() { meta.len() } else { 0 };
        Ok(true)
    })?;
    Ok(bytes)
}

pub(crate) fn make_executable(path: &Path) -> Result<(), BuildError> {
    let meta = fs::metadata(path).map_err(|cause| failed("read", path, cause))?;
    let mode = meta.permissions().mode() | 0o755;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|cause| failed("write", path, cause))
}

/// A directory that is removed when its owner is done, also on failure.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Made with mode 0700 in the first of `parents` that can be written.
    pub(crate) fn private(parents: &[PathBuf], name: &str) -> Result<Self, BuildError> {
        let mut last = BuildError::NoPrivateDirectory;
        for parent in parents {
            let path = parent.join(name);
            match remove(&path).and_then(|()| make_private(&path)) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn make_private(path: &Path) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|cause| failed("create", path, cause))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_merges_into_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        write(&from.join("a/one"), "1").unwrap();
        link(Path::new("one"), &from.join("a/link")).unwrap();
        write(&to.join("a/two"), "2").unwrap();
        move_tree(&from, &to).unwrap();
        assert!(!from.exists());
        assert_eq!(fs::read_to_string(to.join("a/link")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("a/two")).unwrap(), "2");
    }

    #[test]
    fn a_private_directory_goes_with_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let parents = [root.path().join("missing"), root.path().to_owned()];
        let private = Temporary::private(&parents, "env").unwrap();
        let path = private.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(private);
        assert!(!path.exists());
    }
}

//! Certificates as files, `directory/certificates/<name>.json`, for a start without the server.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    time::SystemTime,
};

use super::Issued;

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) directory: PathBuf,
    pub(super) files_max: usize,
}

impl Disk {
    /// A name of the file; names that are no host names have none.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*');
        let fits = !name.is_empty() && name.len() <= 253 && !name.starts_with('.') && name.bytes().all(legal);
        fits.then(|| self.directory.join(format!("{name}.json")))
    }

    pub(super) fn read(&self, name: &str) -> Option<Issued> {
        let bytes = fs::read(self.path(name)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Replaces the file whole; the oldest goes when there are too many.
    pub(super) fn write(&self, name: &str, issued: &Issued) -> io::Result<()> {
        let Some(path) = self.path(name) else { return Ok(()) };
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&self.directory)?;
        self.make_room()?;
        // A predecessor that ends its last requests may write, too.
        let draft = self.directory.join(format!(".draft-{}", std::process::id()));
        remove(&draft)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        serde_json::to_writer(&file, issued)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    }

    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
        files.sort();
        let surplus = (files.len() + 1).saturating_sub(self.files_max);
        files.iter().take(surplus).try_for_each(|(_, path)| remove(path))
    }
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use renga_model::Secret;

    #[test]
    fn files_are_bounded_and_named_by_hosts_only() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk { directory: root.path().join("certificates"), files_max: 2 };
        let issued = Issued { chain_pem: "c".into(), key_pem: Secret::new("k") };
        for name in ["a.example", "b.example", "c.example"] {
            disk.write(name, &issued).unwrap();
        }
        assert_eq!(fs::read_dir(&disk.directory).unwrap().count(), 2);
        assert_eq!(disk.read("c.example").unwrap().chain_pem, "c");
        for bad in ["../x", "", ".draft", "a/b"] {
            assert!(disk.path(bad).is_none(), "{bad}");
        }
    }
}

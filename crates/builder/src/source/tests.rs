use std::io::Write;

use super::*;

struct Case {
    folder: tempfile::TempDir,
    tar: tar::Builder<Vec<u8>>,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), tar: tar::Builder::new(Vec::new()) }
    }

    fn raw(mut self, name: &str, kind: EntryType, link: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.raw(name, EntryType::Regular, "", content.as_bytes())
    }

    fn unpack(self, strip: bool) -> (tempfile::TempDir, Result<PathBuf, BuildError>) {
        let archive = self.folder.path().join("source.tar");
        fs::write(&archive, self.tar.into_inner().unwrap()).unwrap();
        let target = self.folder.path().join("build");
        let outcome = unpack(&archive, &target, strip).map(|()| target);
        (self.folder, outcome)
    }
}

#[test]
fn files_folders_and_links_arrive() {
    let case = Case::new()
        .file("./bin/run", "#!/bin/sh\n")
        .raw("empty/", EntryType::Directory, "", b"")
        .raw("link", EntryType::Symlink, "bin/run", b"")
        .raw("venv/bin/python3", EntryType::Symlink, "/usr/bin/python3", b"")
        .raw("twin", EntryType::Link, "bin/run", b"");
    let (_folder, outcome) = case.unpack(false);
    let root = outcome.unwrap();
    assert_eq!(fs::read_to_string(root.join("link")).unwrap(), "#!/bin/sh\n");
    assert_eq!(fs::read_to_string(root.join("twin")).unwrap(), "#!/bin/sh\n");
    assert!(root.join("empty").is_dir());
    assert_eq!(fs::metadata(root.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_single_top_folder_is_stripped_only_if_asked() {
    let (_folder, outcome) = Case::new().file("app-1/Procfile", "web: x").unpack(true);
    assert!(outcome.unwrap().join("Procfile").is_file());
    let (_folder, outcome) = Case::new().file("app-1/Procfile", "web: x").unpack(false);
    assert!(outcome.unwrap().join("app-1/Procfile").is_file());
    let (_folder, outcome) = Case::new().file("a/x", "").file("b/y", "").unpack(true);
    assert!(outcome.unwrap().join("a/x").is_file());
}

#[test]
fn whatever_leads_out_of_the_tree_is_refused() {
    let dev = EntryType::Char;
    for (name, kind, link) in [
        ("../evil", EntryType::Regular, ""),
        ("a/../../evil", EntryType::Regular, ""),
        ("/etc/evil", EntryType::Regular, ""),
        ("link", EntryType::Symlink, "/etc/passwd"),
        ("link", EntryType::Symlink, "/app/../etc/passwd"),
        ("a/link", EntryType::Symlink, "../../etc"),
        ("link", EntryType::Symlink, "/run/renga/build.json"),
        ("link", EntryType::Symlink, "/usr/../run/renga/build.json"),
        ("twin", EntryType::Link, "/etc/passwd"),
        ("twin", EntryType::Link, "../x"),
        ("null", dev, ""),
        ("pipe", EntryType::Fifo, ""),
    ] {
        let (folder, outcome) = Case::new().raw(name, kind, link, b"").unpack(false);
        assert!(matches!(outcome, Err(BuildError::SourceEntry { .. })), "{name} -> {link}");
        assert!(!folder.path().join("evil").exists());
    }
}

#[test]
fn nothing_is_written_through_a_symlink() {
    let case = Case::new()
        .raw("real/", EntryType::Directory, "", b"")
        .raw("alias", EntryType::Symlink, "real", b"")
        .file("alias/x", "through");
    let (folder, outcome) = case.unpack(false);
    assert!(matches!(outcome, Err(BuildError::SourceEntry { .. })));
    assert!(!folder.path().join("build/real/x").exists());
}

#[test]
fn a_later_entry_replaces_a_link_instead_of_following_it() {
    let case = Case::new().file("a", "one").raw("b", EntryType::Symlink, "a", b"").file("b", "two");
    let (_folder, outcome) = case.unpack(false);
    let root = outcome.unwrap();
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "one");
    assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "two");
}

#[test]
fn gzip_is_recognised_and_garbage_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("x.tgz");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "Procfile", &b"hi"[..]).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    fs::write(&archive, gzip.finish().unwrap()).unwrap();
    unpack(&archive, &folder.path().join("out"), false).unwrap();
    assert!(folder.path().join("out/Procfile").is_file());

    fs::write(&archive, b"this is no archive at all, not even nearly one").unwrap();
    let outcome = unpack(&archive, &folder.path().join("out2"), false);
    assert!(matches!(outcome, Err(BuildError::SourceUnreadable { .. })));
}

#[test]
fn the_checksum_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "abc").unwrap();
    let right = "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    verify(&path, right).unwrap();
    assert!(matches!(verify(&path, "SHA256:00"), Err(BuildError::ChecksumDiffers { .. })));
    assert!(matches!(verify(&path, "MD5:00"), Err(BuildError::ChecksumUnknown { .. })));
}

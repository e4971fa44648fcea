//! Stacks: the root file systems below the layers.
//!
//! A stack from the configuration is an EROFS image. The stack `host` is a small image of links and chosen parts of
//! the machine's `/etc`, over which the machine's own `/usr` is laid, read-only; it needs no download. (A bind mount
//! and not a layer: overlays do not see into mounts below their lowers.)

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::Mutex,
};

use renga_model::StackName;
use sha2::{Digest, Sha256};

use crate::{
    config::{Config, PROGRAM_TIMEOUT},
    disk::unique,
    error::{Doing, HandError, Result},
    paths::Paths,
    program,
};

#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) image: PathBuf,
    /// Names this very content of the image among all mounted ones.
    pub(crate) key: String,
    /// Whether the machine's `/usr` is laid over it.
    pub(crate) host_usr: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Stacks {
    /// The host's image, once per process: what the machine's `/etc` says may have changed before.
    host: Mutex<Option<Stack>>,
}

const HOST: &str = "host";
/// Folders and links of the host stack's root; the links exist only where the machine has them.
const FOLDERS: [&str; 16] = [
    "app", "dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var",
    "var/tmp", "var/lib",
];
const LINKS: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];
/// What programs of `/usr` read and what holds nothing private.
const ETC: [&str; 23] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "perl",
    "profile",
    "protocols",
    "python3",
    "services",
    "ssl/certs",
    "timezone",
];
/// Entries copied from `/etc`, at most.
const ETC_ENTRIES_MAX: usize = 20_000;

impl Stacks {
    pub(crate) fn find(&self, config: &Config, paths: &Paths, name: &StackName) -> Result<Stack> {
        if let Some((_, image)) = config.stacks.iter().find(|(known, _)| known == name) {
            let meta = fs::metadata(image).doing("find stack image", image.display())?;
            let print = format!("{}:{}:{}:{}", meta.dev(), meta.ino(), meta.size(), meta.mtime_nsec());
            let key = format!("stack-{name}-{}", short_hash(print.as_bytes()));
            return Ok(Stack { image: image.clone(), key, host_usr: false });
        }
        if name.as_str() != HOST {
            return Err(HandError::Refused(format!("there is no stack {name} on this machine")));
        }
        let mut host = self.host.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(stack) = &*host {
            return Ok(stack.clone());
        }
        let made = make_host(paths)?;
        *host = Some(made.clone());
        Ok(made)
    }
}

fn short_hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

fn make_host(paths: &Paths) -> Result<Stack> {
    let number = unique();
    let tree = paths.temporary().join(format!("host-{number}"));
    let image = paths.temporary().join(format!("host-{number}.erofs"));
    let made = host_tree(&tree).doing("make the host stack in", tree.display()).and_then(|()| {
        let mut command = program::command("mkfs.erofs");
        command.args(["-zlz4", "-T0", "-x-1", "--all-root", "--quiet"]);
        command.args(["-U", crate::pack::IMAGE_UUID]).arg(&image).arg(&tree);
        program::run(command, "", PROGRAM_TIMEOUT)
    });
    let placed = made.and_then(|_| {
        let content = fs::read(&image).doing("read", image.display())?;
        let key = format!("stack-{HOST}-{}", short_hash(&content));
        let target = paths.stacks().join(format!("{key}.erofs"));
        fs::rename(&image, &target).doing("place stack image", target.display())?;
        Ok(Stack { image: target, key, host_usr: true })
    });
    // Both lie in the directory that every start empties.
    fs::remove_dir_all(&tree).ok();
    fs::remove_file(&image).ok();
    placed
}

fn host_tree(tree: &Path) -> io::Result<()> {
    fs::create_dir(tree)?;
    for name in FOLDERS {
        fs::create_dir(tree.join(name))?;
    }
    for name in ["tmp", "var/tmp"] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o1777))?;
    }
    symlink("../run", tree.join("var/run"))?;
    for name in LINKS {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            symlink(target, tree.join(name))?;
        }
    }
    let mut left = ETC_ENTRIES_MAX;
    for name in ETC {
        let target = tree.join("etc").join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        copy(&Path::new("/etc").join(name), &target, &mut left)?;
    }
    let passwd =
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    fs::write(tree.join("etc/passwd"), passwd)?;
    fs::write(tree.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")
}

/// Files, folders and links that anybody may read; what is missing or private is left out.
fn copy(source: &Path, target: &Path, left: &mut usize) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(source) else { return Ok(()) };
    *left = left.checked_sub(1).ok_or_else(|| io::Error::other("/etc has too many entries"))?;
    if meta.is_symlink() {
        return symlink(fs::read_link(source)?, target);
    }
    if meta.mode() & 0o004 == 0 {
        return Ok(());
    }
    if meta.is_file() {
        return fs::copy(source, target).map(drop);
    }
    if !meta.is_dir() {
        return Ok(());
    }
    fs::create_dir(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        copy(&entry.path(), &target.join(entry.file_name()), left)?;
    }
    Ok(())
}

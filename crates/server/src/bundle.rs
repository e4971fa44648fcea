//! The programs that `renga` carries: the dyno supervisor and the builder. Each runs from a copy named by its content,
//! so that a supervisor outlives an upgrade of everything else.

use std::{
    fs::{self, File},
    io::{self, Read, Seek as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A program inside this one, and the digest of its content.
struct Carried {
    digest: &'static str,
    content: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

pub(crate) struct Programs {
    pub(crate) supervisor: PathBuf,
    pub(crate) builder: PathBuf,
}

/// Writes the copies below `directory` unless they are there, and tells where they are.
pub(crate) fn unpack(directory: &Path) -> Result<Programs> {
    Ok(Programs {
        supervisor: unpack_one(directory, "renga-dyno", DYNO)?,
        builder: unpack_one(directory, "renga-build", BUILD)?,
    })
}

fn unpack_one(directory: &Path, name: &str, carried: Option<Carried>) -> Result<PathBuf> {
    let (digest, mut content): (String, Box<dyn Read>) = match carried {
        Some(Carried { digest, content }) => (digest.to_owned(), Box::new(content)),
        None => beside_us(name)?,
    };
    let home = directory.join(digest);
    let file = home.join(name);
    if file.exists() {
        return Ok(file);
    }
    fs::create_dir_all(&home).with_context(|| format!("could not make {}", home.display()))?;
    let fresh = home.join(format!(".{name}.new"));
    let mut out = File::create(&fresh).with_context(|| format!("could not write {}", fresh.display()))?;
    io::copy(&mut content, &mut out).with_context(|| format!("could not write {}", fresh.display()))?;
    out.set_permissions(fs::Permissions::from_mode(0o755))?;
    out.sync_all()?;
    drop(out);
    fs::rename(&fresh, &file).with_context(|| format!("could not put {} in place", file.display()))?;
    Ok(file)
}

/// A development build: the programs lie where cargo left them.
fn beside_us(name: &str) -> Result<(String, Box<dyn Read>)> {
    let us = std::env::current_exe().context("could not find this program")?;
    let path = us.with_file_name(name);
    let mut file = File::open(&path).with_context(|| {
        format!("{} is missing; build with `cargo xtask build`, which puts it into renga", path.display())
    })?;
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest).with_context(|| format!("could not read {}", path.display()))?;
    file.rewind()?;
    Ok((hex(&digest.finalize()), Box::new(file)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! What a backup looks like: a tar archive, compressed with zstd.
//!
//! ```text
//! renga-backup.json            first: format, versions, when and where
//! ledger/ledger.db             secrets/NAME              outputs/NAME/FILE
//! git/APP.json, git/APP.bundle layers/DIGEST.erofs
//! manifest.json                last: path, size and SHA-256 of every other member
//! ```
//!
//! A file that ends early has no manifest. Member names are parsed, never joined to a path as they come.

use std::io::{self, Read, Write};

use renga_model::{AppId, LayerDigest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Raised when an older build could not read what a newer one writes.
pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER: &str = "renga-backup.json";
pub(super) const MANIFEST: &str = "manifest.json";
/// Header, pointers of a repository, a secret.
pub(super) const SMALL_BYTES_MAX: u64 = 16 * 1024 * 1024;
pub(super) const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;
pub(super) const MEMBERS_MAX: usize = 1_000_000;
const NAME_BYTES_MAX: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: u32,
    pub(super) renga_version: String,
    /// Migrations that the ledger has seen.
    pub(super) ledger_schema: usize,
    /// Of the instance that it was taken from; the one that it is restored to gets an identity of its own.
    pub(super) instance: String,
    pub(super) taken_at: jiff::Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// What a member is, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Ledger,
    Secret(String),
    Output { name: String, file: String },
    Pointers(AppId),
    Bundle(AppId),
    Layer(LayerDigest),
}

impl Kind {
    /// None for what no build of this format writes.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (folder, name) = path.split_once('/')?;
        match folder {
            "ledger" if name == "ledger.db" => Some(Self::Ledger),
            "secrets" => plain(name).map(Self::Secret),
            "outputs" => {
                let (name, file) = name.split_once('/')?;
                Some(Self::Output { name: plain(name)?, file: plain(file)? })
            }
            "git" => match name.split_once('.')? {
                (app, "json") => app.parse().ok().map(Self::Pointers),
                (app, "bundle") => app.parse().ok().map(Self::Bundle),
                _ => None,
            },
            "layers" => name.strip_suffix(".erofs")?.parse().ok().map(Self::Layer),
            _ => None,
        }
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Ledger => "ledger/ledger.db".into(),
            Self::Secret(name) => format!("secrets/{name}"),
            Self::Output { name, file } => format!("outputs/{name}/{file}"),
            Self::Pointers(app) => format!("git/{app}.json"),
            Self::Bundle(app) => format!("git/{app}.bundle"),
            Self::Layer(digest) => format!("layers/{digest}.erofs"),
        }
    }
}

/// A file name that can't lead anywhere else.
pub(super) fn plain(name: &str) -> Option<String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let fits =
        (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.');
    fits.then(|| name.to_owned())
}

/// Counts and digests what passes through.
pub(super) struct Digesting<T> {
    pub(super) inner: T,
    hash: Sha256,
    pub(super) bytes: u64,
}

impl<T> Digesting<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    pub(super) fn member(self, path: String) -> Member {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Member { path, bytes: self.bytes, sha256 }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let put = self.inner.write(buffer)?;
        self.hash.update(&buffer[..put]);
        self.bytes += put as u64;
        Ok(put)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_leads_out() {
        let app = "01234567-89ab-cdef-0123-456789abcdef";
        for path in [
            "ledger/ledger.db".to_owned(),
            "secrets/master.key".into(),
            format!("outputs/{app}/00000000000000000001.log"),
            format!("git/{app}.json"),
            format!("git/{app}.bundle"),
            format!("layers/{}.erofs", "a".repeat(64)),
        ] {
            assert_eq!(Kind::parse(&path).map(|kind| kind.path()), Some(path));
        }
        for bad in [
            "secrets/../../etc/passwd",
            "secrets/.hidden",
            "secrets/a/b",
            "ledger/other.db",
            "git/x.bundle",
            "layers/abc.erofs",
            "outputs/a",
            "/etc/passwd",
            "etc/passwd",
            "",
        ] {
            assert_eq!(Kind::parse(bad), None, "{bad}");
        }
    }
}

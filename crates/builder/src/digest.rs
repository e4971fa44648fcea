//! Hashes: of the source, and the keys of layers.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::{BuildError, files};

pub(crate) fn sha256_of_file(path: &Path) -> Result<String, BuildError> {
    let mut file = File::open(path).map_err(|cause| files::failed("read", path, cause))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(files::failed("read", path, cause)),
        }
    }
}

/// The key of a layer: a readable head, and a hash of everything that its content depends on.
pub(crate) struct LayerKey {
    head: String,
    hash: Sha256,
}

impl LayerKey {
    pub(crate) fn new(head: impl Into<String>) -> Self {
        Self { head: head.into(), hash: Sha256::new() }
    }

    /// Adds a part; label and length keep neighbouring parts apart.
    pub(crate) fn with(mut self, label: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [label.as_bytes(), value.as_ref()] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
        self
    }

    pub(crate) fn finish(self) -> String {
        format!("{}-{}", self.head, &hex::encode(self.hash.finalize())[..32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        let one = LayerKey::new("k").with("a", "bc").with("d", "").finish();
        let two = LayerKey::new("k").with("ab", "c").with("d", "").finish();
        assert_ne!(one, two);
        assert!(one.starts_with("k-") && one.len() == 34);
    }
}

//! Keys, hashes and sealed values.
//!
//! * The **master key** (32 random bytes in a file of mode 0600) seals single columns with XChaCha20-Poly1305. The
//!   column's name and the row's id are authenticated with the value, so that a sealed value which is moved to
//!   another row or column does not open. Layout: one byte of format (1), 24 bytes of nonce, ciphertext with tag.
//! * Of **tokens** and upload secrets only a SHA-256 is kept. They are long random values, so a fast hash is right.
//! * **Passwords** are chosen by people and get argon2id. That takes tens of milliseconds: never on the writer thread.

use std::{
    fmt, fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::{CryptoRng, RngCore};
use renga_model::Secret;
use sha2::{Digest, Sha256};

use crate::StoreError;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
const TOKEN_BYTES: usize = 32;
/// First byte of a sealed value; another cipher would get another number.
const SEAL_FORMAT: u8 = 1;

const TOKEN_PREFIX: &str = "HRKU-";
/// Characters of a token's random part that its mask shows at each end.
const MASK_SHOWN: usize = 2;
const MASK: &str = "**********";

// === master key ===

#[derive(Clone)]
pub struct MasterKey([u8; KEY_BYTES]);

impl MasterKey {
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads the key, or makes one where no file is. A file that others may read, or of another length, is refused.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        match Self::load(path) {
            Err(StoreError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                create_key(path)?;
                Self::load(path)
            }
            other => other,
        }
    }

    fn load(path: &Path) -> Result<Self, StoreError> {
        let bad = |problem| StoreError::BadKey { path: path.into(), problem };
        let mode = fs::metadata(path).map_err(StoreError::file("look at the master key", path))?.mode();
        if mode & 0o077 != 0 {
            return Err(bad("may be read by others (its mode must be 0600)"));
        }
        let bytes = fs::read(path).map_err(StoreError::file("read the master key", path))?;
        Ok(Self(bytes.try_into().map_err(|_| bad("must hold 32 bytes"))?))
    }

    /// `what` is `table.column`, `row` the row's id.
    pub(crate) fn seal(&self, what: &'static str, row: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = associated(what, row);
        let sealed = XChaCha20Poly1305::new(&self.0.into())
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: &aad })
            .expect("only a plain text beyond 256 GiB fails");
        [&[SEAL_FORMAT], nonce.as_slice(), &sealed].concat()
    }

    pub(crate) fn open(&self, what: &'static str, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let refuse = StoreError::Unsealable { what };
        let Some((&SEAL_FORMAT, rest)) = sealed.split_first() else { return Err(refuse) };
        let Some((nonce, sealed)) = rest.split_at_checked(NONCE_BYTES) else { return Err(refuse) };
        let aad = associated(what, row);
        XChaCha20Poly1305::new(&self.0.into())
            .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| refuse)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(master key)")
    }
}

fn associated(what: &str, row: &[u8]) -> Vec<u8> {
    [what.as_bytes(), &[0], row].concat()
}

/// The key is on the disk, whole, before it has its name; of two processes that make one, the second finds the first's.
fn create_key(path: &Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::file("make the master key", path)(cause);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut bytes = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let draft = folder.join(format!("draft-{}", uuid::Uuid::new_v4()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    drop(fs::remove_file(&draft));
    written.and_then(|()| fs::File::open(folder)?.sync_all()).map_err(failed)
}

// === tokens and other long random values ===

/// SHA-256 of a value that is itself long and random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ValueHash([u8; 32]);

impl ValueHash {
    pub fn of(value: &str) -> Self {
        Self(Sha256::digest(value.as_bytes()).into())
    }
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// An API token in full, as its owner sees it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenValue(Secret);

impl TokenValue {
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        rng.fill_bytes(&mut bytes);
        Self(Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }
    pub fn secret(&self) -> &Secret {
        &self.0
    }
    pub fn hash(&self) -> ValueHash {
        ValueHash::of(self.0.expose())
    }
    /// `HRKU-ab**********yz`.
    pub fn mask(&self) -> String {
        let text = self.0.expose();
        let (head, tail) = (&text[..TOKEN_PREFIX.len() + MASK_SHOWN], &text[text.len() - MASK_SHOWN..]);
        format!("{head}{MASK}{tail}")
    }
}

// === passwords ===

/// argon2id in PHC notation (`$argon2id$v=19$...`), with its salt and cost inside.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes tens of milliseconds and 19 MiB: call it on a blocking thread.
    pub fn new(password: &Secret) -> Result<Self, StoreError> {
        let failed = |error: argon2::password_hash::Error| StoreError::Password { detail: error.to_string() };
        let mut salt = [0; SALT_BYTES];
        rand::rng().fill_bytes(&mut salt);
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt).map_err(failed)?;
        Ok(Self(hash.to_string()))
    }

    /// As slow as [`PasswordHash::new`]. A hash that cannot be read fits no password.
    pub fn verify(&self, password: &Secret) -> bool {
        argon2::PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
    }

    pub(crate) fn from_text(text: String) -> Self {
        Self(text)
    }
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password hash)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_sealed_value_opens_only_where_it_belongs() {
        let key = MasterKey::from_bytes([7; KEY_BYTES]);
        let sealed = key.seal("release.sealed_config", b"row", b"hunter2");
        assert_eq!(key.open("release.sealed_config", b"row", &sealed).unwrap(), b"hunter2");
        assert_ne!(sealed, key.seal("release.sealed_config", b"row", b"hunter2"), "a fresh nonce each time");
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));

        let refused = |what, row: &[u8], sealed: &[u8]| {
            assert!(matches!(key.open(what, row, sealed), Err(StoreError::Unsealable { .. })));
        };
        refused("release.sealed_config", b"other row", &sealed);
        refused("dyno.sealed_env", b"row", &sealed);
        for cut in [0, 1, 10, 25, sealed.len() - 1] {
            refused("release.sealed_config", b"row", &sealed[..cut]);
        }
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            refused("release.sealed_config", b"row", &damaged);
        }
        let other = MasterKey::from_bytes([8; KEY_BYTES]);
        assert!(other.open("release.sealed_config", b"row", &sealed).is_err());
    }

    #[test]
    fn the_master_key_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load_or_create(&path).unwrap().0, made.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft remains");
        assert_eq!(format!("{made:?}"), "(master key)");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(MasterKey::load_or_create(&path).unwrap_err().to_string().contains("may be read by others"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(MasterKey::load_or_create(&path).unwrap_err().to_string().contains("must hold 32 bytes"));
        assert_eq!(fs::read(&path).unwrap(), b"short", "a bad key is never replaced");
    }

    #[test]
    fn many_that_make_the_key_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| MasterKey::load_or_create(&path).unwrap().0)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_token_shows_only_its_ends() {
        let mut rng = StdRng::seed_from_u64(1);
        let (token, other) = (TokenValue::generate(&mut rng), TokenValue::generate(&mut rng));
        let text = token.secret().expose();
        assert!(text.starts_with("HRKU-") && text.len() == 48, "{text}");
        assert_eq!(token.mask(), format!("{}**********{}", &text[..7], &text[46..]));
        assert_eq!(token.hash(), ValueHash::of(text));
        assert_ne!(token.hash(), other.hash());
        assert_eq!(format!("{token:?}"), "TokenValue((secret))");
    }

    #[test]
    fn passwords_fit_only_themselves() {
        let hash = PasswordHash::new(&Secret::new("correct horse")).unwrap();
        assert!(hash.text().starts_with("$argon2id$"));
        assert!(hash.verify(&Secret::new("correct horse")));
        assert!(!hash.verify(&Secret::new("correct horsf")));
        assert!(!PasswordHash::from_text(String::new()).verify(&Secret::new("")));
    }
}

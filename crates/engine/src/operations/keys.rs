//! Public keys of accounts. They are kept and shown, as clients expect; git comes over HTTP, so nothing listens for them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use renga_model::{Account, AccountId, KeyId, Refusal, SshKey};

use crate::Engine;

/// Keys of an account, and bytes of one (ours; an RSA key of 16,384 bits has 2,800).
const KEYS_PER_ACCOUNT_MAX: usize = 100;
const KEY_BYTES_MAX: usize = 8 * 1024;
/// Kinds that OpenSSH writes.
const KINDS: [&str; 7] = [
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A line of an `id_*.pub` file, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct PublicKey<'a> {
    kind: &'a str,
    base64: &'a str,
    comment: Option<String>,
    fingerprint: String,
}

impl Engine {
    pub async fn key_create(&self, account: &Account, text: &str) -> Result<SshKey, Refusal> {
        let parsed = PublicKey::parse(text)?;
        // Clients find a key by its comment, and expect three words.
        let comment = parsed.comment.unwrap_or_else(|| account.email.clone());
        let key = SshKey {
            id: KeyId::random(),
            account: account.id,
            public_key: format!("{} {} {comment}", parsed.kind, parsed.base64),
            comment,
            fingerprint: parsed.fingerprint,
            created_at: self.now(),
        };
        let insert = self.store.write(move |tx| -> Result<SshKey, Refusal> {
            if tx.key_list(key.account)?.len() >= KEYS_PER_ACCOUNT_MAX {
                return Err(Refusal::invalid(format!(
                    "An account may have at most {KEYS_PER_ACCOUNT_MAX} keys. Remove some of them first."
                )));
            }
            tx.key_insert(&key)?;
            Ok(key)
        });
        insert.await
    }

    pub async fn key_list(&self, account: AccountId) -> Result<Vec<SshKey>, Refusal> {
        self.store.read(move |read| read.key_list(account).map_err(Refusal::from)).await
    }

    /// By id or fingerprint.
    pub async fn key_find(&self, account: AccountId, identity: &str) -> Result<SshKey, Refusal> {
        let keys = self.key_list(account).await?;
        let id: Option<KeyId> = identity.parse().ok();
        let found = keys.into_iter().find(|key| Some(key.id) == id || key.fingerprint == identity);
        found.ok_or_else(|| Refusal::not_found("key"))
    }

    pub async fn key_delete(&self, account: AccountId, identity: &str) -> Result<SshKey, Refusal> {
        let key = self.key_find(account, identity).await?;
        let id = key.id;
        self.store.write(move |tx| tx.key_delete(id).map_err(Refusal::from)).await?;
        Ok(key)
    }
}

impl<'a> PublicKey<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        let refuse = || Refusal::invalid("Key is not an OpenSSH public key (TYPE BASE64 COMMENT)");
        let line = text.trim();
        if line.len() > KEY_BYTES_MAX || line.chars().any(char::is_control) {
            return Err(refuse());
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let (kind, base64) = words.next().zip(words.next()).ok_or_else(refuse)?;
        let comment: Vec<&str> = words.collect();
        let blob = STANDARD.decode(base64).map_err(|_| refuse())?;
        if !KINDS.contains(&kind) || named(&blob) != Some(kind.as_bytes()) || blob.len() <= kind.len() + 8 {
            return Err(refuse());
        }
        let pairs: Vec<String> = Md5::digest(&blob).iter().map(|byte| format!("{byte:02x}")).collect();
        let comment = (!comment.is_empty()).then(|| comment.join(" "));
        Ok(Self { kind, base64, comment, fingerprint: pairs.join(":") })
    }
}

/// The kind that the key itself says it is of: its length in four bytes, then its name.
fn named(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn keys_are_taken_apart() {
        let line = format!("ssh-ed25519 {KEY}  ada@laptop of mine\n");
        let key = PublicKey::parse(&line).unwrap();
        assert_eq!(
            (key.kind, key.base64, key.comment.as_deref()),
            ("ssh-ed25519", KEY, Some("ada@laptop of mine"))
        );
        // `ssh-keygen -l -E md5` says so.
        assert_eq!(key.fingerprint, "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba");
        assert_eq!(PublicKey::parse(&format!("ssh-ed25519 {KEY}")).unwrap().comment, None);
    }

    #[test]
    fn other_text_is_refused() {
        for bad in [
            "",
            "ssh-ed25519",
            &format!("ssh-rsa {KEY} kind and key differ"),
            &format!("ssh-dss {KEY}"),
            "ssh-ed25519 AAAA",
            "ssh-ed25519 !!!! x",
            &format!("ssh-ed25519 {KEY} a\nb"),
            &format!("ssh-ed25519 {KEY} {}", "x".repeat(KEY_BYTES_MAX)),
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
    }
}

//! URLs that are their own key: log sessions and output streams are read without a token by whoever was given the URL.
//!
//! Such a URL carries what it opens and until when, signed with a key of the installation. Nothing is kept, so a link
//! works after a restart and there is no table to fill up.
//!
//! ```text
//! BASE64URL(json) "." BASE64URL(HMAC-SHA256(key, purpose, json))
//! ```

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// Bytes of a link that are looked at at all.
const LINK_BYTES_MAX: usize = 4 * 1024;

#[derive(Clone)]
pub(crate) struct Signer {
    key: [u8; 32],
}

impl Signer {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// `purpose` keeps a link of one kind from opening another.
    pub(crate) fn sign(&self, purpose: &str, content: &impl Serialize) -> Result<String, serde_json::Error> {
        let content = serde_json::to_vec(content)?;
        let tag = self.mac(purpose, &content).finalize().into_bytes();
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(&content), URL_SAFE_NO_PAD.encode(tag)))
    }

    /// None for whatever was not made by [`Signer::sign`] with the same key and purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: &str, link: &str) -> Option<T> {
        if link.len() > LINK_BYTES_MAX {
            return None;
        }
        let (content, tag) = link.split_once('.')?;
        let (content, tag) = (URL_SAFE_NO_PAD.decode(content).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        self.mac(purpose, &content).verify_slice(&tag).ok()?;
        serde_json::from_slice(&content).ok()
    }

    fn mac(&self, purpose: &str, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_untouched_links_of_the_same_purpose_and_key_open() {
        let signer = Signer::new([7; 32]);
        let link = signer.sign("log", &("app", 5)).unwrap();
        assert_eq!(signer.open::<(String, u32)>("log", &link), Some(("app".into(), 5)));
        assert_eq!(signer.open::<(String, u32)>("output", &link), None);
        assert_eq!(Signer::new([8; 32]).open::<(String, u32)>("log", &link), None);
        let mut touched = link.clone().into_bytes();
        touched[3] ^= 1;
        assert_eq!(signer.open::<(String, u32)>("log", &String::from_utf8(touched).unwrap()), None);
        for nonsense in ["", ".", "a.b", &"x".repeat(10_000)] {
            assert_eq!(signer.open::<(String, u32)>("log", nonsense), None);
        }
    }
}

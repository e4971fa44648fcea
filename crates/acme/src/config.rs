//! Which authority, and how it is reached, as the operator says it.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use renga_model::Secret;

/// An authority may think about one request for so long (ours).
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one answer (ours; chains are a few KiB).
pub(crate) const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// The operator's program may wait so long until its record is seen (ours).
pub const DNS_TIMEOUT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone)]
pub struct Config {
    /// URL of the authority's directory.
    pub directory: String,
    /// Whom it writes to when a certificate is about to end.
    pub email: Option<String>,
    /// PEM. Trusted for the connection to the authority, in place of the web's authorities.
    pub ca_pem: Option<Vec<u8>>,
    /// `http://HOST:PORT`, for sites that reach the authority through one.
    pub proxy: Option<String>,
    /// An account elsewhere that the authority wants to be named (external account binding).
    pub binding: Option<Binding>,
    /// Program and first arguments; empty: there is no DNS.
    pub dns_hook: Vec<PathBuf>,
    pub dns_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct Binding {
    pub key_id: String,
    pub key: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigMistake {
    #[error("must be the https:// URL of an ACME directory")]
    Directory,
    #[error("is not an e-mail address")]
    Email,
    #[error("must hold the key as the authority gave it, in base64url")]
    BindingKey,
}

impl Config {
    pub fn directory(text: &str) -> Result<String, ConfigMistake> {
        let uri: http::Uri = text.parse().map_err(|_| ConfigMistake::Directory)?;
        if uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(text.to_owned())
        } else {
            Err(ConfigMistake::Directory)
        }
    }

    pub fn email(text: &str) -> Result<String, ConfigMistake> {
        let legal = renga_model::Email::try_from(text.to_owned()).is_ok();
        if legal { Ok(text.to_owned()) } else { Err(ConfigMistake::Email) }
    }
}

impl Binding {
    pub fn new(key_id: String, key: Secret) -> Result<Self, ConfigMistake> {
        let binding = Self { key_id, key };
        binding.bytes().map(|_| binding)
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, ConfigMistake> {
        let text = self.key.expose().trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ConfigMistake::BindingKey)?;
        if bytes.is_empty() { Err(ConfigMistake::BindingKey) } else { Ok(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        assert!(Config::directory("https://acme-v02.api.letsencrypt.org/directory").is_ok());
        for bad in ["", "acme.example.com", "http://acme.example.com/dir", "https://", "https:///dir"] {
            assert!(Config::directory(bad).is_err(), "{bad}");
        }
        assert!(Config::email("ops@example.com").is_ok() && Config::email("ops").is_err());
        assert!(Binding::new("kid".into(), Secret::new("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV\n")).is_ok());
        for bad in ["", "not base64!"] {
            assert!(Binding::new("kid".into(), Secret::new(bad)).is_err(), "{bad}");
        }
    }
}

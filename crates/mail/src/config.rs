//! Where letters go, as the operator says it.

use std::time::Duration;

use lettre::message::Mailbox;
use renga_model::Secret;

/// A mail server may think about a letter for so long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// How the connection to the mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// In the clear first, then TLS, or nothing is sent (port 587).
    StartTls,
    /// TLS from the first byte on (port 465).
    Tls,
    /// In the clear: for a server on this machine.
    None,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// `Name <address>`, or an address.
    pub from: Mailbox,
    pub login: Option<(String, Secret)>,
    /// PEM; trusted beside the machine's own authorities.
    pub ca_pem: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigMistake {
    #[error("must be HOST:PORT, such as smtp.example.com:587")]
    Server,
    #[error("is not an address such as Renga <renga@example.com>")]
    From,
    #[error("must be starttls, tls or none")]
    Encryption,
}

impl Config {
    /// Host and port as typed.
    pub fn server(text: &str) -> Result<(String, u16), ConfigMistake> {
        let (host, port) = text.rsplit_once(':').ok_or(ConfigMistake::Server)?;
        let port: u16 = port.parse().map_err(|_| ConfigMistake::Server)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if host.is_empty() || port == 0 || !host.chars().all(legal) {
            return Err(ConfigMistake::Server);
        }
        Ok((host.to_owned(), port))
    }

    pub fn from(text: &str) -> Result<Mailbox, ConfigMistake> {
        text.parse().map_err(|_| ConfigMistake::From)
    }

    pub fn encryption(text: &str) -> Result<Encryption, ConfigMistake> {
        match text {
            "starttls" => Ok(Encryption::StartTls),
            "tls" => Ok(Encryption::Tls),
            "none" => Ok(Encryption::None),
            _ => Err(ConfigMistake::Encryption),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        assert_eq!(Config::server("smtp.example.com:587").unwrap(), ("smtp.example.com".into(), 587));
        for bad in ["smtp.example.com", "smtp:", ":25", "smtp:0", "sm tp:25", "smtp:99999"] {
            assert!(Config::server(bad).is_err(), "{bad}");
        }
        assert!(
            Config::from("Renga <renga@example.com>").is_ok() && Config::from("renga@example.com").is_ok()
        );
        assert!(Config::from("renga").is_err());
        assert_eq!(Config::encryption("tls").unwrap(), Encryption::Tls);
        assert!(Config::encryption("ssl").is_err());
    }
}

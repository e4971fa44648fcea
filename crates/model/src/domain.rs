//! Custom domains, and the certificates that are served for them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, AppName, DomainId, InvalidName, SniEndpointId, name::text_newtype};

/// A host name of two labels or more, lower-case, in ASCII; the first label may be `*`, for all names below the rest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);
text_newtype!(Hostname, check_hostname);

/// Bytes of a host name and of a label of it (RFC 1035).
const HOSTNAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

impl Hostname {
    /// As people write it: upper case and a final dot mean nothing.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim().to_ascii_lowercase();
        text.strip_suffix('.').unwrap_or(&text).parse()
    }

    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// What stands behind the first label: `example.com` of `www.example.com` and of `*.example.com`.
    pub fn parent(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, parent)| parent)
    }

    /// Whether it is `domain` itself or stands below it.
    pub fn is_within(&self, domain: &str) -> bool {
        self.0 == domain || self.0.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    }
}

fn check_hostname(text: &str) -> Result<(), InvalidName> {
    let refuse = |rule| Err(InvalidName { what: "The hostname", rule });
    if text.len() > HOSTNAME_BYTES_MAX {
        return refuse("may have at most 253 characters");
    }
    let plain = text.strip_prefix("*.").unwrap_or(text);
    if !plain.contains('.') {
        return refuse("must be a full name, like www.example.com");
    }
    let label = |label: &str| {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(legal)
    };
    if !plain.split('.').all(label) {
        return refuse("may hold letters, digits and hyphens between its dots, and begin with *.");
    }
    if plain.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit())) {
        return refuse("must be a name, not an address");
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: DomainId,
    pub app: AppId,
    pub hostname: Hostname,
    /// Whose certificate is served for it; the platform's own authority signs one if there is none.
    pub sni_endpoint: Option<SniEndpointId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A certificate that was uploaded, or fetched for a domain of an app that leaves that to the platform. Its key is read on its own, by the one that needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniEndpoint {
    pub id: SniEndpointId,
    pub app: AppId,
    /// As an app's name would be; unique within the app.
    pub name: AppName,
    /// PEM, the leaf first.
    pub chain_pem: String,
    /// Fetched and renewed by the platform; nobody uploaded it.
    pub acm: bool,
    pub facts: CertificateFacts,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl SniEndpoint {
    /// Says which certificate is meant: another one, or another version, has another.
    pub fn version(&self) -> String {
        format!("{}-{}", self.id, self.updated_at.as_microsecond())
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Host names that it stands for.
    pub names: Vec<String>,
    pub subject: String,
    pub issuer: String,
    pub starts_at: Timestamp,
    pub expires_at: Timestamp,
    pub self_signed: bool,
    /// Whether it leads to an authority that browsers trust.
    pub ca_signed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_lower_case_and_whole() {
        for good in
            ["example.com", "www.example.com", "*.example.com", "xn--bcher-kva.example", "1.example.com"]
        {
            assert_eq!(good.parse::<Hostname>().unwrap().as_str(), good);
        }
        assert_eq!(Hostname::parse(" WWW.Example.COM. ").unwrap().as_str(), "www.example.com");
        let long = format!("{}.com", "a".repeat(64));
        let longer = format!("{}com", "abc.".repeat(70));
        for bad in [
            "",
            ".",
            "com",
            "*",
            "*.com",
            "a..b",
            "-a.b",
            "a-.b",
            "a b.c",
            "a.b/c",
            "a.*.b",
            "**.a.b",
            "1.2.3.4",
            "http://a.b",
            "a.b:80",
            "ü.de",
            "a_b.com",
            "localhost",
            &long,
            &longer,
        ] {
            assert!(Hostname::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_knows_what_it_stands_below() {
        let name: Hostname = "www.example.com".parse().unwrap();
        assert_eq!(name.parent(), "example.com");
        assert!(name.is_within("example.com") && name.is_within("www.example.com"));
        assert!(!name.is_within("ample.com") && !name.is_within("com.example"));
    }
}

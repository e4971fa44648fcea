//! Certificates that somebody uploads: read, put in order, held against their key. Nothing is kept that could not be
//! served.

use std::sync::Arc;

use jiff::Timestamp;
use renga_model::{CertificateFacts, Refusal, Secret, limits};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

/// A chain and its key that belong together.
pub(crate) struct Checked {
    /// PEM, the leaf first, each followed by its issuer.
    pub(crate) chain_pem: String,
    pub(crate) key_pem: Secret,
    pub(crate) facts: CertificateFacts,
}

pub(crate) fn check(chain_pem: &str, key_pem: Secret, now: Timestamp) -> Result<Checked, Refusal> {
    let provider = ring::default_provider();
    let public_key = public_key(&key_pem, &provider)?;
    let found = certificates(chain_pem)?;
    let parsed = found.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let leaf = parsed.iter().position(|one| one.public_key().raw == public_key);
    let leaf = leaf.ok_or_else(|| Refusal::invalid("The private key does not match the certificate."))?;
    if parsed[leaf].validity().not_after.timestamp() <= now.as_second() {
        return Err(Refusal::invalid("The certificate has expired."));
    }
    let order = in_order(&parsed, leaf);
    let chain: Vec<CertificateDer<'_>> = order.iter().map(|index| found[*index].clone()).collect();
    let facts = facts(&parsed[leaf], &chain, &provider, now)?;
    let chain_pem = chain.iter().map(|certificate| pem(certificate)).collect();
    Ok(Checked { chain_pem, key_pem, facts })
}

/// The public half of the key, as a certificate would hold it.
fn public_key(key_pem: &Secret, provider: &CryptoProvider) -> Result<Vec<u8>, Refusal> {
    let text = key_pem.expose();
    if text.len() > limits::PRIVATE_KEY_BYTES_MAX {
        return Err(Refusal::invalid("private_key: is too long for a private key."));
    }
    if text.contains("ENCRYPTED") {
        return Err(Refusal::invalid("private_key: is protected by a passphrase. Remove it and try again."));
    }
    // What the parsers say could quote the key.
    let unreadable =
        || Refusal::invalid("private_key: is not a private key in PEM form (RSA, ECDSA or Ed25519).");
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable())?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| unreadable())?;
    Ok(key.public_key().ok_or_else(unreadable)?.to_vec())
}

fn certificates(chain_pem: &str) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    if chain_pem.len() > limits::CERTIFICATE_CHAIN_BYTES_MAX {
        return Err(Refusal::invalid("certificate_chain: is too long."));
    }
    let unreadable = || Refusal::invalid("certificate_chain: is not a chain of certificates in PEM form.");
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let found = found.map_err(|_| unreadable())?;
    if found.is_empty() {
        return Err(unreadable());
    }
    if found.len() > limits::CERTIFICATE_CHAIN_MAX {
        let most = limits::CERTIFICATE_CHAIN_MAX;
        return Err(Refusal::invalid(format!("certificate_chain: may hold at most {most} certificates.")));
    }
    Ok(found)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Refusal> {
    let parsed = X509Certificate::from_der(der).map_err(|_| {
        Refusal::invalid("certificate_chain: holds something that is not an X.509 certificate.")
    })?;
    Ok(parsed.1)
}

/// From the leaf, each followed by the one that issued it; what belongs to no other is left out.
fn in_order(parsed: &[X509Certificate<'_>], leaf: usize) -> Vec<usize> {
    let mut order = vec![leaf];
    while let Some(last) = order.last().copied() {
        let issuer = parsed[last].issuer();
        let next = (0..parsed.len())
            .find(|n| !order.contains(n) && parsed[*n].subject().as_raw() == issuer.as_raw());
        match next {
            Some(next) => order.push(next),
            None => break,
        }
    }
    order
}

fn facts(
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'_>],
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<CertificateFacts, Refusal> {
    let time = |seconds| {
        Timestamp::from_second(seconds)
            .map_err(|_| Refusal::invalid("certificate_chain: has a date that no calendar knows."))
    };
    let names = names(leaf);
    Ok(CertificateFacts {
        ca_signed: names.first().is_some_and(|name| is_trusted(name, chain, provider, now)),
        names,
        subject: one_line(leaf.subject()),
        issuer: one_line(leaf.issuer()),
        starts_at: time(leaf.validity().not_before.timestamp())?,
        expires_at: time(leaf.validity().not_after.timestamp())?,
        self_signed: leaf.subject().as_raw() == leaf.issuer().as_raw(),
    })
}

/// Alternative names; the common name where there are none.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let general = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    let names: Vec<String> = general.filter_map(dns).collect();
    if !names.is_empty() {
        return names;
    }
    let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).collect()
}

/// `/C=US/O=Example/CN=www.example.com`.
fn one_line(name: &X509Name<'_>) -> String {
    let attribute = |attribute: &AttributeTypeAndValue<'_>| {
        let kind = attribute.attr_type().to_id_string();
        let short = SHORT_NAMES.iter().find(|(id, _)| *id == kind).map(|(_, short)| *short);
        format!("/{}={}", short.unwrap_or(&kind), attribute.as_str().unwrap_or_default())
    };
    name.iter_attributes().map(attribute).collect()
}

/// As people write the parts of a name.
const SHORT_NAMES: [(&str, &str); 8] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Whether browsers would believe it.
fn is_trusted(name: &str, chain: &[CertificateDer<'_>], provider: &CryptoProvider, now: Timestamp) -> bool {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider.clone())).build();
    let Ok(verifier) = verifier else { return false };
    let Ok(name) = ServerName::try_from(name.replacen("*.", "any.", 1)) else { return false };
    let Some((leaf, rest)) = chain.split_first() else { return false };
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_server_cert(leaf, rest, &name, &[], now).is_ok()
}

/// PEM's lines have 64 characters.
const PEM_LINE: usize = 64;

fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests;

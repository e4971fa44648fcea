//! The platform's own certificate authority: signs loopback and private names, one leaf per name on demand (a wildcard
//! for `*.localhost` is refused by curl, Python and Node).

use std::{fs, net::IpAddr, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc, time::SystemTime};

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Ten years: it is pinned by clients, and nothing renews it by itself.
const CA_DAYS: i64 = 3650;
/// Clients refuse leaves of more than 825 days.
const LEAF_DAYS: i64 = 397;

/// Signs leaves; cheap to clone.
#[derive(Clone)]
pub(crate) struct Authority(Arc<Inner>);

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl Authority {
    /// Reads the authority of this data directory, making it on first start.
    pub(crate) fn load_or_create(secrets: &Path) -> Result<Self> {
        let (key_file, certificate_file) = (secrets.join("ca.key"), secrets.join("ca.pem"));
        if !certificate_file.exists() {
            create(&key_file, &certificate_file)?;
        }
        let key_pem = fs::read_to_string(&key_file)
            .with_context(|| format!("could not read {}", key_file.display()))?;
        let certificate_pem = fs::read_to_string(&certificate_file)?;
        let key = KeyPair::from_pem(&key_pem).context("the CA's key is damaged")?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate_pem, key).context("the CA's certificate is damaged")?;
        Ok(Self(Arc::new(Inner { issuer, certificate_pem })))
    }

    pub(crate) fn certificate_pem(&self) -> &str {
        &self.0.certificate_pem
    }

    /// Certificate chain and key, both PEM, for host names or IP addresses.
    pub(crate) fn issue(&self, names: &[String]) -> Result<(String, String)> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect::<Result<_>>()?;
        let common = names.first().map_or("renga", String::as_str);
        params.distinguished_name.push(DnType::CommonName, common.chars().take(64).collect::<String>());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.0.issuer)?;
        Ok((format!("{}{}", leaf.pem(), self.0.certificate_pem), key.serialize_pem()))
    }

    /// A server configuration for listeners of ours.
    pub(crate) fn server_config(&self, names: &[String]) -> Result<rustls::ServerConfig> {
        let (chain, key) = self.issue(names)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        Ok(rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?)
    }
}

fn create(key_file: &Path, certificate_file: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "Renga platform CA");
    valid_for(&mut params, CA_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    // The key first: a certificate without its key would look complete.
    write_private(key_file, &key.serialize_pem())?;
    let fresh = certificate_file.with_extension("pem.new");
    fs::write(&fresh, certificate.pem())?;
    fs::rename(&fresh, certificate_file)?;
    Ok(())
}

fn valid_for(params: &mut CertificateParams, days: i64) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a certificate's dates are wall time, and this is composition"
    )]
    let now = time::OffsetDateTime::from(SystemTime::now());
    // A day of grace for clocks that are behind.
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(days);
}

fn alternative_name(name: &str) -> Result<SanType> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.*:".contains(&b);
    if name.is_empty() || !name.bytes().all(legal) {
        bail!("{name:?} is no host name");
    }
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().with_context(|| format!("{name:?} is no host name"))?),
    })
}

/// 32 random bytes in a private file, made on first use.
pub(crate) fn load_or_create_key(path: &Path) -> Result<[u8; 32]> {
    use rand::RngCore as _;
    if !path.exists() {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        write_private(path, &key.iter().map(|byte| format!("{byte:02x}")).collect::<String>())?;
    }
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let byte = |n: usize| text.get(2 * n..2 * n + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).with_context(|| format!("{} is damaged", path.display()))
}

/// Mode 0600 from the first byte on.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_survives_a_restart_and_signs_names_and_addresses() {
        let home = tempfile::tempdir().unwrap();
        let first = Authority::load_or_create(home.path()).unwrap();
        let again = Authority::load_or_create(home.path()).unwrap();
        assert_eq!(first.0.certificate_pem, again.0.certificate_pem);
        let names = ["web.localhost".to_owned(), "127.0.0.1".to_owned()];
        assert!(again.issue(&names).unwrap().0.matches("BEGIN CERTIFICATE").count() == 2);
        assert!(again.issue(&["not a name".to_owned()]).is_err());
    }
}

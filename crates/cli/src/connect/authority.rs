//! A certificate for Heroku's names that lives as long as this process.
//!
//! The authority signs one certificate and its key is forgotten at once; neither key is ever written down. Whoever trusts
//! it trusts it for Heroku's domains alone: the names that it may sign are limited in the authority itself.

use std::{io, sync::Arc};

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::hosts::{DOMAINS, SERVED};
use crate::tls;

/// Longer than any shell stays open; clients refuse more than 825.
const DAYS: i32 = 397;

pub(super) struct Local {
    /// What clients must trust.
    pub(super) ca_pem: String,
    pub(super) config: Arc<ServerConfig>,
}

pub(super) fn for_heroku(now: Timestamp) -> io::Result<Local> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let (ca, issuer) = authority(today).map_err(io::Error::other)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let names = SERVED.map(str::to_owned).to_vec();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "renga connect");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_from(&mut params, today);
    let leaf = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions();
    let config = builder
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), ca.der().clone()], key);
    Ok(Local { ca_pem: ca.pem(), config: Arc::new(config.map_err(io::Error::other)?) })
}

fn authority(today: Date) -> Result<(rcgen::Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "renga connect, this machine only");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: DOMAINS.iter().map(|domain| GeneralSubtree::DnsName((*domain).into())).collect(),
        excluded_subtrees: Vec::new(),
    });
    valid_from(&mut params, today);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

/// A day of grace for clocks that are behind.
fn valid_from(params: &mut CertificateParams, today: Date) {
    let at = |days: i32| {
        let date = today.saturating_add(days.days());
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (at(-1), at(DAYS));
}

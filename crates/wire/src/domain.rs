//! Domains, and the certificates that are served for them.

use std::fmt;

use jiff::Timestamp;
use renga_model::{App as ModelApp, AppName, Domain as ModelDomain, Secret, SniEndpoint as ModelEndpoint};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    IdName, NameId, Site, Time,
    ids::{app_ref, derived_id},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Domain {
    pub acm_status: Option<String>,
    pub acm_status_reason: Option<String>,
    pub app: NameId,
    pub cname: Option<String>,
    pub created_at: Time,
    pub hostname: String,
    pub id: Uuid,
    pub kind: String,
    pub updated_at: Time,
    pub status: String,
    pub sni_endpoint: Option<IdName>,
}

impl Domain {
    /// The host that every app has from the start. Its id follows from the app's, so that it stays through a rename.
    pub fn default_of(app: &ModelApp, site: &Site) -> Self {
        Self {
            acm_status: None,
            acm_status_reason: None,
            app: app_ref(app),
            cname: None,
            created_at: app.created_at.into(),
            hostname: site.app_host(&app.name),
            id: derived_id("domain", &app.id.to_string()),
            kind: "heroku".into(),
            updated_at: app.updated_at.into(),
            status: "none".into(),
            sni_endpoint: None,
        }
    }

    /// With what the platform says of the certificate that it fetches for it.
    #[must_use]
    pub fn with_acm(mut self, status: &str, reason: Option<&str>, updated_at: Timestamp) -> Self {
        self.acm_status = Some(status.to_owned());
        self.acm_status_reason = reason.map(str::to_owned);
        self.updated_at = self.updated_at.max(updated_at.into());
        self
    }

    /// One that its owner brought. `sni_endpoint`: its certificate's name.
    pub fn custom(domain: &ModelDomain, sni_endpoint: Option<&AppName>, app: &ModelApp, site: &Site) -> Self {
        let endpoint = domain.sni_endpoint.zip(sni_endpoint);
        Self {
            acm_status: None,
            acm_status_reason: None,
            app: app_ref(app),
            cname: Some(cname(domain, site)),
            created_at: domain.created_at.into(),
            hostname: domain.hostname.to_string(),
            id: domain.id.uuid(),
            kind: "custom".into(),
            updated_at: domain.updated_at.into(),
            // It is served as soon as its name leads here: there is nothing to wait for.
            status: "none".into(),
            sni_endpoint: endpoint.map(|(id, name)| IdName { id: id.uuid(), name: name.to_string() }),
        }
    }
}

/// Where the name's DNS record should lead: a name of its own below the platform's domain, the same through renames.
fn cname(domain: &ModelDomain, site: &Site) -> String {
    let id = domain.id.uuid().simple().to_string();
    format!("dns-{}.{}", &id[..16], site.domain)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainCreate {
    pub hostname: String,
    /// Name or id; older clients leave it out.
    #[serde(default)]
    pub sni_endpoint: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainUpdate {
    /// `null` takes the certificate away; to say nothing is a mistake.
    #[serde(deserialize_with = "Option::deserialize")]
    pub sni_endpoint: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SniEndpoint {
    pub certificate_chain: String,
    pub created_at: Time,
    pub id: Uuid,
    pub name: String,
    pub updated_at: Time,
    pub display_name: Option<String>,
    pub domains: Vec<Uuid>,
    pub app: NameId,
    pub ssl_cert: SslCert,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SslCert {
    /// Fetched by the platform. The schema has no word for it; the official command line reads it where it is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acm: bool,
    #[serde(rename = "ca_signed?")]
    pub ca_signed: bool,
    pub cert_domains: Vec<String>,
    pub expires_at: Time,
    pub issuer: String,
    #[serde(rename = "self_signed?")]
    pub self_signed: bool,
    pub starts_at: Time,
    pub subject: String,
    pub id: Uuid,
}

impl SniEndpoint {
    pub fn new(endpoint: &ModelEndpoint, domains: Vec<Uuid>, app: &ModelApp) -> Self {
        let facts = &endpoint.facts;
        Self {
            certificate_chain: endpoint.chain_pem.clone(),
            created_at: endpoint.created_at.into(),
            id: endpoint.id.uuid(),
            name: endpoint.name.to_string(),
            updated_at: endpoint.updated_at.into(),
            display_name: None,
            domains,
            app: app_ref(app),
            ssl_cert: SslCert {
                acm: endpoint.acm,
                ca_signed: facts.ca_signed,
                cert_domains: facts.names.clone(),
                expires_at: facts.expires_at.into(),
                issuer: facts.issuer.clone(),
                self_signed: facts.self_signed,
                starts_at: facts.starts_at.into(),
                subject: facts.subject.clone(),
                id: derived_id("ssl-cert", &endpoint.version()),
            },
        }
    }
}

/// `PATCH /apps/{app}/acm`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmRefresh {
    /// Nothing is done for anything but `true`, so nothing else is taken.
    pub acm_refresh: bool,
}

/// Of an upload, and of its replacement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SniEndpointWrite {
    pub certificate_chain: String,
    pub private_key: Secret,
}

impl fmt::Debug for SniEndpointWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SniEndpointWrite")
    }
}

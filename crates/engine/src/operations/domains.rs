//! Custom domains of apps, and the certificates that are served for them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use renga_model::{
    Account, AcmName, App, AppId, AppName, CertificateFacts, Domain, DomainId, Hostname, Refusal, Secret,
    SniEndpoint, SniEndpointId, limits,
};
use renga_store::{OrNone, Read, Tx};

use super::{
    Permission,
    access::app_row,
    acm::{refuse_by_hand, refuse_managed, switch_off},
    names,
};
use crate::{Engine, certificates, words};

/// A domain with the name of its certificate.
#[derive(Debug, Clone)]
pub struct DomainView {
    pub domain: Domain,
    pub sni_endpoint: Option<AppName>,
    pub acm: Option<AcmView>,
}

/// How far the platform is with a domain's certificate.
#[derive(Debug, Clone)]
pub struct AcmView {
    pub status: &'static str,
    pub reason: Option<String>,
    pub updated_at: Timestamp,
}

/// A certificate with the domains that it is served for.
#[derive(Debug, Clone)]
pub struct SniEndpointView {
    pub endpoint: SniEndpoint,
    pub domains: Vec<DomainId>,
}

// === domains ===

impl Engine {
    /// The custom ones, by name.
    pub async fn domain_list(&self, app: AppId) -> Result<Vec<DomainView>, Refusal> {
        self.store.read(move |read| domain_views(read, app)).await
    }

    /// By host name or id.
    pub async fn domain_fetch(&self, app: AppId, identity: &str) -> Result<DomainView, Refusal> {
        let named = identity.to_owned();
        self.store.read(move |read| domain_named(read, app, &named)).await
    }

    /// `endpoint`: name or id of the certificate to serve for it.
    pub async fn domain_create(
        &self,
        app: &App,
        actor: &Account,
        hostname: Hostname,
        endpoint: Option<String>,
    ) -> Result<DomainView, Refusal> {
        if hostname.is_within(&self.settings.domain) {
            return Err(Refusal::invalid(format!(
                "{hostname} is not allowed: names below {} belong to the apps that have them.",
                self.settings.domain
            )));
        }
        self.refuse_neighbours(app, actor, &hostname).await?;
        let (id, now) = (app.id, self.now());
        let line = words::api(now, words::domain_added(hostname.as_str(), &actor.email));
        let insert = self.store.write(move |tx| -> Result<DomainView, Refusal> {
            app_row(tx, id)?;
            refuse_taken(tx, id, &hostname)?;
            if endpoint.is_some() {
                refuse_by_hand(tx, id)?;
            }
            let endpoint = endpoint.map(|named| endpoint_named(tx, id, &named)).transpose()?;
            let sni_endpoint = endpoint.as_ref().map(|endpoint| endpoint.id);
            let domain = Domain {
                id: DomainId::random(),
                app: id,
                hostname,
                sni_endpoint,
                created_at: now,
                updated_at: now,
            };
            tx.domain_insert(&domain)?;
            tx.say(id, &line)?;
            domain_view(tx, domain.app, domain.id)
        });
        let view = insert.await?;
        self.wake.acm(view.domain.hostname.clone());
        self.wake.routes();
        Ok(view)
    }

    /// Another certificate for it, or none.
    pub async fn domain_update(
        &self,
        app: AppId,
        identity: &str,
        endpoint: Option<String>,
    ) -> Result<DomainView, Refusal> {
        let (named, now) = (identity.to_owned(), self.now());
        let update = self.store.write(move |tx| -> Result<DomainView, Refusal> {
            let mut domain = domain_named(tx, app, &named)?.domain;
            refuse_by_hand(tx, app)?;
            let endpoint = endpoint.map(|named| endpoint_named(tx, app, &named)).transpose()?;
            domain.sni_endpoint = endpoint.as_ref().map(|endpoint| endpoint.id);
            domain.updated_at = now;
            tx.domain_update(&domain)?;
            domain_view(tx, domain.app, domain.id)
        });
        let view = update.await?;
        self.wake.routes();
        Ok(view)
    }

    pub async fn domain_delete(
        &self,
        app: AppId,
        actor: &Account,
        identity: &str,
    ) -> Result<DomainView, Refusal> {
        let (named, email, now) = (identity.to_owned(), actor.email.clone(), self.now());
        let delete = self.store.write(move |tx| -> Result<DomainView, Refusal> {
            let view = domain_named(tx, app, &named)?;
            tx.domain_delete(view.domain.id)?;
            // One that was fetched for it goes with it.
            if let Some(id) =
                view.domain.sni_endpoint.filter(|id| tx.sni_endpoint_fetch(*id).is_ok_and(|e| e.acm))
            {
                tx.sni_endpoint_delete(id)?;
            }
            let line = words::domain_removed(view.domain.hostname.as_str(), &email);
            tx.say(app, &words::api(now, line))?;
            Ok(view)
        });
        let view = delete.await?;
        self.wake.acm(view.domain.hostname.clone());
        self.wake.routes();
        Ok(view)
    }

    /// A wildcard takes what stands below it, and stands above what others have: both must be one's own.
    async fn refuse_neighbours(
        &self,
        app: &App,
        actor: &Account,
        hostname: &Hostname,
    ) -> Result<(), Refusal> {
        let wanted = hostname.clone();
        let neighbours = self.store.read(move |read| -> Result<Vec<Domain>, Refusal> {
            match wanted.is_wildcard() {
                true => Ok(read.domain_list_below(wanted.parent())?),
                false => Ok(read.domain_find(&format!("*.{}", wanted.parent()))?.into_iter().collect()),
            }
        });
        for other in neighbours.await?.into_iter().filter(|other| other.app != app.id) {
            let seen = self.app_for(actor.id, &other.app.to_string(), Permission::View).await;
            if seen.is_err() {
                return Err(Refusal::invalid(format!("{hostname} is currently in use by another app.")));
            }
        }
        Ok(())
    }
}

fn refuse_taken(tx: &Tx<'_>, app: AppId, hostname: &Hostname) -> Result<(), Refusal> {
    match tx.domain_find(hostname.as_str())? {
        Some(taken) if taken.app == app => {
            return Err(Refusal::invalid(format!("{hostname} is already added to this app.")));
        }
        Some(_) => return Err(Refusal::invalid(format!("{hostname} is currently in use by another app."))),
        None => {}
    }
    if tx.domain_list(app)?.len() >= limits::DOMAINS_PER_APP_MAX {
        let most = limits::DOMAINS_PER_APP_MAX;
        return Err(Refusal::invalid(format!("An app may have at most {most} custom domains.")));
    }
    Ok(())
}

fn domain_views(read: &Read<'_>, app: AppId) -> Result<Vec<DomainView>, Refusal> {
    let names: BTreeMap<SniEndpointId, AppName> =
        read.sni_endpoint_list(app)?.into_iter().map(|endpoint| (endpoint.id, endpoint.name)).collect();
    let managed = app_row(read, app)?.acm;
    let rows = if managed { read.acm_name_list(app)? } else { Vec::new() };
    let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.domain, row)).collect();
    let view = |domain: Domain| {
        let sni_endpoint = domain.sni_endpoint.and_then(|id| names.get(&id).cloned());
        let acm = managed.then(|| acm_view(rows.remove(&domain.id), &domain));
        DomainView { domain, sni_endpoint, acm }
    };
    Ok(read.domain_list(app)?.into_iter().map(view).collect())
}

/// One without a row is about to get it.
fn acm_view(row: Option<AcmName>, domain: &Domain) -> AcmView {
    match row {
        Some(row) => AcmView { status: row.status(), reason: row.reason, updated_at: row.updated_at },
        None => AcmView { status: "pending", reason: None, updated_at: domain.updated_at },
    }
}

fn domain_view(read: &Read<'_>, app: AppId, id: DomainId) -> Result<DomainView, Refusal> {
    let found = domain_views(read, app)?.into_iter().find(|view| view.domain.id == id);
    found.ok_or_else(|| Refusal::not_found("domain"))
}

fn domain_named(read: &Read<'_>, app: AppId, identity: &str) -> Result<DomainView, Refusal> {
    let (id, host) = (identity.parse().ok(), identity.to_ascii_lowercase());
    let fits = |view: &DomainView| Some(view.domain.id) == id || view.domain.hostname.as_str() == host;
    domain_views(read, app)?.into_iter().find(fits).ok_or_else(|| Refusal::not_found("domain"))
}

// === certificates ===

impl Engine {
    /// Oldest first.
    pub async fn sni_endpoint_list(&self, app: AppId) -> Result<Vec<SniEndpointView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<SniEndpointView>, Refusal> {
            let endpoints = read.sni_endpoint_list(app)?;
            endpoints.into_iter().map(|endpoint| endpoint_view(read, endpoint)).collect()
        });
        list.await
    }

    pub async fn sni_endpoint_fetch(&self, app: AppId, identity: &str) -> Result<SniEndpointView, Refusal> {
        let named = identity.to_owned();
        let fetch = self.store.read(move |read| endpoint_view(read, endpoint_named(read, app, &named)?));
        fetch.await
    }

    pub async fn sni_endpoint_create(
        &self,
        app: AppId,
        chain_pem: &str,
        key_pem: Secret,
    ) -> Result<SniEndpointView, Refusal> {
        let now = self.now();
        let checked = certificates::check(chain_pem, key_pem, now)?;
        let insert = self.store.write(move |tx| -> Result<SniEndpointView, Refusal> {
            app_row(tx, app)?;
            let known = tx.sni_endpoint_list(app)?;
            if known.iter().filter(|endpoint| !endpoint.acm).count() >= limits::SNI_ENDPOINTS_PER_APP_MAX {
                let most = limits::SNI_ENDPOINTS_PER_APP_MAX;
                return Err(Refusal::invalid(format!("An app may have at most {most} certificates.")));
            }
            let endpoint = SniEndpoint {
                id: SniEndpointId::random(),
                app,
                name: endpoint_name(&known),
                chain_pem: checked.chain_pem,
                acm: false,
                facts: checked.facts,
                created_at: now,
                updated_at: now,
            };
            tx.sni_endpoint_put(&endpoint, &checked.key_pem)?;
            Ok(SniEndpointView { endpoint, domains: Vec::new() })
        });
        insert.await
    }

    /// Another chain and key under the same name; its domains serve them from now on. One that the platform fetched
    /// becomes its owner's, and the platform lets go of the app's certificates.
    pub async fn sni_endpoint_update(
        &self,
        app: AppId,
        identity: &str,
        chain_pem: &str,
        key_pem: Secret,
    ) -> Result<SniEndpointView, Refusal> {
        let (named, now) = (identity.to_owned(), self.now());
        let checked = certificates::check(chain_pem, key_pem, now)?;
        let update = self.store.write(move |tx| -> Result<SniEndpointView, Refusal> {
            let mut endpoint = endpoint_named(tx, app, &named)?;
            if endpoint.acm {
                take_over(tx, &mut endpoint, &checked.facts, now)?;
            }
            endpoint.chain_pem = checked.chain_pem;
            endpoint.facts = checked.facts;
            endpoint.updated_at = now;
            tx.sni_endpoint_put(&endpoint, &checked.key_pem)?;
            endpoint_view(tx, endpoint)
        });
        let view = update.await?;
        self.wake.routes();
        Ok(view)
    }

    /// Its domains go on with what the platform signs.
    pub async fn sni_endpoint_delete(&self, app: AppId, identity: &str) -> Result<SniEndpointView, Refusal> {
        let named = identity.to_owned();
        let delete = self.store.write(move |tx| -> Result<SniEndpointView, Refusal> {
            let view = endpoint_view(tx, endpoint_named(tx, app, &named)?)?;
            refuse_managed(tx, app, &view.endpoint)?;
            tx.sni_endpoint_delete(view.endpoint.id)?;
            Ok(view)
        });
        let view = delete.await?;
        self.wake.routes();
        Ok(view)
    }

    /// Chain and key that were uploaded for a custom domain, for the router. `None`: the platform signs one itself.
    pub async fn certificate_of(&self, hostname: &str) -> Result<Option<(String, Secret)>, Refusal> {
        let hostname = hostname.to_owned();
        let fetch = self.store.read(move |read| -> Result<Option<(String, Secret)>, Refusal> {
            let Some(id) = read.domain_find(&hostname)?.and_then(|domain| domain.sni_endpoint) else {
                return Ok(None);
            };
            Ok(Some((read.sni_endpoint_fetch(id)?.chain_pem, read.sni_endpoint_key(id)?)))
        });
        fetch.await
    }
}

/// One that the app has none of.
pub(crate) fn endpoint_name(known: &[SniEndpoint]) -> AppName {
    let mut name = names::generate(&mut rand::rng());
    while known.iter().any(|endpoint| endpoint.name == name) {
        name = names::generate(&mut rand::rng());
    }
    name
}

/// An owner's certificate in place of an automatic one: of all domains that it stands for, so that none goes bare.
fn take_over(
    tx: &Tx<'_>,
    endpoint: &mut SniEndpoint,
    facts: &CertificateFacts,
    now: Timestamp,
) -> Result<(), Refusal> {
    endpoint.acm = false;
    let key = tx.sni_endpoint_key(endpoint.id)?;
    tx.sni_endpoint_put(endpoint, &key)?;
    switch_off(tx, &mut app_row(tx, endpoint.app)?, now)?;
    for mut domain in tx.domain_list(endpoint.app)? {
        let wildcard = format!("*.{}", domain.hostname.parent());
        let stands = facts.names.iter().any(|name| name == domain.hostname.as_str() || *name == wildcard);
        if domain.sni_endpoint.is_none() && stands {
            domain.sni_endpoint = Some(endpoint.id);
            domain.updated_at = now;
            tx.domain_update(&domain)?;
        }
    }
    Ok(())
}

fn endpoint_named(read: &Read<'_>, app: AppId, identity: &str) -> Result<SniEndpoint, Refusal> {
    let not_found = || Refusal::not_found("sni_endpoint");
    let found = match identity.parse::<SniEndpointId>() {
        Ok(id) => read.sni_endpoint_fetch(id).or_none()?.filter(|endpoint| endpoint.app == app),
        Err(_) => read.sni_endpoint_list(app)?.into_iter().find(|e| e.name.as_str() == identity),
    };
    found.ok_or_else(not_found)
}

fn endpoint_view(read: &Read<'_>, endpoint: SniEndpoint) -> Result<SniEndpointView, Refusal> {
    let served = |domain: &Domain| domain.sni_endpoint == Some(endpoint.id);
    let domains =
        read.domain_list(endpoint.app)?.into_iter().filter(served).map(|domain| domain.id).collect();
    Ok(SniEndpointView { endpoint, domains })
}

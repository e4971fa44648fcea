//! A certificate that came is put where it is served from.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng as _;
use renga_model::{
    AcmEvent, AcmName, AppId, CertificateFacts, Domain, Hostname, Refusal, Secret, SniEndpoint, SniEndpointId,
};
use renga_planner::renew_at;
use renga_ports::AcmeError;
use renga_store::{OrNone, Read, Tx};

use super::{Acm, Stop, wanted};
use crate::{
    certificates::{Checked, check},
    driver::Next,
    operations::endpoint_name,
};

impl Acm {
    pub(super) async fn deliver(
        &self,
        row: &AcmName,
        chain_pem: &str,
        key: Secret,
        app: AppId,
    ) -> Result<Next, Stop> {
        let now = self.engine.now();
        let useless = |why: &str| {
            AcmeError::Refused(format!("The certificate authority sent something useless: {why}"))
        };
        let checked = check(chain_pem, key, now).map_err(|refusal| useless(&refusal.say))?;
        if !stands_for(&checked.facts, &row.hostname) {
            return Err(useless("the certificate is for another name.").into());
        }
        let facts = checked.facts.clone();
        let issued = AcmName {
            step: row.step.next(AcmEvent::Fetch)?,
            order: None,
            failures: 0,
            reason: None,
            due_at: renew_at(facts.starts_at.max(now), facts.expires_at, rand::rng().random_range(0..1_000)),
            expires_at: Some(facts.expires_at),
            updated_at: now,
            ..row.clone()
        };
        let write = self.engine.store.write(move |tx| -> Result<bool, Refusal> {
            // The wish may have gone while the authority worked.
            let Some(domain) = wanted(tx, &issued.hostname)?.filter(|domain| domain.id == issued.domain)
            else {
                return Ok(false);
            };
            if !tx.acm_name_move(&issued, None)? {
                return Ok(false);
            }
            put_endpoint(tx, domain, &checked, now)?;
            Ok(true)
        });
        if !write.await? {
            return Err(Stop::Stale);
        }
        tracing::info!(
            domain.name = %row.hostname,
            app.id = %app,
            "a certificate was issued for {}, until {}",
            row.hostname,
            facts.expires_at
        );
        self.engine.wake.routes();
        self.engine.changes.tell();
        Ok(Next::Again(Duration::ZERO))
    }
}

fn stands_for(facts: &CertificateFacts, name: &Hostname) -> bool {
    facts.names.iter().any(|of| of == name.as_str())
}

/// Into the endpoint that the domain has from the last time, or a new one. One that was uploaded stays, unbound.
fn put_endpoint(tx: &Tx<'_>, mut domain: Domain, checked: &Checked, now: Timestamp) -> Result<(), Refusal> {
    let bound = match domain.sni_endpoint {
        Some(id) => tx.sni_endpoint_fetch(id).or_none()?.filter(|endpoint| endpoint.acm),
        None => None,
    };
    let mut endpoint = match bound {
        Some(endpoint) => endpoint,
        None => new_endpoint(tx, domain.app, checked, now)?,
    };
    endpoint.chain_pem.clone_from(&checked.chain_pem);
    endpoint.facts = checked.facts.clone();
    endpoint.updated_at = now;
    tx.sni_endpoint_put(&endpoint, &checked.key_pem)?;
    domain.sni_endpoint = Some(endpoint.id);
    domain.updated_at = now;
    Ok(tx.domain_update(&domain)?)
}

fn new_endpoint(
    read: &Read<'_>,
    app: AppId,
    checked: &Checked,
    now: Timestamp,
) -> Result<SniEndpoint, Refusal> {
    Ok(SniEndpoint {
        id: SniEndpointId::random(),
        app,
        name: endpoint_name(&read.sni_endpoint_list(app)?),
        chain_pem: checked.chain_pem.clone(),
        acm: true,
        facts: checked.facts.clone(),
        created_at: now,
        updated_at: now,
    })
}

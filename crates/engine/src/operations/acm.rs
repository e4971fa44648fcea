//! Automatic certificates as owners ask for them. What follows is the loop's business.

use renga_model::{Account, AcmEvent, AcmName, AcmStep, App, AppId, Domain, Refusal, SniEndpoint};
use renga_store::{Read, Tx};

use super::access::app_row;
use crate::{Engine, words};

/// What an owner reads where the operator has not set up an authority.
const NOT_SET_UP: &str = "Automated Certificate Management is not set up on this platform. Its operator must name a \
    certificate authority: [acme] with agree_to_terms = true in the platform's configuration file.";

impl Engine {
    pub async fn acm_enable(&self, app: AppId, actor: &Account) -> Result<App, Refusal> {
        self.acm_is_set_up()?;
        let (now, line) = (self.now(), words::acm_enabled(&actor.email));
        let enable = self.store.write(move |tx| -> Result<(App, Vec<Domain>), Refusal> {
            let mut row = app_row(tx, app)?;
            if !row.acm {
                row.acm = true;
                row.updated_at = now;
                tx.app_update(&row)?;
                tx.say(app, &words::api(now, line))?;
            }
            Ok((row, tx.domain_list(app)?))
        });
        let (row, domains) = enable.await?;
        self.acm_wake(domains);
        Ok(row)
    }

    /// Its automatic certificates are no longer served.
    pub async fn acm_disable(&self, app: AppId, actor: &Account) -> Result<App, Refusal> {
        let (now, line) = (self.now(), words::acm_disabled(&actor.email));
        let disable = self.store.write(move |tx| -> Result<(App, Vec<Domain>), Refusal> {
            let mut row = app_row(tx, app)?;
            if row.acm {
                switch_off(tx, &mut row, now)?;
                tx.say(app, &words::api(now, line))?;
            }
            Ok((row, tx.domain_list(app)?))
        });
        let (row, domains) = disable.await?;
        self.acm_wake(domains);
        self.wake.routes();
        Ok(row)
    }

    /// Whatever failed is tried at once, as if for the first time.
    pub async fn acm_refresh(&self, app: AppId) -> Result<App, Refusal> {
        self.acm_is_set_up()?;
        let now = self.now();
        let refresh = self.store.write(move |tx| -> Result<(App, Vec<Domain>), Refusal> {
            let row = app_row(tx, app)?;
            if !row.acm {
                return Err(Refusal::invalid(format!(
                    "Automated Certificate Management is not enabled on {}. Enable it with certs:auto:enable.",
                    row.name
                )));
            }
            for name in tx.acm_name_list(app)? {
                ask_again(tx, name, now)?;
            }
            Ok((row, tx.domain_list(app)?))
        });
        let (row, domains) = refresh.await?;
        self.acm_wake(domains);
        Ok(row)
    }

    fn acm_is_set_up(&self) -> Result<(), Refusal> {
        if self.acme.is_some() { Ok(()) } else { Err(Refusal::invalid(NOT_SET_UP)) }
    }

    fn acm_wake(&self, domains: Vec<Domain>) {
        domains.into_iter().for_each(|domain| self.wake.acm(domain.hostname));
    }
}

/// What failed, or waits after a failure, begins anew. What is under way or done is left alone.
fn ask_again(tx: &Tx<'_>, name: AcmName, now: jiff::Timestamp) -> Result<(), Refusal> {
    if name.failures == 0 || name.step.is_under_way() {
        return Ok(());
    }
    let step = name.step.next(AcmEvent::Ask).map_err(Refusal::internal)?;
    let asked = AcmName { step, failures: 0, reason: None, due_at: now, updated_at: now, ..name };
    tx.acm_name_move(&asked, None)?;
    Ok(())
}

/// The platform lets go of an app's certificates.
pub(super) fn switch_off(tx: &Tx<'_>, app: &mut App, now: jiff::Timestamp) -> Result<(), Refusal> {
    app.acm = false;
    app.updated_at = now;
    tx.app_update(app)?;
    // Were one left, and all switched on again, it would pass for a certificate that is there. Those that an order
    // stands for are the loop's: there may be something to be cleared away.
    for name in tx.acm_name_list(app.id)?.into_iter().filter(|name| name.step == AcmStep::Issued) {
        tx.acm_name_delete(&name.hostname, name.generation)?;
    }
    Ok(tx.sni_endpoint_delete_acm(app.id)?)
}

/// Refuses what an owner may not do to certificates that the platform keeps.
pub(super) fn refuse_managed(read: &Read<'_>, app: AppId, endpoint: &SniEndpoint) -> Result<(), Refusal> {
    if !endpoint.acm {
        return Ok(());
    }
    let name = app_row(read, app)?.name;
    Err(Refusal::invalid(format!(
        "{} is managed automatically for {name}. Disable that with certs:auto:disable, and it goes.",
        endpoint.name
    )))
}

/// Refuses to bind certificates by hand where the platform does it.
pub(super) fn refuse_by_hand(read: &Read<'_>, app: AppId) -> Result<(), Refusal> {
    let app = app_row(read, app)?;
    if !app.acm {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "The certificates of {} are managed automatically. Disable that first with certs:auto:disable, or add the \
         domain without a certificate.",
        app.name
    )))
}

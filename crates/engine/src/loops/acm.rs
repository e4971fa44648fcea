//! Automatic certificates: of every custom domain whose app leaves them to the platform.
//!
//! A pass takes one name one step on (the drawing is [`AcmStep`]'s). What a step needs after a crash is in the ledger
//! before the authority hears of it: the order, what proves the name, the key. The authority is told to look only when
//! the router has acknowledged a table with the proof. A name that nobody wants any more leaves nothing in DNS.
//!
//! What goes wrong is written to the row, with what its owner reads, and tried again ([`retry_at`]); no attempt is
//! repeated inside a pass.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use rand::Rng as _;
use renga_model::{
    AcmEvent, AcmName, AcmOrder, AcmProof, AcmStep, AppId, Domain, DomainId, Hostname, IllegalAcmMove,
    Refusal, Secret,
};
use renga_planner::retry_at;
use renga_ports::{Acme, AcmeError, DnsAction, OrderSeen, ProofKind};
use renga_store::{OrNone, Read, Tx};
use tokio::sync::Mutex;

use crate::{
    Engine,
    driver::{Loop, Next},
    wakes::Bell,
};

mod deliver;

/// Orders that stand with the authority at one time (ours): each has its proof in the router's table.
const ORDERS_MAX: usize = 20;
/// Seconds until a name looks again for room, each name another number, so that thousands of them do not all look at once.
const ROOM_LOOK_S: std::ops::Range<u64> = 2..30;
/// Pause between looks whether the router has the proof.
const TABLE_LOOK: Duration = Duration::from_millis(25);
/// Pause between questions to the authority while it thinks: this at first, and so much more with every second.
const CHECK_LOOK: Duration = Duration::from_millis(500);
const CHECK_LOOK_MAX: Duration = Duration::from_secs(10);
/// An order that stays at one step for longer is dropped.
const STEP_TIME_MAX: SignedDuration = SignedDuration::from_mins(15);
/// What is due within this time is waited for; the rest is found by a scan.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Acm {
    engine: Engine,
    /// Held while an account is made, so that one is.
    account: Mutex<()>,
}

/// Why a step was not taken.
enum Stop {
    /// Another pass, or an operation, was quicker.
    Stale,
    Ours(Refusal),
    Theirs(AcmeError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Ours(refusal)
    }
}
impl From<AcmeError> for Stop {
    fn from(error: AcmeError) -> Self {
        Self::Theirs(error)
    }
}
impl From<IllegalAcmMove> for Stop {
    fn from(illegal: IllegalAcmMove) -> Self {
        Self::Ours(Refusal::internal(illegal))
    }
}

/// The domain of a name that should have a certificate.
fn wanted(read: &Read<'_>, name: &Hostname) -> Result<Option<Domain>, Refusal> {
    let Some(domain) = read.domain_find(name.as_str())? else { return Ok(None) };
    let app = read.app_fetch(domain.app).or_none()?.filter(|app| app.acm && !app.deleted);
    Ok(app.map(|_| domain))
}

impl Loop for Acm {
    type Key = Hostname;
    const NAME: &'static str = "certificate";

    fn passes_max(&self) -> usize {
        4
    }
    fn period(&self) -> Duration {
        Duration::from_secs(30)
    }
    fn bell(&self) -> &Bell<Hostname> {
        &self.engine.wake.acm
    }
    async fn scan(&self) -> Result<Vec<Hostname>, Refusal> {
        if self.engine.acme.is_none() {
            return Ok(Vec::new());
        }
        let now = self.engine.now();
        self.engine.store.read(move |read| read.acm_name_due(now).map_err(Refusal::from)).await
    }
    async fn pass(&self, name: Hostname) -> Result<Next, Refusal> {
        let Some(acme) = self.engine.acme.clone() else { return Ok(Next::Rest) };
        match self.look(&*acme, name).await {
            Ok(next) => Ok(next),
            Err(Stop::Stale) => Ok(Next::Again(Duration::ZERO)),
            Err(Stop::Ours(refusal)) => Err(refusal),
            Err(Stop::Theirs(error)) => Err(Refusal::internal(error)),
        }
    }
}

impl Acm {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, account: Mutex::default() }
    }

    async fn look(&self, acme: &dyn Acme, name: Hostname) -> Result<Next, Stop> {
        let key = name.clone();
        let found = self
            .engine
            .store
            .read(move |read| -> Result<_, Refusal> { Ok((read.acm_name_find(&key)?, wanted(read, &key)?)) });
        match found.await? {
            (None, None) => Ok(Next::Rest),
            (None, Some(domain)) => self.begin(name, domain.id).await,
            (Some(row), Some(domain)) if domain.id == row.domain => self.step(acme, row, domain.app).await,
            (Some(row), wanted) => self.forget(acme, &row, wanted.is_some()).await,
        }
    }

    async fn begin(&self, name: Hostname, domain: DomainId) -> Result<Next, Stop> {
        let row = AcmName::new(name, domain, self.engine.now());
        self.engine.store.write(move |tx| tx.acm_name_insert(&row).map_err(Refusal::from)).await?;
        Ok(Next::Again(Duration::ZERO))
    }

    /// Its domain went, or the wish. `again`: the name has come back, with another domain.
    async fn forget(&self, acme: &dyn Acme, row: &AcmName, again: bool) -> Result<Next, Stop> {
        self.clean_up(acme, row).await;
        let (name, generation) = (row.hostname.clone(), row.generation);
        let delete = self
            .engine
            .store
            .write(move |tx| -> Result<bool, Refusal> { Ok(tx.acm_name_delete(&name, generation)?) });
        let gone = delete.await?;
        self.engine.wake.routes();
        if !gone || again { Ok(Next::Again(Duration::ZERO)) } else { Ok(Next::Rest) }
    }

    async fn step(&self, acme: &dyn Acme, row: AcmName, app: AppId) -> Result<Next, Stop> {
        let now = self.engine.now();
        if row.step == AcmStep::Failed {
            return Ok(Next::Rest);
        }
        if now < row.due_at {
            let wait = Duration::try_from(row.due_at.duration_since(now)).unwrap_or_default();
            return Ok(if wait <= WAIT_MAX { Next::Again(wait) } else { Next::Rest });
        }
        let stuck = row.step.is_under_way() && now.duration_since(row.updated_at) > STEP_TIME_MAX;
        let taken = match (row.step, &row.order) {
            _ if stuck => Err(AcmeError::Away("an order came to no end".into()).into()),
            (AcmStep::Issued, _) => self.move_on(&row, AcmEvent::Ask, |row| row.order = None).await,
            (AcmStep::Proving, Some(order)) => self.prove(acme, &row, order).await,
            (AcmStep::Checking, Some(order)) => self.check(acme, &row, order).await,
            (AcmStep::Verified, Some(order)) => self.fetch(acme, &row, order, app).await,
            _ => self.order(acme, &row).await,
        };
        match taken {
            Err(Stop::Theirs(error)) => self.failed(acme, row, error).await,
            taken => taken,
        }
    }

    // === steps ===

    async fn order(&self, acme: &dyn Acme, row: &AcmName) -> Result<Next, Stop> {
        let under_way = self.engine.store.read(|read| read.acm_name_count_under_way().map_err(Refusal::from));
        if under_way.await? >= ORDERS_MAX {
            return Ok(Next::Again(Duration::from_secs(rand::rng().random_range(ROOM_LOOK_S))));
        }
        let by = if row.hostname.is_wildcard() { ProofKind::Dns } else { ProofKind::Http };
        if by == ProofKind::Dns && !acme.has_dns() {
            return Err(AcmeError::Refused(NO_DNS.into()).into());
        }
        let account = self.account(acme).await?;
        let order = acme.order(&account, &row.hostname, by).await?;
        let key = acme.new_key()?;
        let event = if order.proof.is_some() { AcmEvent::Order } else { AcmEvent::Convince };
        let now = self.engine.now();
        let next =
            AcmName { step: row.step.next(event)?, order: Some(order), updated_at: now, ..row.clone() };
        self.put(next, Some(key)).await?;
        self.engine.wake.routes();
        Ok(Next::Again(Duration::ZERO))
    }

    /// The proof is put where the authority will look; then it is told.
    async fn prove(&self, acme: &dyn Acme, row: &AcmName, order: &AcmOrder) -> Result<Next, Stop> {
        match &order.proof {
            Some(AcmProof::Http { token, .. }) if !self.engine.published.answers(token) => {
                return Ok(Next::Again(TABLE_LOOK));
            }
            Some(AcmProof::Dns { record, value }) => acme.dns(DnsAction::Present, record, value).await?,
            _ => {}
        }
        acme.tell(&self.account(acme).await?, order).await?;
        self.move_on(row, AcmEvent::Tell, |_| ()).await
    }

    async fn check(&self, acme: &dyn Acme, row: &AcmName, order: &AcmOrder) -> Result<Next, Stop> {
        match acme.look(&self.account(acme).await?, order).await? {
            OrderSeen::Pending => Ok(Next::Again(self.pause(row))),
            OrderSeen::Ready | OrderSeen::Processing | OrderSeen::Valid => {
                self.move_on(row, AcmEvent::Convince, |_| ()).await
            }
        }
    }

    async fn fetch(
        &self,
        acme: &dyn Acme,
        row: &AcmName,
        order: &AcmOrder,
        app: AppId,
    ) -> Result<Next, Stop> {
        let (account, name) = (self.account(acme).await?, row.hostname.clone());
        let key = self.engine.store.read(move |read| read.acm_name_key(&name).map_err(Refusal::from)).await?;
        let key = key.ok_or_else(|| Refusal::internal("an order without its key"))?;
        match acme.look(&account, order).await? {
            OrderSeen::Pending => Err(AcmeError::Away("an order went back".into()).into()),
            OrderSeen::Processing => Ok(Next::Again(self.pause(row))),
            OrderSeen::Ready => {
                acme.finish(&account, order, &row.hostname, &key).await?;
                Ok(Next::Again(Duration::ZERO))
            }
            OrderSeen::Valid => {
                let chain = acme.chain(&account, order).await?;
                self.clean_up(acme, row).await;
                self.deliver(row, &chain, key, app).await
            }
        }
    }

    /// Counts against the name, says why, and tries again later.
    async fn failed(&self, acme: &dyn Acme, row: AcmName, error: AcmeError) -> Result<Next, Stop> {
        self.clean_up(acme, &row).await;
        if error == AcmeError::UnknownAccount {
            let authority = acme.authority().to_owned();
            let delete = move |tx: &Tx<'_>| tx.acme_account_delete(&authority).map_err(Refusal::from);
            self.engine.store.write(delete).await?;
        }
        let (now, failures) = (self.engine.now(), row.failures + 1);
        let again = retry_at(failures, now, row.expires_at, rand::rng().random_range(0..1_000));
        // What no waiting mends is not tried again until somebody asks.
        let again = again.filter(|_| !matches!(&error, AcmeError::Refused(say) if say == NO_DNS));
        let event = if again.is_some() { AcmEvent::Miss } else { AcmEvent::GiveUp };
        tracing::warn!(
            domain.name = %row.hostname,
            certificate.failures = failures,
            "no certificate for {}: {error}",
            row.hostname
        );
        let next = AcmName {
            step: row.step.next(event)?,
            order: None,
            failures,
            reason: Some(error.to_string()),
            due_at: again.unwrap_or(row.due_at),
            updated_at: now,
            ..row
        };
        self.put(next, None).await?;
        self.engine.wake.routes();
        Ok(Next::Again(Duration::ZERO))
    }

    // === what steps share ===

    async fn account(&self, acme: &dyn Acme) -> Result<Secret, Stop> {
        let _one = self.account.lock().await;
        let authority = acme.authority().to_owned();
        let known =
            self.engine.store.read(move |read| read.acme_account_find(&authority).map_err(Refusal::from));
        if let Some(account) = known.await? {
            return Ok(account);
        }
        let account = acme.register().await?;
        let (authority, kept, now) = (acme.authority().to_owned(), account.clone(), self.engine.now());
        let put = move |tx: &Tx<'_>| tx.acme_account_put(&authority, &kept, now).map_err(Refusal::from);
        self.engine.store.write(put).await?;
        Ok(account)
    }

    async fn move_on(
        &self,
        row: &AcmName,
        event: AcmEvent,
        change: impl FnOnce(&mut AcmName),
    ) -> Result<Next, Stop> {
        let mut next = AcmName { step: row.step.next(event)?, updated_at: self.engine.now(), ..row.clone() };
        change(&mut next);
        let (name, under_way) = (row.hostname.clone(), row.step.is_under_way());
        let key = match under_way {
            true => {
                self.engine.store.read(move |read| read.acm_name_key(&name).map_err(Refusal::from)).await?
            }
            false => None,
        };
        self.put(next, key).await?;
        Ok(Next::Again(Duration::ZERO))
    }

    async fn put(&self, next: AcmName, key: Option<Secret>) -> Result<(), Stop> {
        let write = self
            .engine
            .store
            .write(move |tx| -> Result<bool, Refusal> { Ok(tx.acm_name_move(&next, key.as_ref())?) });
        if write.await? { Ok(()) } else { Err(Stop::Stale) }
    }

    /// A record that stays in DNS does no harm: that it could not be taken away is only told.
    async fn clean_up(&self, acme: &dyn Acme, row: &AcmName) {
        if let Some((record, value)) = row.dns_proof()
            && let Err(error) = acme.dns(DnsAction::Cleanup, record, value).await
        {
            tracing::warn!(domain.name = %row.hostname, "a DNS record of a certificate may be left: {error}");
        }
    }

    fn pause(&self, row: &AcmName) -> Duration {
        let for_s = self.engine.now().duration_since(row.updated_at).as_secs();
        (CHECK_LOOK * u32::try_from(for_s.clamp(0, 60) + 1).unwrap_or(1)).min(CHECK_LOOK_MAX)
    }
}

/// What the router is to answer certificate authorities, by token.
pub(crate) fn challenges(read: &Read<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let proofs = read.acm_name_list_proving()?.into_iter().filter_map(|row| row.order?.proof);
    let http = proofs.filter_map(|proof| match proof {
        AcmProof::Http { token, answer } => Some((token, answer)),
        AcmProof::Dns { .. } => None,
    });
    Ok(http.collect())
}

const NO_DNS: &str = "A wildcard can only be proven by DNS, and this platform has no program that writes DNS records. \
    Its operator must set acme.dns_hook; then ask again with certs:auto:refresh.";

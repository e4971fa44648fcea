//! A certificate authority that looks, when it is told to, at the router's table and at a DNS of this world's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use renga_model::{AcmOrder, AcmProof, Hostname, Secret};
use renga_ports::{Acme, AcmeError, Clock as _, DnsAction, OrderSeen, ProofKind};

use super::{Faults, World, faults::call};

const AUTHORITY: &str = "https://authority.test/directory";
/// As Let's Encrypt's.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[derive(Debug, Default)]
pub(crate) struct Authority {
    accounts: BTreeSet<String>,
    orders: Vec<SimOrder>,
    records: BTreeSet<(String, String)>,
    denied: BTreeMap<String, AcmeError>,
    issued: BTreeMap<String, u32>,
    life: Option<Duration>,
}

#[derive(Debug)]
struct SimOrder {
    name: String,
    seen: Result<OrderSeen, AcmeError>,
    chain_pem: String,
}

#[derive(Debug)]
pub struct WorldAcme {
    pub(crate) world: World,
    pub(crate) faults: Faults,
}

impl World {
    /// From now on the authority refuses this name, or with none no longer.
    pub fn authority_denies(&self, name: &str, why: Option<AcmeError>) {
        let denied = &mut self.state().authority.denied;
        match why {
            Some(why) => denied.insert(name.into(), why),
            None => denied.remove(name),
        };
    }
    /// How long its certificates live.
    pub fn authority_grants(&self, life: Duration) {
        self.state().authority.life = Some(life);
    }
    /// It has lost its memory: no account or order of before is known.
    pub fn authority_forgets(&self) {
        let authority = &mut self.state().authority;
        authority.accounts.clear();
        authority.orders.clear();
    }
    /// How many certificates it made out for a name.
    pub fn certificates_issued(&self, name: &str) -> u32 {
        self.state().authority.issued.get(name).copied().unwrap_or_default()
    }
    pub fn authority_accounts(&self) -> usize {
        self.state().authority.accounts.len()
    }
    /// What is in DNS.
    pub fn dns_records(&self) -> BTreeSet<(String, String)> {
        self.state().authority.records.clone()
    }
}

impl Authority {
    fn check_account(&self, account: &Secret) -> Result<(), AcmeError> {
        if self.accounts.contains(account.expose()) { Ok(()) } else { Err(AcmeError::UnknownAccount) }
    }
    fn order(&mut self, account: &Secret, order: &AcmOrder) -> Result<&mut SimOrder, AcmeError> {
        self.check_account(account)?;
        let index = order.url.rsplit('/').next().and_then(|number| number.parse::<usize>().ok());
        let found = index.and_then(|index| self.orders.get_mut(index));
        found.ok_or_else(|| AcmeError::Refused("There is no such order.".into()))
    }
}

impl WorldAcme {
    fn register_now(&self) -> Result<Secret, AcmeError> {
        let authority = &mut self.world.state().authority;
        let account = format!("account {}", authority.accounts.len());
        authority.accounts.insert(account.clone());
        Ok(Secret::new(account))
    }

    fn order_now(&self, account: &Secret, name: &Hostname, by: ProofKind) -> Result<AcmOrder, AcmeError> {
        let authority = &mut self.world.state().authority;
        authority.check_account(account)?;
        let number = authority.orders.len();
        let (name, seen) = (name.to_string(), Ok(OrderSeen::Pending));
        let proof = match by {
            ProofKind::Http => {
                AcmProof::Http { token: format!("token-{number}"), answer: format!("answer-{number}") }
            }
            ProofKind::Dns => AcmProof::Dns {
                record: format!("_acme-challenge.{}", name.trim_start_matches("*.")),
                value: format!("value-{number}"),
            },
        };
        authority.orders.push(SimOrder { name, seen, chain_pem: String::new() });
        Ok(AcmOrder { url: format!("https://authority.test/order/{number}"), proof: Some(proof) })
    }

    fn tell_now(&self, account: &Secret, order: &AcmOrder) -> Result<(), AcmeError> {
        let mut state = self.world.state();
        let found = match &order.proof {
            Some(AcmProof::Http { token, answer }) => state.table.challenges.get(token) == Some(answer),
            Some(AcmProof::Dns { record, value }) => {
                state.authority.records.contains(&(record.clone(), value.clone()))
            }
            None => true,
        };
        let denied = state.authority.denied.clone();
        let known = state.authority.order(account, order)?;
        if known.seen == Ok(OrderSeen::Pending) {
            known.seen = match denied.get(&known.name) {
                Some(why) => Err(why.clone()),
                None if found => Ok(OrderSeen::Ready),
                None => Err(AcmeError::Refused("Nothing was there to be found.".into())),
            };
        }
        let complaint = format!("the authority was told to look for {} too early", known.name);
        if !found {
            state.complaints.push(complaint);
        }
        Ok(())
    }

    fn finish_now(&self, account: &Secret, order: &AcmOrder, key_pem: &Secret) -> Result<(), AcmeError> {
        let now = self.world.clock().now();
        let authority = &mut self.world.state().authority;
        let life = authority.life.unwrap_or(LIFE);
        let known = authority.order(account, order)?;
        if known.seen == Ok(OrderSeen::Ready) {
            known.chain_pem = certificate(&known.name, key_pem, now, life)
                .map_err(|error| AcmeError::Local { operation: "sign", cause: error.to_string() })?;
            known.seen = Ok(OrderSeen::Valid);
            let name = known.name.clone();
            *authority.issued.entry(name).or_default() += 1;
        }
        Ok(())
    }

    fn dns_now(&self, action: DnsAction, record: &str, value: &str) {
        let records = &mut self.world.state().authority.records;
        let entry = (record.to_owned(), value.to_owned());
        match action {
            DnsAction::Present => records.insert(entry),
            DnsAction::Cleanup => records.remove(&entry),
        };
    }
}

fn away() -> AcmeError {
    AcmeError::Away("nobody is there".into())
}

#[async_trait]
impl Acme for WorldAcme {
    fn authority(&self) -> &str {
        AUTHORITY
    }
    async fn register(&self) -> Result<Secret, AcmeError> {
        call!(self.faults, away(), self.register_now())
    }
    async fn order(&self, account: &Secret, name: &Hostname, by: ProofKind) -> Result<AcmOrder, AcmeError> {
        call!(self.faults, away(), self.order_now(account, name, by))
    }
    async fn tell(&self, account: &Secret, order: &AcmOrder) -> Result<(), AcmeError> {
        call!(self.faults, away(), self.tell_now(account, order))
    }
    async fn look(&self, account: &Secret, order: &AcmOrder) -> Result<OrderSeen, AcmeError> {
        let look = || self.world.state().authority.order(account, order)?.seen.clone();
        call!(self.faults, away(), look())
    }
    fn new_key(&self) -> Result<Secret, AcmeError> {
        let made = KeyPair::generate();
        let made =
            made.map_err(|error| AcmeError::Local { operation: "make a key", cause: error.to_string() })?;
        Ok(Secret::new(made.serialize_pem()))
    }
    async fn finish(
        &self,
        account: &Secret,
        order: &AcmOrder,
        _: &Hostname,
        key_pem: &Secret,
    ) -> Result<(), AcmeError> {
        call!(self.faults, away(), self.finish_now(account, order, key_pem))
    }
    async fn chain(&self, account: &Secret, order: &AcmOrder) -> Result<String, AcmeError> {
        let chain = || Ok(self.world.state().authority.order(account, order)?.chain_pem.clone());
        call!(self.faults, away(), chain())
    }
    fn has_dns(&self) -> bool {
        true
    }
    async fn dns(&self, action: DnsAction, record: &str, value: &str) -> Result<(), AcmeError> {
        let act = || -> Result<(), AcmeError> {
            self.dns_now(action, record, value);
            Ok(())
        };
        call!(self.faults, away(), act())
    }
}

/// A leaf and its authority, which is made anew each time: nobody here follows the chain.
fn certificate(name: &str, key_pem: &Secret, now: Timestamp, life: Duration) -> Result<String, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
    let date = |at: Timestamp| {
        let days = at.as_second().div_euclid(86_400);
        let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(days));
        let part = |value: i8| u8::try_from(value).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    // Whole days: a certificate lives to the end of its last.
    (leaf.not_before, leaf.not_after) = (date(now), date(now + life));
    let leaf = leaf.signed_by(&KeyPair::from_pem(key_pem.expose())?, &issuer)?;
    Ok(format!("{}{}", leaf.pem(), root.pem()))
}

//! The steps of an order, each one call.

use std::{error::Error as _, io};

use async_trait::async_trait;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType, Error,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use renga_model::{AcmOrder, AcmProof, Hostname, Secret};
use renga_ports::{Acme, AcmeError, DnsAction, OrderSeen, ProofKind};
use tokio::sync::Mutex;

use crate::{config::Config, dns, transport::Transport, words};

/// An authority as the port has it.
pub struct AcmeClient {
    config: Config,
    transport: Transport,
    /// The account that was opened last, with what opened it.
    open: Mutex<Option<(Secret, Account)>>,
}

impl AcmeClient {
    /// Fails if the authorities or the proxy of the configuration cannot be understood. Nobody is asked yet.
    pub fn new(config: Config) -> io::Result<Self> {
        let transport = Transport::new(&config)?;
        Ok(Self { config, transport, open: Mutex::default() })
    }

    async fn account(&self, credentials: &Secret) -> Result<Account, AcmeError> {
        let mut open = self.open.lock().await;
        if let Some((_, account)) = open.as_ref().filter(|(key, _)| key == credentials) {
            return Ok(account.clone());
        }
        // What the parser says could quote the key.
        let parsed: AccountCredentials =
            serde_json::from_str(credentials.expose()).map_err(|_| AcmeError::UnknownAccount)?;
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let account = builder.from_credentials(parsed).await.map_err(|error| plain(&error))?;
        *open = Some((credentials.clone(), account.clone()));
        Ok(account)
    }

    /// Of what it is not looking at already.
    async fn tell_once(&self, account: &Secret, order: &AcmOrder, by: ProofKind) -> Result<(), AcmeError> {
        let mut open = self.open_order(account, order).await?;
        let mut authorizations = open.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| plain(&error))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(challenge_type(by)) else { continue };
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|error| plain(&error))?;
            }
        }
        Ok(())
    }

    async fn open_order(&self, account: &Secret, order: &AcmOrder) -> Result<Order, AcmeError> {
        let account = self.account(account).await?;
        account.order(order.url.clone()).await.map_err(|error| plain(&error))
    }
}

fn plain(error: &Error) -> AcmeError {
    words::failure(error, None)
}

#[async_trait]
impl Acme for AcmeClient {
    fn authority(&self) -> &str {
        &self.config.directory
    }

    async fn register(&self) -> Result<Secret, AcmeError> {
        let contact = self.config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.config.binding.as_ref().map(|binding| {
            let key = binding.bytes().map_err(|mistake| local("use the account binding's key", mistake))?;
            Ok::<_, AcmeError>(ExternalAccountKey::new(binding.key_id.clone(), &key))
        });
        let binding = binding.transpose()?;
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let made = builder.create(&new, self.config.directory.clone(), binding.as_ref()).await;
        let (account, credentials) = made.map_err(|error| plain(&error))?;
        let text = serde_json::to_string(&credentials).map_err(|error| local("keep the account", error))?;
        let credentials = Secret::new(text);
        *self.open.lock().await = Some((credentials.clone(), account));
        Ok(credentials)
    }

    async fn order(&self, account: &Secret, name: &Hostname, by: ProofKind) -> Result<AcmOrder, AcmeError> {
        let account = self.account(account).await?;
        let names = [Identifier::Dns(name.to_string())];
        let failed = |error: &Error| words::failure(error, Some(name));
        let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(|error| failed(&error))?;
        let url = order.url().to_owned();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| failed(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(challenge_type(by));
            let challenge = challenge.ok_or_else(|| AcmeError::Refused(words::no_such_proof(name, by)))?;
            let key = challenge.key_authorization();
            let proof = match by {
                ProofKind::Http => {
                    AcmProof::Http { token: challenge.token.clone(), answer: key.as_str().to_owned() }
                }
                ProofKind::Dns => AcmProof::Dns { record: dns::record_name(name), value: key.dns_value() },
            };
            return Ok(AcmOrder { url, proof: Some(proof) });
        }
        Ok(AcmOrder { url, proof: None })
    }

    async fn tell(&self, account: &Secret, order: &AcmOrder) -> Result<(), AcmeError> {
        let Some(proof) = &order.proof else { return Ok(()) };
        let by = if ProofKind::Http.is(proof) { ProofKind::Http } else { ProofKind::Dns };
        let told = self.tell_once(account, order, by).await;
        // It may have begun to look, or have seen enough, while it was told again, and then takes that for a mistake.
        match told {
            Err(AcmeError::Refused(_)) => self.tell_once(account, order, by).await,
            told => told,
        }
    }

    async fn look(&self, account: &Secret, order: &AcmOrder) -> Result<OrderSeen, AcmeError> {
        let mut open = self.open_order(account, order).await?;
        match open.state().status {
            OrderStatus::Pending => Ok(OrderSeen::Pending),
            OrderStatus::Ready => Ok(OrderSeen::Ready),
            OrderStatus::Processing => Ok(OrderSeen::Processing),
            OrderStatus::Valid => Ok(OrderSeen::Valid),
            OrderStatus::Invalid => Err(why_invalid(&mut open).await),
        }
    }

    fn new_key(&self) -> Result<Secret, AcmeError> {
        let key = KeyPair::generate().map_err(|error| local("make a key", error))?;
        Ok(Secret::new(key.serialize_pem()))
    }

    async fn finish(
        &self,
        account: &Secret,
        order: &AcmOrder,
        name: &Hostname,
        key_pem: &Secret,
    ) -> Result<(), AcmeError> {
        let request =
            signing_request(name, key_pem).map_err(|error| local("ask for a certificate", error))?;
        let mut open = self.open_order(account, order).await?;
        open.finalize_csr(&request).await.map_err(|error| words::failure(&error, Some(name)))
    }

    async fn chain(&self, account: &Secret, order: &AcmOrder) -> Result<String, AcmeError> {
        let mut open = self.open_order(account, order).await?;
        let chain = open.certificate().await.map_err(|error| plain(&error))?;
        chain.ok_or_else(|| AcmeError::Away("the certificate is not ready yet".into()))
    }

    fn has_dns(&self) -> bool {
        !self.config.dns_hook.is_empty()
    }

    async fn dns(&self, action: DnsAction, record: &str, value: &str) -> Result<(), AcmeError> {
        dns::run(&self.config, action, record, value).await
    }
}

fn challenge_type(by: ProofKind) -> ChallengeType {
    match by {
        ProofKind::Http => ChallengeType::Http01,
        ProofKind::Dns => ChallengeType::Dns01,
    }
}

/// What the authority found when it looked.
async fn why_invalid(order: &mut Order) -> AcmeError {
    let of_order = order.state().error.as_ref().map(|problem| words::problem(problem, None));
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string().parse().ok();
        let found = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = found {
            return words::problem(problem, name.as_ref());
        }
    }
    of_order.unwrap_or_else(|| AcmeError::Refused(words::ORDER_GONE.into()))
}

/// PKCS#10, in DER.
fn signing_request(name: &Hostname, key_pem: &Secret) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(key_pem.expose())?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

fn local(operation: &'static str, cause: impl std::fmt::Display) -> AcmeError {
    AcmeError::Local { operation, cause: cause.to_string() }
}

/// An error with its causes, in one line.
pub(crate) fn chain_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

impl std::fmt::Debug for AcmeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeClient").field("directory", &self.config.directory).finish_non_exhaustive()
    }
}

//! The port to a certificate authority that speaks ACME (RFC 8555), and to the operator's DNS. Every call is one step;
//! what has to outlast the next crash is given back, to be kept by the caller.

use async_trait::async_trait;
use renga_model::{AcmOrder, AcmProof, Hostname, Secret};

#[async_trait]
pub trait Acme: Send + Sync + 'static {
    /// Says which authority it is; an account with one is nothing to another.
    fn authority(&self) -> &str;

    /// Makes an account. What is given back is its key, and opens it again.
    async fn register(&self) -> Result<Secret, AcmeError>;

    /// Begins an order for one name. Ordering twice is fine: one of the two is forgotten.
    async fn order(&self, account: &Secret, name: &Hostname, by: ProofKind) -> Result<AcmOrder, AcmeError>;

    /// Tells the authority that the proof is in its place. Telling again is fine.
    async fn tell(&self, account: &Secret, order: &AcmOrder) -> Result<(), AcmeError>;

    /// What has become of an order.
    async fn look(&self, account: &Secret, order: &AcmOrder) -> Result<OrderSeen, AcmeError>;

    /// A key for a certificate, as PEM.
    fn new_key(&self) -> Result<Secret, AcmeError>;

    /// Has the certificate made out, of an order that is ready.
    async fn finish(
        &self,
        account: &Secret,
        order: &AcmOrder,
        name: &Hostname,
        key_pem: &Secret,
    ) -> Result<(), AcmeError>;

    /// The certificate with its chain, as PEM, of an order that is valid.
    async fn chain(&self, account: &Secret, order: &AcmOrder) -> Result<String, AcmeError>;

    /// Whether records can be put into DNS at all.
    fn has_dns(&self) -> bool;

    /// Puts a TXT record into DNS, or takes it away. Returns when the authority may look. Doing it twice is fine.
    async fn dns(&self, action: DnsAction, record: &str, value: &str) -> Result<(), AcmeError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofKind {
    Http,
    Dns,
}

impl ProofKind {
    pub fn is(self, proof: &AcmProof) -> bool {
        matches!((self, proof), (Self::Http, AcmProof::Http { .. }) | (Self::Dns, AcmProof::Dns { .. }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsAction {
    Present,
    Cleanup,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderSeen {
    /// Not convinced yet.
    Pending,
    Ready,
    /// The certificate is being made.
    Processing,
    Valid,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcmeError {
    /// Neither the name's fault nor its owner's.
    #[error("The certificate authority does not answer: {0}")]
    Away(String),
    /// It wants to be left alone for a while.
    #[error("{0}")]
    Later(String),
    /// What was asked for can't be had as things are; the text is for the name's owner.
    #[error("{0}")]
    Refused(String),
    /// The account is not known (any more).
    #[error("The certificate authority does not know this platform's account.")]
    UnknownAccount,
    /// The operator's program for DNS failed.
    #[error("{0}")]
    Dns(String),
    #[error("could not {operation}: {cause}")]
    Local { operation: &'static str, cause: String },
}

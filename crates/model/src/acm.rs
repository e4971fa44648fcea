//! Automatic certificates: a host name on its way to one, and for as long as it has one.
//!
//! ```text
//!          order made          CA told to look         CA is convinced         chain fetched
//! Wanted ────────────> Proving ──────────────> Checking ──────────────> Verified ────────────> Issued
//!   ^ ^  └──nothing to be proven: Verified        │                        │                     │
//!   │ └────── failed: again, later ───────────────┴────────────────────────┘                     │
//!   └──────────── renewal, or the owner asks again ──────────────────────────────────────────────┘
//!              failed too often, and no certificate is left: Failed ──the owner asks again──> Wanted
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DomainId, Hostname};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmStep {
    /// No order stands with the authority.
    Wanted,
    /// What proves the name is in the ledger, and on its way to where the authority will look.
    Proving,
    /// The authority was told to look.
    Checking,
    /// The authority is convinced; the certificate is made out for the key that the ledger has.
    Verified,
    /// A certificate is there, until it is time for the next.
    Issued,
    /// Given up.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmEvent {
    Order,
    Tell,
    Convince,
    Fetch,
    /// Something went wrong; there will be another attempt.
    Miss,
    GiveUp,
    /// It is time for the next certificate, or the owner wants another attempt.
    Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a certificate that is {from:?} can't take {event:?}")]
pub struct IllegalAcmMove {
    pub from: AcmStep,
    pub event: AcmEvent,
}

impl AcmStep {
    pub fn next(self, event: AcmEvent) -> Result<Self, IllegalAcmMove> {
        match (self, event) {
            (Self::Wanted, AcmEvent::Order) => Ok(Self::Proving),
            (Self::Proving, AcmEvent::Tell) => Ok(Self::Checking),
            (Self::Wanted | Self::Checking, AcmEvent::Convince) => Ok(Self::Verified),
            (Self::Verified, AcmEvent::Fetch) => Ok(Self::Issued),
            (Self::Wanted | Self::Proving | Self::Checking | Self::Verified, AcmEvent::Miss) => {
                Ok(Self::Wanted)
            }
            (Self::Wanted | Self::Proving | Self::Checking | Self::Verified, AcmEvent::GiveUp) => {
                Ok(Self::Failed)
            }
            (Self::Wanted | Self::Issued | Self::Failed, AcmEvent::Ask) => Ok(Self::Wanted),
            (from, event) => Err(IllegalAcmMove { from, event }),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Proving => "proving",
            Self::Checking => "checking",
            Self::Verified => "verified",
            Self::Issued => "issued",
            Self::Failed => "failed",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Wanted, Self::Proving, Self::Checking, Self::Verified, Self::Issued, Self::Failed]
            .into_iter()
            .find(|step| step.as_str() == text)
    }
    /// Whether an order stands with the authority.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Proving | Self::Checking | Self::Verified)
    }
}

/// A host name that the platform keeps a certificate for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmName {
    pub hostname: Hostname,
    pub domain: DomainId,
    pub step: AcmStep,
    pub order: Option<AcmOrder>,
    /// Attempts in a row that came to nothing, and what was wrong with the last.
    pub failures: u32,
    pub reason: Option<String>,
    /// Nothing is to be done before.
    pub due_at: Timestamp,
    /// Of the certificate that was fetched last.
    pub expires_at: Option<Timestamp>,
    pub generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What stands with the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcmOrder {
    pub url: String,
    /// None: the authority was convinced already.
    pub proof: Option<AcmProof>,
}

/// What shows the authority that a name is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcmProof {
    /// http-01: what the router answers at `/.well-known/acme-challenge/TOKEN`.
    Http { token: String, answer: String },
    /// dns-01: a TXT record.
    Dns { record: String, value: String },
}

impl AcmName {
    /// One that nothing was done for yet.
    pub fn new(hostname: Hostname, domain: DomainId, now: Timestamp) -> Self {
        Self {
            hostname,
            domain,
            step: AcmStep::Wanted,
            order: None,
            failures: 0,
            reason: None,
            due_at: now,
            expires_at: None,
            generation: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// In Heroku's words.
    pub fn status(&self) -> &'static str {
        match self.step {
            AcmStep::Failed => "failed",
            AcmStep::Issued => "cert issued",
            _ if self.failures > 0 => "failing",
            // The one before is served while the next is fetched.
            _ if self.expires_at.is_some() => "cert issued",
            AcmStep::Verified => "verified",
            _ => "pending",
        }
    }

    pub fn dns_proof(&self) -> Option<(&str, &str)> {
        match self.order.as_ref()?.proof.as_ref()? {
            AcmProof::Dns { record, value } => Some((record, value)),
            AcmProof::Http { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_drawing() {
        use AcmEvent::*;
        let walk = |events: &[AcmEvent]| {
            events.iter().try_fold(AcmStep::Wanted, |step, event| step.next(*event)).ok()
        };
        assert_eq!(walk(&[Order, Tell, Convince, Fetch]), Some(AcmStep::Issued));
        assert_eq!(walk(&[Convince, Fetch, Ask, Order, Miss]), Some(AcmStep::Wanted));
        assert_eq!(walk(&[Order, GiveUp, Ask]), Some(AcmStep::Wanted));
        for bad in [&[Tell][..], &[Order, Convince], &[Order, Fetch], &[Order, Ask], &[GiveUp, Miss]] {
            assert_eq!(walk(bad), None, "{bad:?}");
        }
        for step in [AcmStep::Wanted, AcmStep::Proving, AcmStep::Checking, AcmStep::Failed] {
            assert_eq!(AcmStep::parse(step.as_str()), Some(step));
        }
    }

    #[test]
    fn what_people_read_says_whether_a_certificate_is_served() {
        let name =
            AcmName::new("www.example.com".parse().unwrap(), DomainId::random(), Timestamp::UNIX_EPOCH);
        assert_eq!(name.status(), "pending");
        let verified = AcmName { step: AcmStep::Verified, ..name.clone() };
        assert_eq!(verified.status(), "verified");
        let failing = AcmName { failures: 1, ..name.clone() };
        assert_eq!(failing.status(), "failing");
        let renewing = AcmName { expires_at: Some(Timestamp::UNIX_EPOCH), ..verified };
        assert_eq!(renewing.status(), "cert issued");
    }
}

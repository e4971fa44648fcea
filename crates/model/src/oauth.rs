//! Programs that act for accounts, and links that work once.

use jiff::Timestamp;

use crate::{AccountId, OauthClientId, RefreshTokenId, Secret};

/// A program that asks accounts for access. Its owner reads the secret as often as he likes, so it is kept, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthClient {
    pub id: OauthClientId,
    pub account: AccountId,
    pub name: String,
    pub redirect_uri: String,
    pub secret: Secret,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What makes new access tokens of an authorization; of the value itself only a hash and a mask exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    pub id: RefreshTokenId,
    pub masked: String,
}

/// What a value that works once is for. A value of one kind opens nothing of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimeKind {
    /// A grant that its client exchanges for tokens.
    Grant,
    /// A new password for an account that exists.
    PasswordReset,
    /// An account for an address that has none.
    Invitation,
}

impl OneTimeKind {
    pub const ALL: [Self; 3] = [Self::Grant, Self::PasswordReset, Self::Invitation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::PasswordReset => "password-reset",
            Self::Invitation => "invitation",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A value that opens one thing, once, until it expires. The value itself is known by its hash alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    pub kind: OneTimeKind,
    /// Whom or what it is for: an e-mail address, or an authorization's id. Never a secret.
    pub subject: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

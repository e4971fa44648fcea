//! Accounts and their tokens.

use jiff::Timestamp;

use crate::{AccessTokenId, AccountId, KeyId, OauthClientId, Refresh, SessionId, TEAM_DOMAIN, TokenId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub name: Option<String>,
    pub allow_tracking: bool,
    pub beta: bool,
    /// Names of the account's features that are on.
    pub features_on: Vec<String>,
    /// A code from a device is asked for beside the password.
    pub two_factor: bool,
    /// May do to accounts what their owners may.
    pub operator: bool,
    pub last_login: Option<Timestamp>,
    /// Shut out by the operator since then: no token and no password of it opens anything. Its apps run on.
    pub suspended_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Account {
    pub fn new(id: AccountId, email: String, now: Timestamp) -> Self {
        Self {
            id,
            email,
            name: None,
            allow_tracking: false,
            beta: false,
            features_on: Vec::new(),
            two_factor: false,
            operator: false,
            last_login: None,
            suspended_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether it stands for a team: nobody can log in to it.
    pub fn is_team(&self) -> bool {
        self.email.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(TEAM_DOMAIN))
    }
}

/// A public key of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    pub id: KeyId,
    pub account: AccountId,
    /// `TYPE BASE64 COMMENT`.
    pub public_key: String,
    pub comment: String,
    /// MD5 of the key, in pairs of hex digits: as Heroku shows it, and no secret.
    pub fingerprint: String,
    pub created_at: Timestamp,
}

/// An authorization with its access token, as kept: of the value itself only a hash and a mask exist
/// (`HRKU-ab**********yz`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub description: String,
    pub scopes: Vec<TokenScope>,
    /// The program that the account's owner gave this to; none: made by himself.
    pub client: Option<OauthClientId>,
    /// The log-in that this began with.
    pub session: Option<SessionId>,
    /// Of the value that is valid now; a refresh gives another.
    pub access: AccessTokenId,
    pub masked: String,
    pub refresh: Option<Refresh>,
    /// Nobody has exchanged its grant yet, so nobody holds a value.
    pub pending: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Of the access token.
    pub expires_at: Option<Timestamp>,
}

impl Token {
    /// Whether its access token opens anything at this time.
    pub fn opens(&self, now: Timestamp) -> bool {
        !self.pending && self.expires_at.is_none_or(|at| now < at)
    }
    /// Whether it is still good for something: opening, or making an access token that opens.
    pub fn stands(&self, now: Timestamp) -> bool {
        self.refresh.is_some() || self.expires_at.is_none_or(|at| now < at)
    }
}

/// OAuth scopes, as Heroku names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    Global,
    Identity,
    Read,
    Write,
    ReadProtected,
    WriteProtected,
}

impl TokenScope {
    pub const ALL: [TokenScope; 6] =
        [Self::Global, Self::Identity, Self::Read, Self::Write, Self::ReadProtected, Self::WriteProtected];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

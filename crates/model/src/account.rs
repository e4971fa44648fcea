//! Accounts and their tokens.

use jiff::Timestamp;

use crate::{AccountId, TEAM_DOMAIN, TokenId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Account {
    /// Whether it stands for a team: nobody can log in to it.
    pub fn is_team(&self) -> bool {
        self.email.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(TEAM_DOMAIN))
    }
}

/// An API token as kept: of the value itself only a hash and a mask exist (`HRKU-ab**********yz`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub account: AccountId,
    pub description: String,
    pub scopes: Vec<TokenScope>,
    pub masked: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
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

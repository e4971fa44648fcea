//! Accounts, authorizations (API tokens) and what surrounds signing in.

use renga_model::{Account as ModelAccount, Token};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdName, IdOnly, Time};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub allow_tracking: bool,
    pub beta: bool,
    pub created_at: Time,
    pub email: String,
    pub federated: bool,
    pub id: Uuid,
    pub identity_provider: Option<IdName>,
    pub last_login: Option<Time>,
    pub name: Option<String>,
    pub sms_number: Option<String>,
    pub suspended_at: Option<Time>,
    pub delinquent_at: Option<Time>,
    pub two_factor_authentication: bool,
    pub updated_at: Time,
    pub verified: bool,
    pub country_of_residence: Option<String>,
    pub default_organization: Option<IdName>,
    pub default_team: Option<IdName>,
}

impl Account {
    pub fn new(account: &ModelAccount) -> Self {
        Self {
            allow_tracking: false,
            beta: false,
            created_at: account.created_at.into(),
            email: account.email.clone(),
            federated: false,
            id: account.id.uuid(),
            identity_provider: None,
            last_login: None,
            name: account.name.clone(),
            sms_number: None,
            suspended_at: None,
            delinquent_at: None,
            two_factor_authentication: false,
            updated_at: account.updated_at.into(),
            verified: true,
            country_of_residence: None,
            default_organization: None,
            default_team: None,
        }
    }
}

/// Nobody is billed here, so nobody is ever late.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Delinquency {
    pub scheduled_suspension_time: Option<Time>,
    pub scheduled_deletion_time: Option<Time>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RateLimit {
    pub remaining: u32,
}

// === authorizations ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Authorization {
    pub access_token: Option<AccessToken>,
    pub client: Option<AuthorizationClient>,
    pub created_at: Time,
    pub description: String,
    pub grant: Option<IdOnly>,
    pub id: Uuid,
    pub refresh_token: Option<AccessToken>,
    pub scope: Vec<String>,
    pub session: Option<IdOnly>,
    pub updated_at: Time,
    pub user: AuthorizationUser,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// Seconds from now; null for a token that does not expire.
    pub expires_in: Option<i64>,
    pub id: Uuid,
    /// The value itself only for the caller who presented it or just made it; otherwise the mask.
    pub token: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorizationClient {
    pub id: Uuid,
    pub name: String,
    pub redirect_uri: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorizationUser {
    pub id: Uuid,
    pub email: String,
    pub full_name: Option<String>,
}

impl Authorization {
    /// `value` is the token itself, when this caller may see it.
    pub fn new(token: &Token, user: &ModelAccount, value: Option<&str>, now: jiff::Timestamp) -> Self {
        let expires_in = token.expires_at.map(|at| (at.as_second() - now.as_second()).max(0));
        Self {
            access_token: Some(AccessToken {
                expires_in,
                id: token.id.uuid(),
                token: value.unwrap_or(&token.masked).to_owned(),
            }),
            client: None,
            created_at: token.created_at.into(),
            description: token.description.clone(),
            grant: None,
            id: token.id.uuid(),
            refresh_token: None,
            scope: token.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            session: None,
            updated_at: token.created_at.into(),
            user: AuthorizationUser {
                id: user.id.uuid(),
                email: user.email.clone(),
                full_name: user.name.clone(),
            },
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationCreate {
    #[serde(default)]
    pub client: Option<serde_json::Value>,
    #[serde(default)]
    pub description: Option<String>,
    /// Seconds; the official command line sends what its user typed, as a string.
    #[serde(default)]
    pub expires_in: Option<NumberText>,
    #[serde(default)]
    pub scope: Option<Vec<String>>,
}

/// A whole number, or the text of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number")]
pub enum NumberText {
    Number(i64),
    Text(String),
}

impl NumberText {
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

// === signing in with a browser ===

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserLoginBegin {
    #[serde(default)]
    pub description: Option<String>,
}

/// Both URLs are paths below the login host; `token` is what the command line polls with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrowserLogin {
    pub browser_url: String,
    pub cli_url: String,
    pub token: String,
}

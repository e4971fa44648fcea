//! Accounts, authorizations (API tokens) and what surrounds signing in.

use renga_model::{Account as ModelAccount, OauthClient, Team, Token};
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
            allow_tracking: account.allow_tracking,
            beta: account.beta,
            created_at: account.created_at.into(),
            email: account.email.clone(),
            federated: false,
            id: account.id.uuid(),
            identity_provider: None,
            last_login: account.last_login.map(Into::into),
            name: account.name.clone(),
            sms_number: None,
            suspended_at: account.suspended_at.map(Into::into),
            delinquent_at: None,
            two_factor_authentication: account.two_factor,
            updated_at: account.updated_at.into(),
            verified: true,
            country_of_residence: None,
            default_organization: None,
            default_team: None,
        }
    }
}

/// A change of e-mail or password takes the current password.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountUpdate {
    #[serde(default)]
    pub allow_tracking: Option<bool>,
    #[serde(default)]
    pub beta: Option<bool>,
    /// `null` takes the name away.
    #[serde(default, deserialize_with = "given")]
    pub name: Option<Option<String>>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub new_password: Option<String>,
}

impl std::fmt::Debug for AccountUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountUpdate")
    }
}

/// Tells a member that is `null` from one that is absent.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl Account {
    /// Where its new apps go if they name no team.
    pub fn with_default_team(mut self, team: Option<&Team>) -> Self {
        let team = team.map(|team| IdName { id: team.id.uuid(), name: team.name.to_string() });
        (self.default_organization, self.default_team) = (team.clone(), team);
        self
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
    pub grant: Option<Grant>,
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

/// Shown once, to whoever gave it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    pub code: String,
    pub expires_in: i64,
    pub id: Uuid,
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
    /// `value` is the access token itself, when this caller may see it; `client` the one that the authorization is of.
    pub fn new(
        token: &Token,
        client: Option<&OauthClient>,
        user: &ModelAccount,
        value: Option<&str>,
        now: jiff::Timestamp,
    ) -> Self {
        let access = || AccessToken::of_access(token, value.unwrap_or(&token.masked), now);
        Self {
            access_token: token.opens(now).then(access),
            client: client.map(|client| AuthorizationClient {
                id: client.id.uuid(),
                name: client.name.clone(),
                redirect_uri: client.redirect_uri.clone(),
            }),
            created_at: token.created_at.into(),
            description: token.description.clone(),
            grant: None,
            id: token.id.uuid(),
            refresh_token: token.refresh.as_ref().map(|refresh| AccessToken {
                expires_in: None,
                id: refresh.id.uuid(),
                token: refresh.masked.clone(),
            }),
            scope: token.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            session: token.session.map(|session| IdOnly { id: session.uuid() }),
            updated_at: token.updated_at.into(),
            user: AuthorizationUser {
                id: user.id.uuid(),
                email: user.email.clone(),
                full_name: user.name.clone(),
            },
        }
    }

    /// With the code of the grant that it waits for.
    pub fn with_grant(self, code: &str, token: &Token, now: jiff::Timestamp) -> Self {
        let grant = Grant {
            code: code.to_owned(),
            expires_in: seconds_left(token, now).unwrap_or_default(),
            id: token.access.uuid(),
        };
        Self { grant: Some(grant), ..self }
    }
}

impl AccessToken {
    pub(crate) fn of_access(token: &Token, shown: &str, now: jiff::Timestamp) -> Self {
        Self { expires_in: seconds_left(token, now), id: token.access.uuid(), token: shown.to_owned() }
    }
}

fn seconds_left(token: &Token, now: jiff::Timestamp) -> Option<i64> {
    token.expires_at.map(|at| (at.as_second() - now.as_second()).max(0))
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationCreate {
    /// The id of a client that is to get it; the answer has a grant then.
    #[serde(default)]
    pub client: Option<String>,
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

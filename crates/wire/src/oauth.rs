//! Programs that act for accounts: clients, tokens, sessions.

use renga_model::{OauthClient, Token};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{AccessToken, IdOnly, Time};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Client {
    pub created_at: Time,
    pub id: Uuid,
    pub ignores_delinquent: Option<bool>,
    pub name: String,
    pub redirect_uri: String,
    /// For its owner only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    pub updated_at: Time,
}

impl Client {
    pub fn for_owner(client: &OauthClient) -> Self {
        Self { secret: Some(client.secret.expose().to_owned()), ..Self::for_anybody(client) }
    }

    pub fn for_anybody(client: &OauthClient) -> Self {
        Self {
            created_at: client.created_at.into(),
            id: client.id.uuid(),
            ignores_delinquent: Some(false),
            name: client.name.clone(),
            redirect_uri: client.redirect_uri.clone(),
            secret: None,
            updated_at: client.updated_at.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCreate {
    pub name: String,
    pub redirect_uri: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientUpdate {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub redirect_uri: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationUpdate {
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub client: Option<ClientProof>,
}

/// Whoever knows the secret may hand an authorization to the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientProof {
    pub id: String,
    pub secret: String,
}

// === tokens ===

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthTokenCreate {
    pub client: ClientSecret,
    pub grant: GrantGiven,
    #[serde(default)]
    pub refresh_token: Option<RefreshGiven>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientSecret {
    pub secret: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GrantGiven {
    #[serde(default)]
    pub code: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RefreshGiven {
    #[serde(default)]
    pub token: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OauthToken {
    pub access_token: AccessToken,
    pub authorization: IdOnly,
    pub client: Option<ClientSecret>,
    pub created_at: Time,
    pub grant: GrantShown,
    pub id: Uuid,
    pub refresh_token: AccessToken,
    pub session: IdOnly,
    pub updated_at: Time,
    pub user: IdOnly,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantShown {
    pub code: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// Values that this caller presented or was just given; the rest is shown by its mask.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    pub access: Option<&'a str>,
    pub refresh: Option<&'a str>,
    pub client_secret: Option<&'a str>,
    pub code: Option<&'a str>,
}

impl OauthToken {
    pub fn new(token: &Token, kind: &str, shown: Shown<'_>, now: jiff::Timestamp) -> Self {
        let refresh = token.refresh.as_ref();
        // What has neither a refresh token nor a session is its own: the schema wants an id.
        let refresh_id = refresh.map_or(token.id.uuid(), |refresh| refresh.id.uuid());
        let refresh_masked = refresh.map_or("", |refresh| &refresh.masked);
        Self {
            access_token: AccessToken::of_access(token, shown.access.unwrap_or(&token.masked), now),
            authorization: IdOnly { id: token.id.uuid() },
            client: shown.client_secret.map(|secret| ClientSecret { secret: secret.to_owned() }),
            created_at: token.created_at.into(),
            grant: GrantShown { code: shown.code.unwrap_or_default().to_owned(), kind: kind.to_owned() },
            id: token.access.uuid(),
            refresh_token: AccessToken {
                expires_in: None,
                id: refresh_id,
                token: shown.refresh.unwrap_or(refresh_masked).to_owned(),
            },
            session: IdOnly { id: token.session.map_or(token.id.uuid(), |session| session.uuid()) },
            updated_at: token.updated_at.into(),
            user: IdOnly { id: token.account.uuid() },
        }
    }
}

/// What `/oauth/token` answers, in the words of the OAuth standard and of Heroku's identity service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenAnswer {
    pub access_token: String,
    pub expires_in: i64,
    pub refresh_token: String,
    pub token_type: String,
    pub user_id: Uuid,
    pub session_nonce: Option<String>,
}

// === sessions ===

/// A log-in, and what it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    pub created_at: Time,
    pub description: String,
    /// Seconds; null for one that goes on until it is ended.
    pub expires_in: Option<i64>,
    pub id: Uuid,
    pub updated_at: Time,
}

impl Session {
    /// None for what began without a log-in.
    pub fn of(token: &Token, now: jiff::Timestamp) -> Option<Self> {
        // A client's session goes on as long as it may refresh.
        let ends = token.expires_at.filter(|_| token.refresh.is_none());
        Some(Self {
            created_at: token.created_at.into(),
            description: token.description.clone(),
            expires_in: ends.map(|at| (at.as_second() - now.as_second()).max(0)),
            id: token.session?.uuid(),
            updated_at: token.updated_at.into(),
        })
    }
}

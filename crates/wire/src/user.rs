//! Accounts as the operator sees them (no part of Heroku's API), and password resets (a part of it).

use renga_model::Account;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Time, UserRef};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub name: Option<String>,
    pub operator: bool,
    pub two_factor_authentication: bool,
    /// Disabled since then.
    pub suspended_at: Option<Time>,
    pub last_login: Option<Time>,
    pub created_at: Time,
}

impl User {
    pub fn new(account: &Account) -> Self {
        Self {
            id: account.id.uuid(),
            email: account.email.clone(),
            name: account.name.clone(),
            operator: account.operator,
            two_factor_authentication: account.two_factor,
            suspended_at: account.suspended_at.map(Into::into),
            last_login: account.last_login.map(Into::into),
            created_at: account.created_at.into(),
        }
    }
}

/// Without a password somebody is invited: he chooses it himself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserCreate {
    pub email: String,
    #[serde(default)]
    pub password: Option<String>,
}

impl std::fmt::Debug for UserCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserCreate").field("email", &self.email).finish_non_exhaustive()
    }
}

/// A link for somebody, shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserLink {
    pub email: String,
    /// Null for an account that was made with a password.
    pub url: Option<String>,
    pub expires_at: Option<Time>,
    /// A letter with it is on its way as well.
    pub mailed: bool,
}

// === password resets ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasswordReset {
    pub created_at: Time,
    pub user: UserRef,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordResetCreate {
    pub email: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordResetFinalize {
    pub password: String,
    pub password_confirmation: String,
}

impl std::fmt::Debug for PasswordResetFinalize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordResetFinalize")
    }
}

// === second factors ===

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordGiven {
    pub password: String,
}

impl std::fmt::Debug for PasswordGiven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordGiven")
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeGiven {
    pub code: String,
}

impl std::fmt::Debug for CodeGiven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeGiven")
    }
}

/// For a device; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct TwoFactorBegun {
    pub secret: String,
    pub url: String,
}

impl std::fmt::Debug for TwoFactorBegun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TwoFactorBegun")
    }
}

/// Each works once, in the place of a device's code; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct TwoFactorEnabled {
    pub recovery_codes: Vec<String>,
}

impl std::fmt::Debug for TwoFactorEnabled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TwoFactorEnabled")
    }
}

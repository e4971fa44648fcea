//! What an account says of itself, how it is changed, and its end.

use renga_model::{Account, AccountId, Email, Fault, Refusal, Secret, Team, TeamRole, TokenId};
use renga_store::{OrNone, PasswordHash, Tx};

use crate::Engine;

/// Characters of a password that is chosen anew, and bytes, so that hashing it stays cheap (ours).
const PASSWORD_CHARS_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1_024;
/// Characters of a name (ours).
const NAME_CHARS_MAX: usize = 200;

/// What changes; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub email: Option<String>,
    /// `Some(None)` takes the name away.
    pub name: Option<Option<String>>,
    pub allow_tracking: Option<bool>,
    pub beta: Option<bool>,
}

/// A feature of accounts that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountFeature {
    pub name: &'static str,
    pub display_name: &'static str,
    pub description: &'static str,
    pub state: &'static str,
    /// The feature that apps begin with while it is on.
    app_feature: &'static str,
}

pub const ACCOUNT_FEATURES: [AccountFeature; 2] = [
    AccountFeature {
        name: "new-apps-log-runtime-metrics",
        display_name: "Log Runtime Metrics From The Start",
        description: "Apps that you create begin with log-runtime-metrics enabled",
        state: "beta",
        app_feature: "log-runtime-metrics",
    },
    AccountFeature {
        name: "new-apps-runtime-dyno-metadata",
        display_name: "Dyno Metadata From The Start",
        description: "Apps that you create begin with runtime-dyno-metadata enabled",
        state: "beta",
        app_feature: "runtime-dyno-metadata",
    },
];

pub fn account_feature_enabled(account: &Account, feature: &AccountFeature) -> bool {
    account.features_on.iter().any(|name| name == feature.name)
}

/// Features that an app of this account begins with.
pub(super) fn features_at_birth(owner: &Account) -> Vec<String> {
    let on = ACCOUNT_FEATURES.iter().filter(|feature| account_feature_enabled(owner, feature));
    on.map(|feature| feature.app_feature.to_owned()).collect()
}

impl Engine {
    pub async fn account_update(
        &self,
        account: AccountId,
        change: AccountChange,
    ) -> Result<Account, Refusal> {
        if let Some(email) = &change.email {
            check_email(email)?;
        }
        let name = change.name.as_ref().and_then(Option::as_deref).unwrap_or_default();
        if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(Refusal::invalid(format!("name: may have at most {NAME_CHARS_MAX} characters.")));
        }
        self.account_change(account, move |row| {
            row.email = change.email.unwrap_or_else(|| row.email.clone());
            row.name = change.name.unwrap_or_else(|| row.name.clone());
            row.allow_tracking = change.allow_tracking.unwrap_or(row.allow_tracking);
            row.beta = change.beta.unwrap_or(row.beta);
        })
        .await
    }

    pub async fn account_feature_set(
        &self,
        account: AccountId,
        feature: &'static AccountFeature,
        enabled: bool,
    ) -> Result<Account, Refusal> {
        self.account_change(account, move |row| {
            row.features_on.retain(|name| name != feature.name);
            if enabled {
                row.features_on.push(feature.name.to_owned());
            }
        })
        .await
    }

    async fn account_change(
        &self,
        account: AccountId,
        change: impl FnOnce(&mut Account) + Send + 'static,
    ) -> Result<Account, Refusal> {
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<Account, Refusal> {
            let mut row = tx.account_fetch(account)?;
            change(&mut row);
            row.updated_at = now;
            tx.account_update(&row)?;
            Ok(row)
        });
        update.await
    }

    /// What the account prefers: JSON that only its faces understand.
    pub async fn preferences(&self, account: AccountId) -> Result<String, Refusal> {
        self.store.read(move |read| read.account_preferences(account).map_err(Refusal::from)).await
    }

    pub async fn preferences_set(&self, account: AccountId, json: String) -> Result<(), Refusal> {
        let set =
            self.store.write(move |tx| tx.account_set_preferences(account, &json).map_err(Refusal::from));
        set.await
    }

    /// Where its bills would go: JSON that only its faces understand.
    pub async fn invoice_address(&self, account: AccountId) -> Result<String, Refusal> {
        self.store.read(move |read| read.account_invoice_address(account).map_err(Refusal::from)).await
    }

    pub async fn invoice_address_set(&self, account: AccountId, json: String) -> Result<(), Refusal> {
        let set =
            self.store.write(move |tx| tx.account_set_invoice_address(account, &json).map_err(Refusal::from));
        set.await
    }

    /// A new password ends every log-in but the one that `keep` is of.
    pub async fn password_set(
        &self,
        account: AccountId,
        password: Secret,
        keep: Option<TokenId>,
    ) -> Result<(), Refusal> {
        let hash = password_hash(password).await?;
        let now = self.now();
        let set = self.store.write(move |tx| -> Result<(), Refusal> {
            tx.account_set_password(account, &hash, now)?;
            sessions_end(tx, account, keep)
        });
        set.await
    }

    /// Refused while it owns apps: whoever leaves hands them over or destroys them first.
    pub async fn account_destroy(&self, account: AccountId) -> Result<Account, Refusal> {
        let now = self.now();
        let destroy = self.store.write(move |tx| -> Result<Account, Refusal> {
            let row = tx.account_fetch(account).or_none()?.ok_or_else(|| Refusal::not_found("user"))?;
            let apps = tx.app_list_for_owner(account)?;
            if let Some(app) = apps.first() {
                let say = match apps.len() {
                    1 => format!("This account owns the app {}. Destroy or transfer it first.", app.name),
                    n => format!("This account owns {n} apps. Destroy or transfer them first."),
                };
                return Err(Refusal::new(Fault::Invalid, say));
            }
            if let Some(team) = last_admin_of(tx, account)? {
                let say = format!(
                    "This account is the only admin of the team {}. Make another one first.",
                    team.name
                );
                return Err(Refusal::new(Fault::Invalid, say));
            }
            tx.account_delete(account, now)?;
            Ok(row)
        });
        destroy.await
    }
}

/// Ends log-ins; what was made for programs stays.
pub(super) fn sessions_end(tx: &Tx<'_>, account: AccountId, keep: Option<TokenId>) -> Result<(), Refusal> {
    for token in tx.token_list(account)? {
        if token.session.is_some() && token.refresh.is_none() && Some(token.id) != keep {
            tx.token_delete(token.id)?;
        }
    }
    Ok(())
}

/// Whether a password is good enough to be chosen.
pub fn check_password(password: &Secret) -> Result<(), Refusal> {
    let text = password.expose();
    if text.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Refusal::invalid(format!(
            "Password is too short (minimum is {PASSWORD_CHARS_MIN} characters)"
        )));
    }
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "Password is too long (maximum is {PASSWORD_BYTES_MAX} bytes)"
        )));
    }
    Ok(())
}

/// Slow on purpose, on a thread of its own; a password that is too weak is refused before.
pub(super) async fn password_hash(password: Secret) -> Result<PasswordHash, Refusal> {
    check_password(&password)?;
    let hash = tokio::task::spawn_blocking(move || PasswordHash::new(&password));
    Ok(hash.await.map_err(Refusal::internal)??)
}

/// Parsed at the door of everything that takes an address.
pub(super) fn check_email(email: &str) -> Result<(), Refusal> {
    Ok(Email::try_from(email.to_owned()).map(drop)?)
}

/// A team without an admin would be nobody's.
fn last_admin_of(tx: &Tx<'_>, account: AccountId) -> Result<Option<Team>, Refusal> {
    for row in tx.team_member_list_of(account)? {
        let admins =
            tx.team_member_list(row.team)?.iter().filter(|member| member.role == TeamRole::Admin).count();
        if row.role == TeamRole::Admin && admins == 1 {
            return Ok(Some(tx.team_fetch(row.team)?));
        }
    }
    Ok(None)
}

//! Accounts. An e-mail address stands for one account, however its letters are cased.

use jiff::Timestamp;
use renga_model::{Account, AccountId};
use rusqlite::params;

use crate::{
    PasswordHash, Read, StoreError, Tx,
    row::{Cells, bytes, micros, to_json},
};

impl Read<'_> {
    pub fn account_fetch(&self, id: AccountId) -> Result<Account, StoreError> {
        let sql = &format!("{ACCOUNT} WHERE id = ?1");
        self.first("fetch an account", sql, [bytes(id)], account)?.ok_or(StoreError::not_found("account"))
    }

    /// Without regard to (ASCII) case. Accounts of teams are nobody's, and not found.
    pub fn account_find_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let sql = &format!("{ACCOUNT} WHERE email = ?1 AND deleted_at IS NULL");
        let found = self.first("find an account", sql, [email], account)?;
        Ok(found.filter(|account| !account.is_team()))
    }

    /// By e-mail, without those of teams.
    pub fn account_list(&self) -> Result<Vec<Account>, StoreError> {
        let sql = &format!("{ACCOUNT} WHERE deleted_at IS NULL ORDER BY email");
        let mut all = self.all("list accounts", sql, [], account)?;
        all.retain(|account| !account.is_team());
        Ok(all)
    }

    /// How many accounts nobody has chosen a password for: those that are invited, and those of teams.
    pub fn account_count_without_password(&self) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) AS n FROM account WHERE password_hash IS NULL AND deleted_at IS NULL";
        Ok(self.first("count invited accounts", sql, [], |c| c.get("n"))?.unwrap_or_default())
    }

    /// `None` for an account that has no password: it can't log in with one.
    pub fn account_password_hash(&self, id: AccountId) -> Result<Option<PasswordHash>, StoreError> {
        let sql = "SELECT password_hash FROM account WHERE id = ?1";
        let found = self.first("fetch a password hash", sql, [bytes(id)], |c| c.get("password_hash"))?;
        let hash: Option<String> = found.ok_or(StoreError::not_found("account"))?;
        Ok(hash.map(PasswordHash::from_text))
    }
}

/// With the one column that stands elsewhere.
const ACCOUNT: &str = "SELECT account.*, EXISTS (SELECT 1 FROM two_factor
    WHERE two_factor.account = account.id AND enabled_at IS NOT NULL) AS two_factor FROM account";

impl Read<'_> {
    /// What the account prefers: JSON that only its faces understand.
    pub fn account_preferences(&self, id: AccountId) -> Result<String, StoreError> {
        let sql = "SELECT preferences FROM account WHERE id = ?1";
        let found = self.first("fetch preferences", sql, [bytes(id)], |c| c.get("preferences"))?;
        found.ok_or(StoreError::not_found("account"))
    }

    /// Where its bills would go: JSON that only its faces understand.
    pub fn account_invoice_address(&self, id: AccountId) -> Result<String, StoreError> {
        let sql = "SELECT invoice_address FROM account WHERE id = ?1";
        let found = self.first("fetch an invoice address", sql, [bytes(id)], |c| c.get("invoice_address"))?;
        found.ok_or(StoreError::not_found("account"))
    }
}

impl Tx<'_> {
    /// What its owner and the operator may change; the password and the second factor have methods of their own.
    pub fn account_update(&self, account: &Account) -> Result<(), StoreError> {
        self.change_one(
            "update an account",
            "account",
            "UPDATE account SET email = ?2, name = ?3, allow_tracking = ?4, beta = ?5, features_on = ?6,
                 suspended_at = ?7, updated_at = ?8
             WHERE id = ?1",
            params![
                bytes(account.id),
                account.email,
                account.name,
                account.allow_tracking,
                account.beta,
                to_json(&account.features_on),
                account.suspended_at.map(micros),
                micros(account.updated_at)
            ],
        )
    }

    pub fn account_set_preferences(&self, id: AccountId, json: &str) -> Result<(), StoreError> {
        let sql = "UPDATE account SET preferences = ?2 WHERE id = ?1";
        self.change_one("set preferences", "account", sql, params![bytes(id), json])
    }

    pub fn account_set_invoice_address(&self, id: AccountId, json: &str) -> Result<(), StoreError> {
        let sql = "UPDATE account SET invoice_address = ?2 WHERE id = ?1";
        self.change_one("set an invoice address", "account", sql, params![bytes(id), json])
    }

    pub fn account_logged_in(&self, id: AccountId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE account SET last_login = ?2 WHERE id = ?1";
        self.change_one("note a login", "account", sql, params![bytes(id), micros(now)])
    }

    /// With everything that is the account's alone. Where releases or builds name it a row without its e-mail stays.
    pub fn account_delete(&self, id: AccountId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM account WHERE id = ?1";
        match self.change("delete an account", sql, [bytes(id)]) {
            Err(StoreError::Dangling { .. }) => self.account_bury(id, now),
            other => other.map(drop),
        }
    }

    fn account_bury(&self, id: AccountId, now: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM token WHERE account = ?1",
            "DELETE FROM oauth_client WHERE account = ?1",
            "DELETE FROM ssh_key WHERE account = ?1",
            "DELETE FROM favorite WHERE account = ?1",
            "DELETE FROM two_factor WHERE account = ?1",
            "DELETE FROM collaborator WHERE account = ?1",
            "DELETE FROM team_member WHERE account = ?1",
            "DELETE FROM team_invitation WHERE account = ?1 OR invited_by = ?1",
            "DELETE FROM app_transfer WHERE owner = ?1 OR recipient = ?1",
        ] {
            self.change("delete what is an account's", sql, [bytes(id)])?;
        }
        let sql = "UPDATE account SET email = ?2, name = NULL, password_hash = NULL, features_on = '[]',
                 preferences = '{}', invoice_address = '{}', last_login = NULL, suspended_at = ?3, deleted_at = ?3, updated_at = ?3
             WHERE id = ?1";
        let nobody = format!("deleted-{}@users.invalid", id.uuid().simple());
        self.change_one("bury an account", "account", sql, params![bytes(id), nobody, micros(now)])
    }

    pub fn account_insert(
        &self,
        account: &Account,
        password: Option<&PasswordHash>,
    ) -> Result<(), StoreError> {
        self.change(
            "insert an account",
            "INSERT INTO account (id, email, name, password_hash, operator, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                bytes(account.id),
                account.email,
                account.name,
                password.map(PasswordHash::text),
                account.operator,
                micros(account.created_at),
                micros(account.updated_at)
            ],
        )
        .map(drop)
    }

    pub fn account_set_password(
        &self,
        id: AccountId,
        password: &PasswordHash,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_one(
            "set a password",
            "account",
            "UPDATE account SET password_hash = ?2, updated_at = ?3 WHERE id = ?1",
            params![bytes(id), password.text(), micros(now)],
        )
    }
}

fn account(c: &Cells<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        id: c.id("id")?,
        email: c.get("email")?,
        name: c.get("name")?,
        allow_tracking: c.get("allow_tracking")?,
        beta: c.get("beta")?,
        features_on: c.json("features_on")?,
        two_factor: c.get("two_factor")?,
        operator: c.get("operator")?,
        last_login: c.time_opt("last_login")?,
        suspended_at: c.time_opt("suspended_at")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

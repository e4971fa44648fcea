//! Accounts. An e-mail address stands for one account, however its letters are cased.

use jiff::Timestamp;
use renga_model::{Account, AccountId};
use rusqlite::params;

use crate::{
    PasswordHash, Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    pub fn account_fetch(&self, id: AccountId) -> Result<Account, StoreError> {
        self.first("fetch an account", "SELECT * FROM account WHERE id = ?1", [bytes(id)], account)?
            .ok_or(StoreError::not_found("account"))
    }

    /// Without regard to (ASCII) case. Accounts of teams are nobody's, and not found.
    pub fn account_find_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let found =
            self.first("find an account", "SELECT * FROM account WHERE email = ?1", [email], account)?;
        Ok(found.filter(|account| !account.is_team()))
    }

    /// By e-mail, without those of teams.
    pub fn account_list(&self) -> Result<Vec<Account>, StoreError> {
        let mut all = self.all("list accounts", "SELECT * FROM account ORDER BY email", [], account)?;
        all.retain(|account| !account.is_team());
        Ok(all)
    }

    /// `None` for an account that has no password: it can't log in with one.
    pub fn account_password_hash(&self, id: AccountId) -> Result<Option<PasswordHash>, StoreError> {
        let sql = "SELECT password_hash FROM account WHERE id = ?1";
        let found = self.first("fetch a password hash", sql, [bytes(id)], |c| c.get("password_hash"))?;
        let hash: Option<String> = found.ok_or(StoreError::not_found("account"))?;
        Ok(hash.map(PasswordHash::from_text))
    }
}

impl Tx<'_> {
    pub fn account_insert(
        &self,
        account: &Account,
        password: Option<&PasswordHash>,
    ) -> Result<(), StoreError> {
        self.change(
            "insert an account",
            "INSERT INTO account (id, email, name, password_hash, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                bytes(account.id),
                account.email,
                account.name,
                password.map(PasswordHash::text),
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
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

//! Second factors: the secret that an account shares with a device, and codes for the day the device is lost.

use jiff::Timestamp;
use renga_model::{AccountId, Secret};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, micros, to_json},
};

const SEALED_SECRET: &str = "two_factor.sealed_secret";

/// The second factor of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoFactor {
    /// In base32, as devices take it.
    pub secret: Secret,
    /// The newest step of time whose code was used.
    pub last_step: u64,
    /// None until a first code has shown that the device has the secret.
    pub enabled_at: Option<Timestamp>,
}

impl Read<'_> {
    pub fn two_factor_find(&self, account: AccountId) -> Result<Option<TwoFactor>, StoreError> {
        let sql = "SELECT * FROM two_factor WHERE account = ?1";
        self.first("find a second factor", sql, [bytes(account)], |c| two_factor(c, account))
    }
}

impl Tx<'_> {
    /// In the place of whatever the account had.
    pub fn two_factor_put(
        &self,
        account: AccountId,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.two_factor_delete(account)?;
        let sealed = self.read.key.seal(SEALED_SECRET, &bytes(account), to_json(secret).as_bytes());
        let sql =
            "INSERT INTO two_factor (account, sealed_secret, last_step, created_at) VALUES (?1, ?2, 0, ?3)";
        self.change("put a second factor", sql, params![bytes(account), sealed, micros(now)]).map(drop)
    }

    /// No code of this step of time, or of one before it, works again.
    pub fn two_factor_used(&self, account: AccountId, step: u64) -> Result<(), StoreError> {
        let sql = "UPDATE two_factor SET last_step = ?2 WHERE account = ?1";
        self.change_one("use a code", "two_factor", sql, params![bytes(account), step])
    }

    pub fn two_factor_enable(
        &self,
        account: AccountId,
        recovery: &[ValueHash],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE two_factor SET enabled_at = ?2 WHERE account = ?1";
        self.change_one("enable a second factor", "two_factor", sql, params![bytes(account), micros(now)])?;
        for code in recovery {
            let sql = "INSERT INTO recovery_code (account, hash) VALUES (?1, ?2)";
            self.change("insert a recovery code", sql, params![bytes(account), code.bytes()])?;
        }
        Ok(())
    }

    /// Whether there was one like that. It is used now.
    pub fn recovery_code_take(&self, account: AccountId, code: &ValueHash) -> Result<bool, StoreError> {
        let sql = "DELETE FROM recovery_code WHERE account = ?1 AND hash = ?2";
        Ok(self.change("use a recovery code", sql, params![bytes(account), code.bytes()])? > 0)
    }

    /// Whether there was one.
    pub fn two_factor_delete(&self, account: AccountId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM two_factor WHERE account = ?1";
        Ok(self.change("delete a second factor", sql, [bytes(account)])? > 0)
    }
}

fn two_factor(c: &Cells<'_>, account: AccountId) -> Result<TwoFactor, StoreError> {
    Ok(TwoFactor {
        secret: c.sealed("sealed_secret", SEALED_SECRET, &bytes(account))?,
        last_step: c.get("last_step")?,
        enabled_at: c.time_opt("enabled_at")?,
    })
}

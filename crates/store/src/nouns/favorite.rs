//! Apps that an account keeps at hand.

use jiff::Timestamp;
use renga_model::{AccountId, AppId};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{bytes, micros},
};

impl Read<'_> {
    /// Oldest first, whatever the account may still see of them.
    pub fn favorite_list(&self, account: AccountId) -> Result<Vec<AppId>, StoreError> {
        let sql = "SELECT app FROM favorite WHERE account = ?1 ORDER BY created_at, app";
        self.all("list favorites", sql, [bytes(account)], |c| c.id("app"))
    }
}

impl Tx<'_> {
    /// Once, however often it is asked for.
    pub fn favorite_put(&self, account: AccountId, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO favorite (account, app, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.change("insert a favorite", sql, params![bytes(account), bytes(app), micros(now)]).map(drop)
    }

    /// Whether there was one.
    pub fn favorite_delete(&self, account: AccountId, app: AppId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM favorite WHERE account = ?1 AND app = ?2";
        Ok(self.change("delete a favorite", sql, params![bytes(account), bytes(app)])? > 0)
    }
}

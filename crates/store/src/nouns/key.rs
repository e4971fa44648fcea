//! Public keys of accounts.

use renga_model::{AccountId, KeyId, SshKey};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    /// Oldest first.
    pub fn key_list(&self, account: AccountId) -> Result<Vec<SshKey>, StoreError> {
        let sql = "SELECT * FROM ssh_key WHERE account = ?1 ORDER BY created_at, id";
        self.all("list keys", sql, [bytes(account)], key)
    }
}

impl Tx<'_> {
    pub fn key_insert(&self, key: &SshKey) -> Result<(), StoreError> {
        self.change(
            "insert a key",
            "INSERT INTO ssh_key (id, account, public_key, comment, fingerprint, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                bytes(key.id),
                bytes(key.account),
                key.public_key,
                key.comment,
                key.fingerprint,
                micros(key.created_at)
            ],
        )
        .map(drop)
    }

    /// Whether there was one.
    pub fn key_delete(&self, id: KeyId) -> Result<bool, StoreError> {
        Ok(self.change("delete a key", "DELETE FROM ssh_key WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn key(c: &Cells<'_>) -> Result<SshKey, StoreError> {
    Ok(SshKey {
        id: c.id("id")?,
        account: c.id("account")?,
        public_key: c.get("public_key")?,
        comment: c.get("comment")?,
        fingerprint: c.get("fingerprint")?,
        created_at: c.time("created_at")?,
    })
}

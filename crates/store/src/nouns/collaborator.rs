//! Collaborators: who else may do something to an app.

use jiff::Timestamp;
use renga_model::{AccountId, AppId, Collaborator, Permission, Permissions};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, corrupt, micros, to_json},
};

impl Read<'_> {
    pub fn collaborator_find(
        &self,
        app: AppId,
        account: AccountId,
    ) -> Result<Option<Collaborator>, StoreError> {
        let sql = "SELECT * FROM collaborator WHERE app = ?1 AND account = ?2";
        self.first("find a collaborator", sql, params![bytes(app), bytes(account)], collaborator)
    }

    /// Oldest first.
    pub fn collaborator_list(&self, app: AppId) -> Result<Vec<Collaborator>, StoreError> {
        let sql = "SELECT * FROM collaborator WHERE app = ?1 ORDER BY created_at, rowid";
        self.all("list collaborators", sql, [bytes(app)], collaborator)
    }

    /// What the account may do to apps of others, oldest first.
    pub fn collaborator_list_of(&self, account: AccountId) -> Result<Vec<Collaborator>, StoreError> {
        let sql = "SELECT * FROM collaborator WHERE account = ?1 ORDER BY created_at, rowid";
        self.all("list collaborations", sql, [bytes(account)], collaborator)
    }
}

impl Tx<'_> {
    pub fn collaborator_insert(&self, row: &Collaborator) -> Result<(), StoreError> {
        self.change(
            "insert a collaborator",
            "INSERT INTO collaborator (id, app, account, permissions, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                bytes(row.id),
                bytes(row.app),
                bytes(row.account),
                words(row.permissions),
                micros(row.created_at),
                micros(row.updated_at)
            ],
        )
        .map(drop)
    }

    pub fn collaborator_set(
        &self,
        app: AppId,
        account: AccountId,
        permissions: Permissions,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change_one(
            "change a collaborator",
            "collaborator",
            "UPDATE collaborator SET permissions = ?3, updated_at = ?4 WHERE app = ?1 AND account = ?2",
            params![bytes(app), bytes(account), words(permissions), micros(now)],
        )
    }

    /// Whether there was one.
    pub fn collaborator_delete(&self, app: AppId, account: AccountId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM collaborator WHERE app = ?1 AND account = ?2";
        Ok(self.change("delete a collaborator", sql, params![bytes(app), bytes(account)])? > 0)
    }

    pub fn collaborators_delete(&self, app: AppId) -> Result<(), StoreError> {
        self.change("delete collaborators", "DELETE FROM collaborator WHERE app = ?1", [bytes(app)]).map(drop)
    }
}

fn words(permissions: Permissions) -> String {
    to_json(&permissions.given().map(Permission::as_str).collect::<Vec<_>>())
}

fn collaborator(c: &Cells<'_>) -> Result<Collaborator, StoreError> {
    let words: Vec<String> = c.json("permissions")?;
    let parse = |word: &String| Permission::parse(word).ok_or_else(|| corrupt("permissions", "unknown word"));
    Ok(Collaborator {
        id: c.id("id")?,
        app: c.id("app")?,
        account: c.id("account")?,
        permissions: Permissions::of(&words.iter().map(parse).collect::<Result<Vec<_>, _>>()?),
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

//! Transfers: apps that were offered to another owner, and what came of it.

use renga_model::{AccountId, AppId, AppTransfer, AppTransferId, TransferState};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    pub fn app_transfer_fetch(&self, id: AppTransferId) -> Result<AppTransfer, StoreError> {
        self.first("fetch a transfer", "SELECT * FROM app_transfer WHERE id = ?1", [bytes(id)], transfer)?
            .ok_or(StoreError::not_found("app_transfer"))
    }

    /// The one that waits for its answer.
    pub fn app_transfer_pending(&self, app: AppId) -> Result<Option<AppTransfer>, StoreError> {
        let sql = "SELECT * FROM app_transfer WHERE app = ?1 AND state = 'pending'";
        self.first("find a transfer", sql, [bytes(app)], transfer)
    }

    /// From and to this account, oldest first. Those of apps that are being taken apart are over.
    pub fn app_transfer_list(&self, account: AccountId) -> Result<Vec<AppTransfer>, StoreError> {
        let sql = "SELECT app_transfer.* FROM app_transfer JOIN app ON app.id = app_transfer.app
             WHERE (app_transfer.owner = ?1 OR app_transfer.recipient = ?1) AND app.deleted = 0
             ORDER BY app_transfer.created_at, app_transfer.rowid";
        self.all("list transfers", sql, [bytes(account)], transfer)
    }
}

impl Tx<'_> {
    /// The new one takes the place of what came of earlier ones: one row per app is enough.
    pub fn app_transfer_insert(&self, row: &AppTransfer) -> Result<(), StoreError> {
        let sql = "DELETE FROM app_transfer WHERE app = ?1 AND state <> 'pending'";
        self.change("drop old transfers", sql, [bytes(row.app)])?;
        self.change(
            "insert a transfer",
            "INSERT INTO app_transfer (id, app, owner, recipient, state, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                bytes(row.id),
                bytes(row.app),
                bytes(row.owner),
                bytes(row.recipient),
                row.state.as_str(),
                micros(row.created_at),
                micros(row.updated_at)
            ],
        )
        .map(drop)
    }

    /// `Stale` unless it waits for its answer.
    pub fn app_transfer_end(&self, row: &AppTransfer) -> Result<(), StoreError> {
        let sql = "UPDATE app_transfer SET state = ?2, updated_at = ?3 WHERE id = ?1 AND state = 'pending'";
        let cells = params![bytes(row.id), row.state.as_str(), micros(row.updated_at)];
        match self.change("end a transfer", sql, cells)? {
            0 => Err(StoreError::Stale { what: "transfer", id: row.id.to_string() }),
            _ => Ok(()),
        }
    }

    /// Whether there was one.
    pub fn app_transfer_delete(&self, id: AppTransferId) -> Result<bool, StoreError> {
        Ok(self.change("delete a transfer", "DELETE FROM app_transfer WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn transfer(c: &Cells<'_>) -> Result<AppTransfer, StoreError> {
    Ok(AppTransfer {
        id: c.id("id")?,
        app: c.id("app")?,
        owner: c.id("owner")?,
        recipient: c.id("recipient")?,
        state: c.state("state", TransferState::parse)?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

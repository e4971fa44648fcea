//! Formations: how many dynos of which size an app wants, one row per process type.

use renga_model::{AppId, Formation, ProcessType};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    /// By process type.
    pub fn formation_list(&self, app: AppId) -> Result<Vec<Formation>, StoreError> {
        let sql = "SELECT * FROM formation WHERE app = ?1 ORDER BY process_type";
        self.all("list a formation", sql, [bytes(app)], formation)
    }
}

impl Tx<'_> {
    /// Inserts, or changes the row of that app and process type, which keeps its id and its `created_at`.
    pub fn formation_put(&self, formation: &Formation) -> Result<(), StoreError> {
        self.change(
            "put a formation",
            "INSERT INTO formation (id, app, process_type, quantity, size, epoch, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (app, process_type) DO UPDATE SET quantity = excluded.quantity, size = excluded.size,
                epoch = excluded.epoch, updated_at = excluded.updated_at",
            params![
                bytes(formation.id),
                bytes(formation.app),
                formation.process_type.as_str(),
                formation.quantity,
                formation.size,
                formation.epoch,
                micros(formation.created_at),
                micros(formation.updated_at)
            ],
        )
        .map(drop)
    }

    /// Whether there was one.
    pub fn formation_delete(&self, app: AppId, process_type: &ProcessType) -> Result<bool, StoreError> {
        let sql = "DELETE FROM formation WHERE app = ?1 AND process_type = ?2";
        Ok(self.change("delete a formation", sql, params![bytes(app), process_type.as_str()])? > 0)
    }
}

pub(super) fn formation(c: &Cells<'_>) -> Result<Formation, StoreError> {
    Ok(Formation {
        id: c.id("id")?,
        app: c.id("app")?,
        process_type: c.name("process_type")?,
        quantity: c.get("quantity")?,
        size: c.get("size")?,
        epoch: c.get("epoch")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

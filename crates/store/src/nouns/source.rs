//! Uploaded sources (`POST /sources`): who knows the secret in the URL may put and get the file.

use jiff::Timestamp;
use renga_model::SourceId;
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, micros},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub secret_hash: ValueHash,
    pub created_at: Timestamp,
}

impl Read<'_> {
    pub fn source_fetch(&self, id: SourceId) -> Result<Source, StoreError> {
        self.first("fetch a source", "SELECT * FROM source WHERE id = ?1", [bytes(id)], source)?
            .ok_or(StoreError::not_found("source"))
    }

    /// Those made before `than`, oldest first.
    pub fn source_list_older(&self, than: Timestamp) -> Result<Vec<Source>, StoreError> {
        let sql = "SELECT * FROM source WHERE created_at < ?1 ORDER BY created_at, id";
        self.all("list old sources", sql, [micros(than)], source)
    }
}

impl Tx<'_> {
    pub fn source_insert(&self, source: &Source) -> Result<(), StoreError> {
        let sql = "INSERT INTO source (id, secret_hash, created_at) VALUES (?1, ?2, ?3)";
        let cells = params![bytes(source.id), source.secret_hash.bytes(), micros(source.created_at)];
        self.change("insert a source", sql, cells).map(drop)
    }

    /// Whether there was one.
    pub fn source_delete(&self, id: SourceId) -> Result<bool, StoreError> {
        Ok(self.change("delete a source", "DELETE FROM source WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn source(c: &Cells<'_>) -> Result<Source, StoreError> {
    Ok(Source {
        id: c.id("id")?,
        secret_hash: ValueHash::from_bytes(c.get("secret_hash")?),
        created_at: c.time("created_at")?,
    })
}

//! Counters that only ever rise, and settings that the platform keeps for itself.

use std::collections::BTreeSet;

use rusqlite::params;

use crate::{Read, StoreError, Tx};

impl Read<'_> {
    pub fn setting_get(&self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        self.first("get a setting", sql, [name], |c| c.get("value"))
    }

    /// Every row of every table as text, whatever tables there are: for tests that ask whether anything changed.
    pub fn every_row(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let tables: Vec<String> = self.all("list the tables", sql, [], |c| c.get("name"))?;
        let mut rows = BTreeSet::new();
        for table in tables {
            // The name comes from the ledger's own schema.
            let sql = format!("SELECT * FROM \"{table}\"");
            rows.extend(self.all("read a table", &sql, [], |c| c.text_of(&table))?);
        }
        Ok(rows)
    }
}

impl Tx<'_> {
    pub fn setting_put(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.change("put a setting", sql, params![name, value]).map(drop)
    }

    /// 1, 2, 3, ...: never the same again, also after a restart.
    pub fn counter_next(&self, name: &str) -> Result<u64, StoreError> {
        let sql = "INSERT INTO counter (name, value) VALUES (?1, 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1";
        self.change("raise a counter", sql, [name])?;
        let sql = "SELECT value FROM counter WHERE name = ?1";
        let value = self.first("read a counter", sql, [name], |c| c.get("value"))?;
        value.ok_or(StoreError::not_found("counter"))
    }

    /// Makes the counter's next value greater than `seen` (somebody has seen more than we remember).
    pub fn counter_raise(&self, name: &str, seen: u64) -> Result<(), StoreError> {
        let sql = "INSERT INTO counter (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
        self.change("raise a counter", sql, params![name, seen]).map(drop)
    }
}

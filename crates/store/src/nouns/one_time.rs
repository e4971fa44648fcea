//! Values that work once: grants of OAuth, password resets, invitations. Rows are found by the value's hash.

use jiff::Timestamp;
use renga_model::{OneTime, OneTimeKind};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, micros},
};

impl Read<'_> {
    /// What the value stands for, if it has not been used and has not expired.
    pub fn one_time_find(
        &self,
        kind: OneTimeKind,
        hash: &ValueHash,
        now: Timestamp,
    ) -> Result<Option<OneTime>, StoreError> {
        let sql = "SELECT * FROM one_time WHERE hash = ?1 AND kind = ?2 AND expires_at > ?3";
        let params = params![hash.bytes(), kind.as_str(), micros(now)];
        self.first("find a value that works once", sql, params, one_time)
    }

    /// Those that wait for this subject, the oldest first.
    pub fn one_time_list(
        &self,
        kind: OneTimeKind,
        subject: &str,
        now: Timestamp,
    ) -> Result<Vec<OneTime>, StoreError> {
        let sql = "SELECT * FROM one_time WHERE kind = ?1 AND subject = ?2 AND expires_at > ?3
             ORDER BY created_at";
        let params = params![kind.as_str(), subject, micros(now)];
        self.all("list values that work once", sql, params, one_time)
    }
}

impl Tx<'_> {
    /// Those that have expired go on this occasion, so the table holds no more than what was made within a life.
    pub fn one_time_insert(&self, value: &OneTime, hash: &ValueHash) -> Result<(), StoreError> {
        let expired = "DELETE FROM one_time WHERE expires_at <= ?1";
        self.change("drop expired values", expired, [micros(value.created_at)])?;
        self.change(
            "insert a value that works once",
            "INSERT INTO one_time (hash, kind, subject, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                hash.bytes(),
                value.kind.as_str(),
                value.subject,
                micros(value.created_at),
                micros(value.expires_at)
            ],
        )
        .map(drop)
    }

    /// As [`Read::one_time_find`], and it is used now: nobody else finds it.
    pub fn one_time_take(
        &self,
        kind: OneTimeKind,
        hash: &ValueHash,
        now: Timestamp,
    ) -> Result<Option<OneTime>, StoreError> {
        let found = self.one_time_find(kind, hash, now)?;
        if found.is_some() {
            let sql = "DELETE FROM one_time WHERE hash = ?1";
            self.change("use a value that works once", sql, [hash.bytes()])?;
        }
        Ok(found)
    }

    /// All that wait for this subject are worthless from now on.
    pub fn one_time_forget(&self, kind: OneTimeKind, subject: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM one_time WHERE kind = ?1 AND subject = ?2";
        self.change("forget values that work once", sql, params![kind.as_str(), subject]).map(drop)
    }
}

fn one_time(c: &Cells<'_>) -> Result<OneTime, StoreError> {
    Ok(OneTime {
        kind: c.state("kind", OneTimeKind::parse)?,
        subject: c.get("subject")?,
        created_at: c.time("created_at")?,
        expires_at: c.time("expires_at")?,
    })
}

//! What a closure gets: [`Read`] for queries, [`Tx`] for changes. The nouns add their methods to these two.

use std::{cell::Cell, ops::Deref};

use rusqlite::{Connection, Params};

use crate::{MasterKey, StoreError, row::Cells};

/// A snapshot of the ledger.
pub struct Read<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) key: &'a MasterKey,
}

/// A request's place in a write transaction; every query of [`Read`] sees its own changes.
pub struct Tx<'a> {
    pub(crate) read: Read<'a>,
    /// Whether a line was put into the outbox.
    pub(crate) said: &'a Cell<bool>,
}

impl<'a> Deref for Tx<'a> {
    type Target = Read<'a>;
    fn deref(&self) -> &Read<'a> {
        &self.read
    }
}

impl Read<'_> {
    /// All rows of a query, in its order. `operation` completes "could not ...".
    pub(crate) fn all<T>(
        &self,
        operation: &'static str,
        sql: &str,
        params: impl Params,
        mut parse: impl FnMut(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(StoreError::sql(operation))?;
        let mut rows = statement.query(params).map_err(StoreError::sql(operation))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(StoreError::sql(operation))? {
            found.push(parse(&Cells::new(row, self.key))?);
        }
        Ok(found)
    }

    /// The first row of a query, if it has one.
    pub(crate) fn first<T>(
        &self,
        operation: &'static str,
        sql: &str,
        params: impl Params,
        parse: impl FnOnce(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(StoreError::sql(operation))?;
        let mut rows = statement.query(params).map_err(StoreError::sql(operation))?;
        let row = rows.next().map_err(StoreError::sql(operation))?;
        row.map(|row| parse(&Cells::new(row, self.key))).transpose()
    }
}

impl Tx<'_> {
    /// Runs a change and tells how many rows it touched.
    pub(crate) fn change(
        &self,
        operation: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        // After a full disk SQLite may have ended the transaction; nothing may be written outside of one.
        if self.read.conn.is_autocommit() {
            return Err(StoreError::Aborted);
        }
        let mut statement = self.read.conn.prepare_cached(sql).map_err(StoreError::sql(operation))?;
        statement.execute(params).map_err(StoreError::sql(operation))
    }

    /// A change of one row by its id.
    pub(crate) fn change_one(
        &self,
        operation: &'static str,
        what: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<(), StoreError> {
        match self.change(operation, sql, params)? {
            0 => Err(StoreError::NotFound { what }),
            _ => Ok(()),
        }
    }
}

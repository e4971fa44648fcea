//! From SQLite's cells to the model's words and back. Everything that comes out is parsed again: a file that somebody
//! edited is reported as corrupt, with the column's name and never with a sealed value.

use std::{cell::Cell, fmt::Display};

use jiff::Timestamp;
use renga_model::Id;
use rusqlite::{Row, types::FromSql};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{MasterKey, StoreError};

/// One row of a result, read by column name.
pub(crate) struct Cells<'a> {
    row: &'a Row<'a>,
    key: &'a MasterKey,
    /// Where the next column probably stands: rows are mostly read in the order of their columns.
    next: Cell<usize>,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(row: &'a Row<'a>, key: &'a MasterKey) -> Self {
        Self { row, key, next: Cell::new(0) }
    }
}

impl Cells<'_> {
    /// As SQLite has it: text, integers, flags, bytes, and `Option`s of them.
    pub(crate) fn get<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        let (columns, guess) = (self.row.as_ref(), self.next.get());
        let at = match columns.column_name(guess) {
            Ok(name) if name == column => guess,
            _ => columns.column_index(column).map_err(|error| corrupt(column, error))?,
        };
        self.next.set(at + 1);
        self.row.get(at).map_err(|error| corrupt(column, error))
    }

    pub(crate) fn id<K>(&self, column: &'static str) -> Result<Id<K>, StoreError> {
        self.get::<[u8; 16]>(column).map(from_bytes)
    }
    pub(crate) fn id_opt<K>(&self, column: &'static str) -> Result<Option<Id<K>>, StoreError> {
        Ok(self.get::<Option<[u8; 16]>>(column)?.map(from_bytes))
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.get(column)?).map_err(|error| corrupt(column, error))
    }
    pub(crate) fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let micros: Option<i64> = self.get(column)?;
        micros.map(Timestamp::from_microsecond).transpose().map_err(|error| corrupt(column, error))
    }

    /// A name that the model parses.
    pub(crate) fn name<T: TryFrom<String, Error: Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        T::try_from(self.get(column)?).map_err(|error| corrupt(column, error))
    }
    /// A state that the model parses.
    pub(crate) fn state<T>(
        &self,
        column: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        parse(&text).ok_or_else(|| corrupt(column, "unknown word"))
    }

    /// The whole row as text, whatever its columns are.
    pub(crate) fn text_of(&self, table: &str) -> Result<String, StoreError> {
        let mut text = table.to_owned();
        for index in 0..self.row.as_ref().column_count() {
            let cell = self.row.get_ref(index).map_err(|error| corrupt(table, error))?;
            text += &format!(" {cell:?}");
        }
        Ok(text)
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.get::<String>(column)?).map_err(|error| corrupt(column, error))
    }
    pub(crate) fn json_opt<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| corrupt(column, error))
    }

    /// The JSON in a sealed column, of which `what` is the full name and `row` the row's id.
    pub(crate) fn sealed<T: DeserializeOwned>(
        &self,
        column: &'static str,
        what: &'static str,
        row: &[u8],
    ) -> Result<T, StoreError> {
        let plain = self.key.open(what, row, &self.get::<Vec<u8>>(column)?)?;
        // The error of the parser could quote the value.
        serde_json::from_slice(&plain).map_err(|_| corrupt(column, "sealed text is not as expected"))
    }
}

pub(crate) fn corrupt(column: &str, detail: impl Display) -> StoreError {
    StoreError::Corrupt { what: column.to_owned(), detail: detail.to_string() }
}

// === into cells ===

pub(crate) fn bytes<K>(id: Id<K>) -> [u8; 16] {
    id.uuid().into_bytes()
}

fn from_bytes<K>(bytes: [u8; 16]) -> Id<K> {
    Id::from_uuid(Uuid::from_bytes(bytes))
}

pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists and maps of text have a JSON form")
}

/// SQLite's integers are signed; more than it can count means no limit.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

//! Letters that wait for the mail server.

use jiff::Timestamp;
use renga_model::{LetterId, Secret};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros, to_json},
};

const SEALED_TEXT: &str = "letter.sealed_text";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    pub id: LetterId,
    pub recipient: String,
    pub subject: String,
    pub text: Secret,
    /// How often it was brought in vain.
    pub attempts: u32,
    pub created_at: Timestamp,
    /// Nobody needs it afterwards.
    pub expires_at: Timestamp,
}

impl Read<'_> {
    pub fn letter_find(&self, id: LetterId) -> Result<Option<StoredLetter>, StoreError> {
        self.first("find a letter", "SELECT * FROM letter WHERE id = ?1", [bytes(id)], letter)
    }

    /// Oldest first.
    pub fn letter_ids(&self) -> Result<Vec<LetterId>, StoreError> {
        self.all("list letters", "SELECT id FROM letter ORDER BY created_at, id", [], |c| c.id("id"))
    }
}

impl Tx<'_> {
    pub fn letter_insert(&self, letter: &StoredLetter) -> Result<(), StoreError> {
        let sealed = to_json(&letter.text);
        let sealed = self.read.key.seal(SEALED_TEXT, &bytes(letter.id), sealed.as_bytes());
        self.change(
            "insert a letter",
            "INSERT INTO letter (id, recipient, subject, sealed_text, attempts, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                bytes(letter.id),
                letter.recipient,
                letter.subject,
                sealed,
                letter.attempts,
                micros(letter.created_at),
                micros(letter.expires_at)
            ],
        )
        .map(drop)
    }

    pub fn letter_tried(&self, id: LetterId) -> Result<(), StoreError> {
        let sql = "UPDATE letter SET attempts = attempts + 1 WHERE id = ?1";
        self.change_one("count an attempt", "letter", sql, [bytes(id)])
    }

    /// Whether there was one.
    pub fn letter_delete(&self, id: LetterId) -> Result<bool, StoreError> {
        Ok(self.change("delete a letter", "DELETE FROM letter WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn letter(c: &Cells<'_>) -> Result<StoredLetter, StoreError> {
    let id: LetterId = c.id("id")?;
    Ok(StoredLetter {
        id,
        recipient: c.get("recipient")?,
        subject: c.get("subject")?,
        text: c.sealed("sealed_text", SEALED_TEXT, &bytes(id))?,
        attempts: c.get("attempts")?,
        created_at: c.time("created_at")?,
        expires_at: c.time("expires_at")?,
    })
}

//! Slots: the places of a formation (`web.1`) that crashed, for the back-off. A place without a row never did.

use jiff::Timestamp;
use renga_model::{AppId, DynoName, ProcessType};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub app: AppId,
    pub name: DynoName,
    /// In a row.
    pub crashes: u32,
    pub last_crash_at: Timestamp,
}

impl Read<'_> {
    /// By process type and number.
    pub fn slot_fetch_all(&self, app: AppId) -> Result<Vec<Slot>, StoreError> {
        let sql = "SELECT * FROM slot WHERE app = ?1 ORDER BY process_type, number";
        self.all("fetch slots", sql, [bytes(app)], slot)
    }
}

impl Tx<'_> {
    pub fn slot_put(&self, slot: &Slot) -> Result<(), StoreError> {
        self.change(
            "put a slot",
            "INSERT INTO slot (app, process_type, number, crashes, last_crash_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (app, process_type, number)
             DO UPDATE SET crashes = excluded.crashes, last_crash_at = excluded.last_crash_at",
            params![
                bytes(slot.app),
                slot.name.process_type().as_str(),
                slot.name.number(),
                slot.crashes,
                micros(slot.last_crash_at)
            ],
        )
        .map(drop)
    }

    /// Forgets the crashes of an app (a new release, a restart), or of one process type.
    pub fn slot_clear(&self, app: AppId, process_type: Option<&ProcessType>) -> Result<(), StoreError> {
        let sql = "DELETE FROM slot WHERE app = ?1 AND (?2 IS NULL OR process_type = ?2)";
        let cells = params![bytes(app), process_type.map(ProcessType::as_str)];
        self.change("clear slots", sql, cells).map(drop)
    }
}

fn slot(c: &Cells<'_>) -> Result<Slot, StoreError> {
    Ok(Slot {
        app: c.id("app")?,
        name: DynoName::new(c.name("process_type")?, c.get("number")?),
        crashes: c.get("crashes")?,
        last_crash_at: c.time("last_crash_at")?,
    })
}

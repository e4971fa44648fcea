//! Lines of the platform on their way into logs. A line is said in the transaction of the change that it tells of, so
//! both are there or neither; it leaves the outbox when the log has it.

use renga_model::{AppId, DynoId, LogLine, LogSource, NumberedLine};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

/// What is told of a dyno once, beside its moves. The values are bits of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That its processes are asked to end.
    Stopping = 1,
    /// That it did not answer on its port in time.
    BootTimeout = 2,
}

impl Read<'_> {
    /// Those with a number above `after`, lowest first.
    pub fn outbox_after(&self, after: u64, lines_max: usize) -> Result<Vec<NumberedLine>, StoreError> {
        let sql = "SELECT * FROM outbox WHERE number > ?1 ORDER BY number LIMIT ?2";
        self.all("list the outbox", sql, params![after, lines_max], numbered)
    }
}

impl Tx<'_> {
    /// Puts a line into the log of an app. Of an app that is gone nothing is said.
    pub fn say(&self, app: AppId, line: &LogLine) -> Result<(), StoreError> {
        let said = self.change(
            "say a line",
            "INSERT INTO outbox (app, at, source, ps, text)
             SELECT id, ?2, ?3, ?4, ?5 FROM app WHERE id = ?1",
            params![bytes(app), micros(line.at), line.source.as_str(), line.ps, line.text],
        )?;
        if said > 0 {
            self.said.set(true);
        }
        Ok(())
    }

    /// Whether it is told now for the first time. No transition: the generation stays.
    pub fn dyno_tell(&self, id: DynoId, what: Told) -> Result<bool, StoreError> {
        let sql = "UPDATE dyno SET told = told | ?2 WHERE id = ?1 AND told & ?2 = 0";
        Ok(self.change("tell of a dyno", sql, params![bytes(id), what as u32])? > 0)
    }

    /// Removes the lines up to this number.
    pub fn outbox_clear(&self, number: u64) -> Result<(), StoreError> {
        self.change("clear the outbox", "DELETE FROM outbox WHERE number <= ?1", [number]).map(drop)
    }
}

fn numbered(c: &Cells<'_>) -> Result<NumberedLine, StoreError> {
    let line = LogLine {
        at: c.time("at")?,
        source: c.state("source", LogSource::parse)?,
        ps: c.get("ps")?,
        text: c.get("text")?,
    };
    Ok(NumberedLine { number: c.get("number")?, app: c.id("app")?, line })
}

//! Which apps' routes may have changed. The marks are set by triggers, in the transactions that change something, so that
//! none is forgotten; and what routing asks of one app.

use renga_model::{AppId, Formation, ProcessType, ReleaseId};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    nouns::formation::formation,
    row::{Cells, bytes, limit},
};

impl Read<'_> {
    /// Up to which number marks were ever set and not taken away.
    pub fn route_mark_last(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) AS last FROM route_mark";
        Ok(self.first("read the last mark", sql, [], |c| c.get("last"))?.unwrap_or_default())
    }

    /// Apps that were marked after that, in order, with the number of their marks.
    pub fn route_mark_list(&self, after: u64, rows_max: usize) -> Result<Vec<(u64, AppId)>, StoreError> {
        let sql = "SELECT seq, app FROM route_mark WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let row = |c: &Cells<'_>| Ok((c.get("seq")?, c.id("app")?));
        self.all("list marks", sql, params![after, limit(rows_max)], row)
    }

    pub fn release_current_id(&self, app: AppId) -> Result<Option<ReleaseId>, StoreError> {
        let sql = "SELECT id FROM release WHERE app = ?1 AND current = 1";
        self.first("find the current release", sql, [bytes(app)], |c| c.id("id"))
    }

    pub fn formation_web(&self, app: AppId) -> Result<Option<Formation>, StoreError> {
        let sql = "SELECT * FROM formation WHERE app = ?1 AND process_type = ?2";
        self.first("find a web formation", sql, params![bytes(app), ProcessType::web().as_str()], formation)
    }
}

impl Tx<'_> {
    /// For whoever reads everything anew. The numbers go on.
    pub fn route_marks_clear(&self) -> Result<(), StoreError> {
        self.change("clear the marks", "DELETE FROM route_mark", []).map(drop)
    }
}

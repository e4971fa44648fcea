//! Expiry: over the byte budget the slugs of old releases lose their layers, and old outputs go. The release stays in
//! the ledger, marked.

use std::collections::BTreeSet;

use jiff::Timestamp;
use renga_model::{BuildId, ReleaseId};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{bytes, micros},
};

impl Read<'_> {
    /// Names of the outputs that stay whatever the budget says: of each app's newest `keep` builds and releases, its
    /// current release, and what is not over yet. An output is called after its build or release.
    pub fn outputs_kept(&self, keep: usize) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT id FROM (
                SELECT id, status, row_number() OVER (PARTITION BY app ORDER BY created_at DESC, id DESC) AS age
                FROM build) WHERE age <= ?1 OR status IN ('pending', 'building')
            UNION SELECT id FROM (
                SELECT id, status, current, row_number() OVER (PARTITION BY app ORDER BY version DESC) AS age
                FROM release) WHERE age <= ?1 OR current = 1 OR status = 'pending'";
        let ids = self.all("list the outputs to keep", sql, params![keep], |c| c.id::<BuildId>("id"))?;
        Ok(ids.into_iter().map(|id| id.to_string()).collect())
    }

    /// Whether a build or a release of that id is in the ledger.
    pub fn output_has_owner(&self, name: &str) -> Result<bool, StoreError> {
        let Ok(id) = name.parse::<BuildId>() else { return Ok(false) };
        let sql = "SELECT id FROM build WHERE id = ?1 UNION ALL SELECT id FROM release WHERE id = ?1 LIMIT 1";
        Ok(self.first("look for an output's owner", sql, [bytes(id)], |c| c.id::<BuildId>("id"))?.is_some())
    }
}

impl Tx<'_> {
    /// Expires up to `limit` succeeded or failed releases, the oldest first, that are not current, not among the
    /// newest `keep` of their app, and whose slug no kept release uses. Answers how many there were.
    pub fn release_expire_oldest(
        &self,
        keep: usize,
        limit: usize,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let expired = self.all(
            "choose releases to expire",
            "WITH ranked AS (
                 SELECT id, app, version, slug, current, status, created_at,
                        row_number() OVER (PARTITION BY app ORDER BY version DESC) AS age
                 FROM release)
             SELECT id FROM ranked AS old
             WHERE age > ?1 AND current = 0 AND slug IS NOT NULL AND status IN ('succeeded', 'failed')
               AND NOT EXISTS (SELECT 1 FROM ranked AS kept WHERE kept.slug = old.slug
                               AND (kept.age <= ?1 OR kept.current = 1 OR kept.status = 'pending'))
             ORDER BY created_at, app, version LIMIT ?2",
            params![keep, limit],
            |c| c.id::<_>("id"),
        )?;
        for release in &expired {
            self.expire(*release, now)?;
        }
        Ok(expired.len())
    }

    fn expire(&self, release: ReleaseId, now: Timestamp) -> Result<(), StoreError> {
        let mark = "UPDATE release SET status = 'expired', updated_at = ?2 WHERE id = ?1";
        self.change("expire a release", mark, params![bytes(release), micros(now)])?;
        let layers = "DELETE FROM slug_layer WHERE slug = (SELECT slug FROM release WHERE id = ?1)
             AND NOT EXISTS (SELECT 1 FROM release AS other WHERE other.slug = slug_layer.slug
                             AND other.status <> 'expired')";
        self.change("drop an expired slug's layers", layers, params![bytes(release)]).map(drop)
    }
}

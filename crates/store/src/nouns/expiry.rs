//! Expiry: over the byte budget the slugs of old releases lose their layers. The release stays in the ledger, marked.

use jiff::Timestamp;
use renga_model::ReleaseId;
use rusqlite::params;

use crate::{
    StoreError, Tx,
    row::{bytes, micros},
};

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

//! Releases: the ledger in the ledger. A row is inserted once; only its status and whether it is the current one
//! change afterwards (triggers refuse the rest), and it goes only together with its app.

use jiff::Timestamp;
use renga_model::{AppId, Release, ReleaseId, ReleaseStatus};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, limit, micros, to_json},
};

const SEALED_CONFIG: &str = "release.sealed_config";

impl Read<'_> {
    pub fn release_fetch(&self, id: ReleaseId) -> Result<Release, StoreError> {
        self.first("fetch a release", "SELECT * FROM release WHERE id = ?1", [bytes(id)], release)?
            .ok_or(StoreError::not_found("release"))
    }

    pub fn release_find(&self, app: AppId, version: u64) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT * FROM release WHERE app = ?1 AND version = ?2";
        self.first("find a release", sql, params![bytes(app), version], release)
    }

    /// By version. `after_version` continues a list behind that version, in either direction.
    pub fn release_list(
        &self,
        app: AppId,
        descending: bool,
        limit_rows: usize,
        after_version: Option<u64>,
    ) -> Result<Vec<Release>, StoreError> {
        let sql = match descending {
            false => "SELECT * FROM release WHERE app = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
            true => "SELECT * FROM release WHERE app = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3",
        };
        let start = if descending { i64::MAX.unsigned_abs() } else { 0 };
        let bounds = params![bytes(app), after_version.unwrap_or(start), limit(limit_rows)];
        self.all("list releases", sql, bounds, release)
    }

    /// The one that the formation runs.
    pub fn release_current(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT * FROM release WHERE app = ?1 AND current = 1";
        self.first("find the current release", sql, [bytes(app)], release)
    }

    /// The one with the highest version, whatever its status.
    pub fn release_latest(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        let sql = "SELECT * FROM release WHERE app = ?1 ORDER BY version DESC LIMIT 1";
        self.first("find the latest release", sql, [bytes(app)], release)
    }

    /// Of all apps; each app's in the order of their versions.
    pub fn release_list_pending(&self) -> Result<Vec<Release>, StoreError> {
        let sql = "SELECT * FROM release WHERE status = 'pending' ORDER BY app, version";
        self.all("list pending releases", sql, [], release)
    }

    /// What the next release of the app is to be called; it stays true within a write closure only.
    pub fn release_next_version(&self, app: AppId) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(version), 0) + 1 AS next FROM release WHERE app = ?1";
        let next = self.first("number a release", sql, [bytes(app)], |c| c.get("next"))?;
        Ok(next.unwrap_or(1))
    }
}

impl Tx<'_> {
    /// The version must be `release_next_version`'s; another one, or a second current release, is a conflict.
    pub fn release_insert(&self, release: &Release) -> Result<(), StoreError> {
        if release.version != self.release_next_version(release.app)? {
            return Err(StoreError::Conflict { what: "release version" });
        }
        let plain = serde_json::to_vec(&release.config).expect("config vars have a JSON form");
        self.change(
            "insert a release",
            "INSERT INTO release (id, app, version, status, description, user, slug, sealed_config, attachments,
                command_dyno, current, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                bytes(release.id),
                bytes(release.app),
                release.version,
                release.status.as_str(),
                release.description,
                bytes(release.user),
                release.slug.map(bytes),
                self.key.seal(SEALED_CONFIG, &bytes(release.id), &plain),
                to_json(&release.attachments),
                release.command_dyno.map(bytes),
                release.current,
                micros(release.created_at),
                micros(release.updated_at)
            ],
        )
        .map(drop)
    }

    /// Compare-and-set: `Stale` if the status is not `from` any more.
    pub fn release_set_status(
        &self,
        id: ReleaseId,
        from: ReleaseStatus,
        to: ReleaseStatus,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE release SET status = ?3, updated_at = ?4 WHERE id = ?1 AND status = ?2";
        let cells = params![bytes(id), from.as_str(), to.as_str(), micros(now)];
        match self.change("set a release's status", sql, cells)? {
            0 => {
                self.release_fetch(id)?;
                Err(StoreError::Stale { what: "release", id: id.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// From now on the formation runs this one, and no other of the app.
    pub fn release_make_current(&self, id: ReleaseId, now: Timestamp) -> Result<(), StoreError> {
        let clear = "UPDATE release SET current = 0, updated_at = ?2
             WHERE app = (SELECT app FROM release WHERE id = ?1) AND current = 1 AND id <> ?1";
        let set = "UPDATE release SET current = 1, updated_at = ?2 WHERE id = ?1";
        let cells = params![bytes(id), micros(now)];
        self.change("retire the current release", clear, cells)?;
        self.change_one("make a release current", "release", set, cells)
    }
}

fn release(c: &Cells<'_>) -> Result<Release, StoreError> {
    let id = c.id("id")?;
    Ok(Release {
        id,
        app: c.id("app")?,
        version: c.get("version")?,
        status: c.state("status", ReleaseStatus::parse)?,
        description: c.get("description")?,
        user: c.id("user")?,
        slug: c.id_opt("slug")?,
        config: c.sealed("sealed_config", SEALED_CONFIG, &bytes(id))?,
        attachments: c.json("attachments")?,
        command_dyno: c.id_opt("command_dyno")?,
        current: c.get("current")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

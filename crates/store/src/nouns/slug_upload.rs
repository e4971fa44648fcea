//! Slugs that clients bring. The row goes with its archive; the slug that came of it stays.

use jiff::Timestamp;
use renga_model::{AppId, SlugId, SlugUpload};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros, to_json},
};

impl Read<'_> {
    pub fn slug_upload_fetch(&self, id: SlugId) -> Result<SlugUpload, StoreError> {
        self.first("fetch a slug's upload", "SELECT * FROM slug_upload WHERE id = ?1", [bytes(id)], upload)?
            .ok_or(StoreError::not_found("slug"))
    }

    /// Of all apps, oldest first.
    pub fn slug_upload_list(&self) -> Result<Vec<SlugUpload>, StoreError> {
        let sql = "SELECT * FROM slug_upload ORDER BY created_at, id";
        self.all("list the slugs' uploads", sql, [], upload)
    }

    pub fn slug_upload_count(&self, app: AppId) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) AS number FROM slug_upload WHERE app = ?1";
        let number = self.first("count an app's uploads", sql, [bytes(app)], |c| c.get::<usize>("number"))?;
        Ok(number.unwrap_or_default())
    }

    /// Those made before `than`, oldest first.
    pub fn slug_upload_list_older(&self, than: Timestamp) -> Result<Vec<SlugUpload>, StoreError> {
        let sql = "SELECT * FROM slug_upload WHERE created_at < ?1 ORDER BY created_at, id";
        self.all("list old uploads of slugs", sql, [micros(than)], upload)
    }
}

impl Tx<'_> {
    pub fn slug_upload_insert(&self, upload: &SlugUpload) -> Result<(), StoreError> {
        let sql = "INSERT INTO slug_upload (id, app, stack, process_types, checksum, source_commit,
                commit_description, buildpack_provided_description, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let cells = params![
            bytes(upload.id),
            bytes(upload.app),
            upload.stack.as_str(),
            to_json(&upload.process_types),
            upload.checksum,
            upload.commit,
            upload.commit_description,
            upload.buildpack_provided_description,
            micros(upload.created_at)
        ];
        self.change("insert a slug's upload", sql, cells).map(drop)
    }

    /// What came of it and was never released loses its layers.
    pub fn slug_upload_delete(&self, id: SlugId) -> Result<(), StoreError> {
        let layers = "DELETE FROM slug_layer WHERE slug = ?1
             AND NOT EXISTS (SELECT 1 FROM release WHERE release.slug = slug_layer.slug)";
        self.change("drop an unreleased slug's layers", layers, [bytes(id)])?;
        self.change("delete a slug's upload", "DELETE FROM slug_upload WHERE id = ?1", [bytes(id)]).map(drop)
    }
}

fn upload(c: &Cells<'_>) -> Result<SlugUpload, StoreError> {
    Ok(SlugUpload {
        id: c.id("id")?,
        app: c.id("app")?,
        stack: c.name("stack")?,
        process_types: c.json("process_types")?,
        checksum: c.get("checksum")?,
        commit: c.get("source_commit")?,
        commit_description: c.get("commit_description")?,
        buildpack_provided_description: c.get("buildpack_provided_description")?,
        created_at: c.time("created_at")?,
    })
}

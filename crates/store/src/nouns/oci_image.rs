//! OCI images: what clients have said about them.

use renga_model::{AppId, OciImage};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    /// Of the app, oldest first.
    pub fn oci_image_list(&self, app: AppId) -> Result<Vec<OciImage>, StoreError> {
        let sql = "SELECT * FROM oci_image WHERE app = ?1 ORDER BY created_at, id";
        self.all("list OCI images", sql, [bytes(app)], oci_image)
    }
}

impl Tx<'_> {
    pub fn oci_image_insert(&self, image: &OciImage) -> Result<(), StoreError> {
        let sql = "INSERT INTO oci_image (id, app, digest, facts, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let cells =
            params![bytes(image.id), bytes(image.app), image.digest, image.facts, micros(image.created_at)];
        self.change("insert an OCI image", sql, cells).map(drop)
    }
}

fn oci_image(c: &Cells<'_>) -> Result<OciImage, StoreError> {
    Ok(OciImage {
        id: c.id("id")?,
        app: c.id("app")?,
        digest: c.get("digest")?,
        facts: c.get("facts")?,
        created_at: c.time("created_at")?,
    })
}

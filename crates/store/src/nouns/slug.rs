//! Slugs and their layers, and which layer images anything still needs.

use std::collections::BTreeSet;

use renga_model::{AppId, LayerDigest, Slug, SlugId, SlugLayer};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros, to_json},
};

impl Read<'_> {
    pub fn slug_fetch(&self, id: SlugId) -> Result<Slug, StoreError> {
        let found = self.first("fetch a slug", "SELECT * FROM slug WHERE id = ?1", [bytes(id)], slug)?;
        self.with_layers(found.ok_or(StoreError::not_found("slug"))?)
    }

    /// Oldest first.
    pub fn slug_list(&self, app: AppId) -> Result<Vec<Slug>, StoreError> {
        let sql = "SELECT * FROM slug WHERE app = ?1 ORDER BY created_at, id";
        let slugs = self.all("list slugs", sql, [bytes(app)], slug)?;
        slugs.into_iter().map(|slug| self.with_layers(slug)).collect()
    }

    /// Every layer that a slug or a build cache names. An image that no row names yet may still be on its way.
    pub fn layers_in_use(&self) -> Result<BTreeSet<LayerDigest>, StoreError> {
        let sql = "SELECT digest FROM slug_layer UNION SELECT digest FROM build_cache_layer";
        Ok(self.all("list the layers in use", sql, [], |c| c.name("digest"))?.into_iter().collect())
    }

    /// Commits that have become a slug of the app.
    pub fn commits_deployed(&self, app: AppId) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT DISTINCT source_commit FROM slug WHERE app = ?1 AND source_commit IS NOT NULL";
        Ok(self
            .all("list deployed commits", sql, [bytes(app)], |c| c.get("source_commit"))?
            .into_iter()
            .collect())
    }

    fn with_layers(&self, slug: Slug) -> Result<Slug, StoreError> {
        let sql = "SELECT digest, key, bytes FROM slug_layer WHERE slug = ?1 ORDER BY position";
        let layers = self.all("list a slug's layers", sql, [bytes(slug.id)], layer)?;
        Ok(Slug { layers, ..slug })
    }
}

impl Tx<'_> {
    pub fn slug_insert(&self, slug: &Slug) -> Result<(), StoreError> {
        self.change(
            "insert a slug",
            "INSERT INTO slug (id, app, stack, process_types, source_commit, commit_description,
                buildpack_provided_description, checksum, bytes, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                bytes(slug.id),
                bytes(slug.app),
                slug.stack.as_str(),
                to_json(&slug.process_types),
                slug.commit,
                slug.commit_description,
                slug.buildpack_provided_description,
                slug.checksum,
                slug.bytes,
                micros(slug.created_at)
            ],
        )?;
        let sql = "INSERT INTO slug_layer (slug, position, digest, key, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        for (position, layer) in slug.layers.iter().enumerate() {
            let cells = params![bytes(slug.id), position, layer.digest.as_str(), layer.key, layer.bytes];
            self.change("insert a slug's layer", sql, cells)?;
        }
        Ok(())
    }
}

fn slug(c: &Cells<'_>) -> Result<Slug, StoreError> {
    Ok(Slug {
        id: c.id("id")?,
        app: c.id("app")?,
        stack: c.name("stack")?,
        layers: Vec::new(),
        process_types: c.json("process_types")?,
        commit: c.get("source_commit")?,
        commit_description: c.get("commit_description")?,
        buildpack_provided_description: c.get("buildpack_provided_description")?,
        checksum: c.get("checksum")?,
        bytes: c.get("bytes")?,
        created_at: c.time("created_at")?,
    })
}

pub(super) fn layer(c: &Cells<'_>) -> Result<SlugLayer, StoreError> {
    Ok(SlugLayer { digest: c.name("digest")?, key: c.get("key")?, bytes: c.get("bytes")? })
}

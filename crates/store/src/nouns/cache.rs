//! What a build leaves for the next one of its app.

use std::collections::BTreeMap;

use renga_model::{AppId, SlugLayer};
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    nouns::slug::layer,
    row::{bytes, to_json},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildCache {
    /// The buildpacks' cache folder, as a layer.
    pub cache: Option<SlugLayer>,
    /// Layers of the last slug that have a key: what the next build may take over as it is.
    pub layers: Vec<SlugLayer>,
    /// `python.version` and the like.
    pub facts: BTreeMap<String, String>,
}

impl Read<'_> {
    pub fn build_cache_fetch(&self, app: AppId) -> Result<Option<BuildCache>, StoreError> {
        let sql = "SELECT facts FROM build_cache WHERE app = ?1";
        let Some(facts) = self.first("fetch a build cache", sql, [bytes(app)], |c| c.json("facts"))? else {
            return Ok(None);
        };
        let cache = self.cache_layers(app, "cache")?.pop();
        Ok(Some(BuildCache { cache, layers: self.cache_layers(app, "layer")?, facts }))
    }

    fn cache_layers(&self, app: AppId, role: &'static str) -> Result<Vec<SlugLayer>, StoreError> {
        let sql = "SELECT * FROM build_cache_layer WHERE app = ?1 AND role = ?2 ORDER BY position";
        self.all("list cached layers", sql, params![bytes(app), role], layer)
    }
}

impl Tx<'_> {
    /// In place of what was there.
    pub fn build_cache_put(&self, app: AppId, cache: &BuildCache) -> Result<(), StoreError> {
        self.build_cache_delete(app)?;
        let sql = "INSERT INTO build_cache (app, facts) VALUES (?1, ?2)";
        self.change("insert a build cache", sql, params![bytes(app), to_json(&cache.facts)])?;
        let layers = cache.layers.iter().enumerate().map(|(position, layer)| ("layer", position, layer));
        for (role, position, layer) in cache.cache.iter().map(|layer| ("cache", 0, layer)).chain(layers) {
            self.change(
                "insert a cached layer",
                "INSERT INTO build_cache_layer (app, role, position, digest, key, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![bytes(app), role, position, layer.digest.as_str(), layer.key, layer.bytes],
            )?;
        }
        Ok(())
    }

    /// Whether there was one.
    pub fn build_cache_delete(&self, app: AppId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM build_cache WHERE app = ?1";
        Ok(self.change("delete a build cache", sql, [bytes(app)])? > 0)
    }
}

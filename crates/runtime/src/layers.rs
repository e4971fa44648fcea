//! The layer images on disk: listing them, removing them, and unmounting what nobody uses.

use std::fs;

use renga_model::LayerDigest;
use renga_ports::LayerInfo;

use crate::{
    error::{Doing, HandError, Result, gone_is_fine},
    hand::Inner,
};

impl Inner {
    pub(crate) fn layers(&self) -> Result<Vec<LayerInfo>> {
        let folder = self.paths.layers();
        let mut found = Vec::new();
        for file in fs::read_dir(&folder).doing("list", folder.display())?.flatten() {
            let name = file.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".erofs")?.parse().ok());
            let (Some(digest), Ok(meta)) = (digest, file.metadata()) else { continue };
            let in_use = self.table().uses(&digest);
            found.push(LayerInfo { digest, bytes: meta.len(), in_use });
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    pub(crate) fn layer_remove(&self, digest: &LayerDigest) -> Result<()> {
        // Held until the file is gone: a start that comes now finds no layer, one that came before has a plan.
        let table = self.table();
        if table.uses(digest) {
            return Err(HandError::Refused(format!("layer {digest} is in use")));
        }
        self.images.release(digest.as_str())?;
        let path = self.paths.layer(digest);
        gone_is_fine(fs::remove_file(&path), "remove layer", &path)
    }

    /// Once in a while.
    ///
    /// A start between these two lines mounts again what is taken away here: its plan was not seen, but its mount is
    /// fresh and thus not idle.
    pub(crate) fn sweep_images(&self) -> Result<()> {
        let in_use = self.table().images();
        self.images.sweep(&in_use)
    }
}

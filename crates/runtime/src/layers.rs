//! The layer images on disk: listing them, removing them, and unmounting what nobody uses.

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

use jiff::Timestamp;
use renga_model::LayerDigest;
use renga_ports::{LayerInfo, PackedLayer};
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};

use crate::{
    error::{Doing, HandError, Result, gone_is_fine},
    files::sync_parent,
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
            let packed_at = packed_at(&meta).doing("read the time of", file.path().display())?;
            found.push(LayerInfo { digest, bytes: meta.len(), in_use, packed_at });
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    /// Gives an image the name of its content. One that is there already is packed again: it becomes young.
    pub(crate) fn layer_keep(&self, digest: LayerDigest, image: &Path) -> Result<PackedLayer> {
        let bytes = fs::metadata(image).doing("look at", image.display())?.len();
        let target = self.paths.layer(&digest);
        // A removal that looks at the time now must see the new one.
        let table = self.table();
        if target.exists() {
            renew(&target).doing("renew layer", target.display())?;
            drop(table);
            fs::remove_file(image).doing("remove", image.display())?;
        } else {
            drop(table);
            fs::rename(image, &target).doing("place layer", target.display())?;
            sync_parent(&target).doing("sync the folder of", target.display())?;
        }
        Ok(PackedLayer { digest, bytes })
    }

    pub(crate) fn layer_remove(&self, digest: &LayerDigest, packed_before: Timestamp) -> Result<()> {
        // Held until the file is gone: a start that comes now finds no layer, one that came before has a plan.
        let table = self.table();
        if table.uses(digest) {
            return Err(HandError::Refused(format!("layer {digest} is in use")));
        }
        let path = self.paths.layer(digest);
        match fs::metadata(&path).and_then(|meta| packed_at(&meta)) {
            Ok(at) if at >= packed_before => {
                return Err(HandError::Refused(format!("layer {digest} was packed at {at}")));
            }
            Ok(_) => {}
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(cause).doing("look at", path.display()),
        }
        self.images.release(digest.as_str())?;
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

/// Its time is now, by the clock that also gives new files theirs.
fn renew(image: &Path) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    Ok(futimens(File::open(image)?, &times)?)
}

fn packed_at(meta: &Metadata) -> io::Result<Timestamp> {
    Timestamp::try_from(meta.modified()?).map_err(io::Error::other)
}

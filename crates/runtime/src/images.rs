//! Images of layers and stacks, each mounted once and cloned for every dyno.
//!
//! ```text
//! file ──first dyno that needs it──> mounted ──no dyno for a while──> file ──layer_remove──> gone
//! ```
//!
//! Who uses an image is written in the dynos' plans; here is only what is mounted, and since when nobody asked.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use renga_model::LayerDigest;
use rustix::fs::{Mode, OFlags, open};

use crate::{
    config::LAYER_IDLE,
    error::{Doing, Result, gone_is_fine},
    files::directory,
    mounts,
    paths::Paths,
};

#[derive(Debug)]
pub(crate) struct Images {
    paths: Paths,
    mounted: Mutex<HashMap<String, Mounted>>,
}

#[derive(Debug)]
struct Mounted {
    root: Arc<OwnedFd>,
    used_at: Instant,
}

impl Images {
    /// Takes over what an earlier process has mounted.
    pub(crate) fn open(paths: &Paths) -> Result<Self> {
        let images = Self { paths: paths.clone(), mounted: Mutex::default() };
        let folder = paths.images();
        let mut mounted = HashMap::new();
        for point in mounts::below(&folder)? {
            if let Some(key) = point.file_name().and_then(|name| name.to_str()) {
                mounted.insert(key.to_owned(), Mounted { root: root_of(&point)?, used_at: Instant::now() });
            }
        }
        for entry in fs::read_dir(&folder).doing("list", folder.display())?.flatten() {
            if !entry.file_name().to_str().is_some_and(|name| mounted.contains_key(name)) {
                gone_is_fine(fs::remove_dir(entry.path()), "remove", &entry.path())?;
            }
        }
        *images.lock() = mounted;
        Ok(images)
    }

    pub(crate) fn layer(&self, digest: &LayerDigest) -> Result<Arc<OwnedFd>> {
        self.root(digest.as_str(), &self.paths.layer(digest))
    }

    /// The root of the mounted image, which is mounted if need be.
    pub(crate) fn root(&self, key: &str, image: &Path) -> Result<Arc<OwnedFd>> {
        let mut mounted = self.lock();
        if let Some(found) = mounted.get_mut(key) {
            found.used_at = Instant::now();
            return Ok(Arc::clone(&found.root));
        }
        let point = self.paths.images().join(key);
        directory(&point, 0o755)?;
        mounts::mount_image(image, &point)?;
        let root = root_of(&point)?;
        mounted.insert(key.to_owned(), Mounted { root: Arc::clone(&root), used_at: Instant::now() });
        Ok(root)
    }

    /// Unmounts what no plan names and nobody has asked for in a while.
    pub(crate) fn sweep(&self, in_use: &HashSet<String>) -> Result<()> {
        let mut mounted = self.lock();
        let idle =
            |key: &String, image: &Mounted| !in_use.contains(key) && image.used_at.elapsed() > LAYER_IDLE;
        let keys: Vec<String> =
            mounted.iter().filter(|(key, image)| idle(key, image)).map(|(key, _)| key.clone()).collect();
        keys.iter().try_for_each(|key| self.unmount(&mut mounted, key))
    }

    /// For a layer that is about to be removed.
    pub(crate) fn release(&self, key: &str) -> Result<()> {
        self.unmount(&mut self.lock(), key)
    }

    fn unmount(&self, mounted: &mut HashMap<String, Mounted>, key: &str) -> Result<()> {
        if mounted.remove(key).is_none() {
            return Ok(());
        }
        let point = self.paths.images().join(key);
        mounts::detach(&point)?;
        gone_is_fine(fs::remove_dir(&point), "remove", &point)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Mounted>> {
        // A panic while it was held left at worst a mount that is not in the map, which the next start finds.
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn root_of(point: &Path) -> Result<Arc<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    open(point, flags, Mode::empty()).map(Arc::new).doing("open", point.display())
}

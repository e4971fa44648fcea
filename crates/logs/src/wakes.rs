//! Wake-ups for readers of journals: "look again", without data. A journal that nobody reads has no entry.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Entries whose readers have gone are swept out when there are so many of all.
const UNREAD_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Wakes(Mutex<Option<HashMap<PathBuf, watch::Sender<()>>>>);

impl Wakes {
    pub(crate) fn open() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }

    /// Must be called before the first look, so that nothing falls between. None after [`Wakes::close`].
    pub(crate) fn subscribe(&self, journal: &Path) -> Option<watch::Receiver<()>> {
        let mut map = self.lock();
        let map = map.as_mut()?;
        if map.len() >= UNREAD_MAX {
            map.retain(|_, sender| sender.receiver_count() > 0);
        }
        let sender = map.entry(journal.to_owned()).or_insert_with(|| watch::channel(()).0);
        Some(sender.subscribe())
    }

    pub(crate) fn wake(&self, journal: &Path) {
        let mut map = self.lock();
        let Some(map) = map.as_mut() else { return };
        // It fails when the last reader has gone.
        if map.get(journal).is_some_and(|sender| sender.send(()).is_err()) {
            map.remove(journal);
        }
    }

    /// Readers that wait see the end.
    pub(crate) fn forget(&self, journal: &Path) {
        if let Some(map) = self.lock().as_mut() {
            map.remove(journal);
        }
    }

    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<PathBuf, watch::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

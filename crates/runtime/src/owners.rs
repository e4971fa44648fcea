//! Shifted owners: user namespaces that hold the shifts, made once per range of ids.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    config::{APP_ID, Config},
    error::{Doing, Result},
    sys::idmap::{self, IdRange},
};

#[derive(Debug, Default)]
pub(crate) struct Owners(Mutex<HashMap<Vec<IdRange>, Arc<OwnedFd>>>);

/// Ranges remembered; each costs a descriptor.
const OWNERS_MAX: usize = 512;

impl Owners {
    /// Ids on disk are ids inside.
    pub(crate) fn of_range(&self, config: &Config, uid_base: u32) -> Result<Arc<OwnedFd>> {
        self.get(vec![IdRange { inside: 0, outside: uid_base, count: config.range_ids() }])
    }

    /// What the server owns on disk is the dyno user's inside.
    pub(crate) fn of_server(&self, config: &Config, uid_base: u32) -> Result<Arc<OwnedFd>> {
        let app = IdRange { inside: config.server_uid, outside: uid_base + APP_ID, count: 1 };
        let root = IdRange { inside: 0, outside: uid_base, count: 1 };
        self.get(if config.server_uid == 0 { vec![app] } else { vec![app, root] })
    }

    fn get(&self, ranges: Vec<IdRange>) -> Result<Arc<OwnedFd>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&ranges) {
            return Ok(Arc::clone(found));
        }
        if known.len() >= OWNERS_MAX {
            known.clear();
        }
        let made = Arc::new(idmap::namespace(&ranges).doing("make", "a user namespace")?);
        known.insert(ranges, Arc::clone(&made));
        Ok(made)
    }
}

/// Whether this machine lets root make user namespaces and shift owners at all.
pub(crate) fn can_shift() -> Result<()> {
    idmap::namespace(&[IdRange { inside: 0, outside: 100_000, count: 1 }])
        .map(drop)
        .doing("make", "a user namespace")
}

//! No full host from dynos.
//!
//! A dyno's disk is a sparse file: all of them together promise more than the machine has, and few are ever filled.
//! Nothing starts below the floor of free space; dynos that run may go on writing. When they have used up half of what
//! the floor keeps free, the one whose disk takes most is killed and its disk removed, then the next, until there is
//! room again: one app loses a dyno, and the platform, its ledger and all others go on.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use renga_model::DynoId;
use tokio::time::Instant;

use crate::{
    error::{Result, tell},
    files::disk_free,
    hand::{Inner, joined},
    table::{Entry, StopOrder},
};

/// How often free space is looked at, while there is plenty and while there is not. Between two looks a fast disk takes
/// a few hundred MiB.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_OFTEN: Duration = Duration::from_millis(100);
/// Less than so many times the limit is not plenty.
const PLENTY: u64 = 16;
/// Killing a dyno for less would not help.
const TAKEN_BYTES_MIN: u64 = 16 * 1024 * 1024;

pub(crate) async fn guard(inner: Arc<Inner>) {
    let mut pause = LOOK_EVERY;
    loop {
        tokio::select! {
            biased;
            () = inner.cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let worker = Arc::clone(&inner);
        let looked = joined(inner.tasks.spawn_blocking(move || worker.keep_disk_free()).await);
        pause = tell(looked).unwrap_or(LOOK_EVERY);
    }
}

impl Inner {
    /// Returns when to look again.
    fn keep_disk_free(&self) -> Result<Duration> {
        let limit = self.config.disk_floor_bytes / 2;
        let (free, _) = disk_free(self.paths.node())?;
        if free >= limit {
            return Ok(if free / PLENTY >= limit { LOOK_EVERY } else { LOOK_OFTEN });
        }
        let running: Vec<_> = self.table().all().into_iter().filter(|entry| !entry.has_exited()).collect();
        let taken = running.iter().map(|entry| Taken {
            id: entry.label.id,
            bytes: self.disk_bytes(entry),
            leaves: entry.evicted.get().is_some(),
        });
        let taken: Vec<Taken> = taken.collect();
        if let Some(chosen) = chosen(&taken) {
            let entry = running.iter().find(|entry| entry.label.id == chosen.id);
            entry.iter().for_each(|entry| evict(entry, chosen.bytes, free));
        }
        Ok(LOOK_OFTEN)
    }

    /// What a dyno's disk takes of the machine's.
    pub(crate) fn disk_bytes(&self, entry: &Entry) -> u64 {
        let image = fs::metadata(self.paths.dyno(entry.label.id).disk_image());
        image.map_or(0, |image| image.blocks() * 512)
    }
}

fn evict(entry: &Entry, bytes: u64, free: u64) {
    let (taken, free) = (bytes >> 20, free >> 20);
    let why = format!(
        "the platform's disk is almost full ({free} MiB are free), and this dyno's files take most of it ({taken} MiB)"
    );
    tracing::error!(dyno.id = %entry.label.id, dyno.name = %entry.label.name, "killing {}: {why}", entry.label.name);
    if entry.evicted.set(why).is_ok() {
        entry.order_stop(StopOrder { grace: Duration::ZERO, asked_at: Instant::now() });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    id: DynoId,
    bytes: u64,
    /// It is being killed already.
    leaves: bool,
}

/// One at a time: what the last one gives back may be enough.
fn chosen(taken: &[Taken]) -> Option<Taken> {
    if taken.iter().any(|dyno| dyno.leaves) {
        return None;
    }
    let worth = taken.iter().filter(|dyno| dyno.bytes >= TAKEN_BYTES_MIN);
    worth.max_by_key(|dyno| (dyno.bytes, dyno.id)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_goes_and_one_at_a_time() {
        let dyno = |mib: u64, leaves| Taken { id: DynoId::random(), bytes: mib << 20, leaves };
        for (taken, expected) in [
            (vec![], None),
            (vec![dyno(15, false)], None),
            (vec![dyno(20, false), dyno(900, false), dyno(30, false)], Some(900 << 20)),
            (vec![dyno(20, false), dyno(900, true), dyno(30, false)], None),
        ] {
            assert_eq!(chosen(&taken).map(|dyno| dyno.bytes), expected, "{taken:?}");
        }
    }
}

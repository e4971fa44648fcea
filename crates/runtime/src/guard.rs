//! No full host from dynos.
//!
//! A dyno's disk is a sparse file: all of them together promise more than the machine has, and few are ever filled.
//! Nothing starts below the floor of free space; dynos that run may go on writing. When they have used up half of what
//! the floor keeps free, the one that wrote most is killed and its disk removed, then the next, until there is room
//! again: one app loses a dyno, and the platform, its ledger and all others go on. Where it was somebody else who
//! filled the disk, nobody is killed: that would help for a moment only.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

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
/// So many times the floor is plenty.
const PLENTY: u64 = 8;
/// Who has written less is not killed for it.
const WRITTEN_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// How it was when more than the floor was free, or when the node began.
#[derive(Debug, Default)]
struct Before {
    free: u64,
    taken: HashMap<DynoId, u64>,
}

pub(crate) async fn guard(inner: Arc<Inner>) {
    let (mut before, mut pause) = (None, Duration::ZERO);
    loop {
        tokio::select! {
            biased;
            () = inner.cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let worker = Arc::clone(&inner);
        let looked = inner.tasks.spawn_blocking(move || worker.keep_disk_free(before)).await;
        (before, pause) = tell(joined(looked)).unwrap_or((None, LOOK_EVERY));
    }
}

impl Inner {
    /// Returns what to compare with next time, and when.
    fn keep_disk_free(&self, before: Option<Before>) -> Result<(Option<Before>, Duration)> {
        let floor = self.config.disk_floor_bytes;
        let (free, _) = disk_free(self.paths.node())?;
        if free >= floor.saturating_mul(PLENTY) {
            return Ok((None, LOOK_EVERY));
        }
        let running: Vec<_> = self.table().all().into_iter().filter(|entry| !entry.has_exited()).collect();
        let taken = running.iter().map(|entry| (entry.label.id, self.disk_bytes(entry))).collect();
        let now = Before { free, taken };
        let Some(before) = before.filter(|_| free < floor) else { return Ok((Some(now), LOOK_OFTEN)) };
        // One at a time: what the last one gives back may be enough.
        let leaves = running.iter().any(|entry| entry.evicted.get().is_some());
        if free < floor / 2
            && !leaves
            && let Some((id, bytes)) = chosen(&before, &now)
        {
            let entry = running.iter().find(|entry| entry.label.id == id);
            entry.iter().for_each(|entry| evict(entry, bytes, free));
        }
        Ok((Some(before), LOOK_OFTEN))
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
        "the platform's disk is almost full ({free} MiB are free), and this dyno wrote most of it ({taken} MiB)"
    );
    tracing::error!(dyno.id = %entry.label.id, dyno.name = %entry.label.name, "killing {}: {why}", entry.label.name);
    if entry.evicted.set(why).is_ok() {
        entry.order_stop(StopOrder { grace: Duration::ZERO, asked_at: Instant::now() });
    }
}

/// Who wrote most since, and how much, if most of what is gone was written by dynos.
fn chosen(before: &Before, now: &Before) -> Option<(DynoId, u64)> {
    let written = now.taken.iter().map(|(id, bytes)| {
        let had = before.taken.get(id).copied().unwrap_or_default();
        (*id, bytes.saturating_sub(had))
    });
    let written: Vec<(DynoId, u64)> = written.collect();
    let all: u64 = written.iter().map(|(_, bytes)| bytes).sum();
    let gone = before.free.saturating_sub(now.free);
    let most = written.into_iter().max_by_key(|(id, bytes)| (*bytes, *id))?;
    (most.1 >= WRITTEN_BYTES_MIN && all >= gone / 2).then_some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_most_goes_if_dynos_filled_the_disk() {
        let ids = [DynoId::random(), DynoId::random(), DynoId::random()];
        let state = |free: u64, taken: [u64; 3]| Before {
            free: free << 20,
            taken: ids.into_iter().zip(taken.map(|mib| mib << 20)).collect(),
        };
        let before = state(1024, [900, 10, 0]);
        for (free, taken, expected) in [
            // The large one was that large before.
            (500, [900, 500, 24], Some((ids[1], 490 << 20))),
            (500, [920, 10, 400], Some((ids[2], 400 << 20))),
            // Somebody else wrote most of it.
            (500, [900, 10, 200], None),
            (500, [900, 10, 0], None),
            (1010, [914, 10, 0], None),
        ] {
            assert_eq!(chosen(&before, &state(free, taken)), expected, "{free} {taken:?}");
        }
        let begun = state(100, [900, 10, 0]);
        assert_eq!(chosen(&begun, &state(60, [900, 50, 0])), Some((ids[1], 40 << 20)));
    }
}

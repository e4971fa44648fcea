//! One core for a fork bomb.
//!
//! A dyno at its limit of processes that goes on asking for more keeps every core inside the kernel, where it gives way
//! to nobody for milliseconds at a time, whatever its share: its neighbours' requests wait. For as long as it does, all
//! its processes have the machine's last core together, and the others are everybody else's. An app that only meets the
//! limit now and then is left alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use renga_model::DynoId;

use crate::{
    error::{Result, tell},
    hand::{Inner, joined},
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Processes refused between two looks that make a fork bomb.
const REFUSED_MAX: u64 = 100;
/// Looks without so many, until a dyno has all cores again.
const QUIET_LOOKS: u32 = 5;

#[derive(Debug, Clone, Copy)]
struct Crowd {
    refused: u64,
    confined: bool,
    quiet: u32,
}

pub(crate) async fn watch(inner: Arc<Inner>) {
    let mut crowds = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = inner.cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let worker = Arc::clone(&inner);
        let looked = inner.tasks.spawn_blocking(move || worker.keep_cores_free(&crowds));
        crowds = tell(joined(looked.await)).unwrap_or_default();
    }
}

impl Inner {
    /// Returns what to compare with next time.
    fn keep_cores_free(&self, before: &HashMap<DynoId, Crowd>) -> Result<HashMap<DynoId, Crowd>> {
        let mut now = HashMap::new();
        for entry in self.table().all().into_iter().filter(|entry| !entry.has_exited()) {
            let id = entry.label.id;
            let Some(refused) = self.cgroups.refused_processes(id) else { continue };
            let known = before.get(&id).copied();
            // A node that has just started finds dynos as the one before left them.
            let known =
                known.unwrap_or_else(|| Crowd { refused, confined: self.cgroups.has_one_core(id), quiet: 0 });
            let next = judged(known, refused);
            if next.confined != known.confined && self.cgroups.set_one_core(id, next.confined)? {
                let (name, cores) = (&entry.label.name, if next.confined { "one core" } else { "all cores" });
                tracing::info!(dyno.id = %id, dyno.name = %name, "{name} has {cores} now: it was refused {refused} processes so far");
            }
            now.insert(id, next);
        }
        Ok(now)
    }
}

fn judged(known: Crowd, refused: u64) -> Crowd {
    let bombs = refused.saturating_sub(known.refused) > REFUSED_MAX;
    let quiet = if bombs { 0 } else { known.quiet.saturating_add(1) };
    Crowd { refused, confined: bombs || (known.confined && quiet < QUIET_LOOKS), quiet }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_confined_until_it_has_been_quiet_for_a_while() {
        let mut crowd = Crowd { refused: 1_000, confined: false, quiet: 0 };
        let mut seen = Vec::new();
        for refused in [1_000, 1_090, 1_191, 1_191, 2_000, 2_000, 2_010, 2_010, 2_010, 2_020, 2_030] {
            crowd = judged(crowd, refused);
            seen.push(crowd.confined);
        }
        assert_eq!(seen, [false, false, true, true, true, true, true, true, true, false, false]);
    }
}

//! The dynos that this hand knows, and what is seen of each.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use renga_model::{DynoId, Exit, LayerDigest};
use renga_ports::{DynoPhase, DynoReport};
use renga_supervision::Label;
use tokio::{sync::watch, time::Instant};

use crate::{
    config::Config,
    error::{HandError, Result},
    plan::Plan,
};

/// The first two addresses of the subnet are the network's and the bridge's; the last is for broadcasts.
const INDEX_FIRST: u32 = 2;

/// One dyno, from its reservation until it is forgotten.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) label: Label,
    pub(crate) plan: Plan,
    seen: Mutex<Seen>,
    /// The latest wish to stop it.
    pub(crate) stop: watch::Sender<Option<StopOrder>>,
    /// Why the node itself ends it.
    pub(crate) evicted: OnceLock<String>,
    /// Whether it is to be kept frozen.
    pub(crate) frozen: AtomicBool,
    /// Held while it is frozen or thawed.
    pub(crate) freezer: Mutex<()>,
    /// Held while something works on what an exited dyno left: packing, reading, forgetting.
    pub(crate) work: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Seen {
    phase: DynoPhase,
    started_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StopOrder {
    pub(crate) grace: Duration,
    pub(crate) asked_at: Instant,
}

impl Entry {
    pub(crate) fn new(label: Label, plan: Plan) -> Self {
        let seen = Mutex::new(Seen { phase: DynoPhase::Starting, started_at: None });
        Self {
            label,
            plan,
            seen,
            stop: watch::Sender::new(None),
            evicted: OnceLock::new(),
            frozen: AtomicBool::new(false),
            freezer: Mutex::default(),
            work: tokio::sync::Mutex::default(),
        }
    }
    /// Asking again does not lengthen the grace.
    pub(crate) fn order_stop(&self, order: StopOrder) {
        self.stop.send_if_modified(|last| {
            let sooner = last.is_none_or(|last| order.asked_at + order.grace < last.asked_at + last.grace);
            if sooner {
                *last = Some(order);
            }
            sooner
        });
    }
    pub(crate) fn report(&self) -> DynoReport {
        let seen = self.seen().clone();
        DynoReport {
            id: self.label.id,
            app: self.label.app,
            generation: self.label.generation,
            kind: self.label.kind,
            phase: seen.phase,
            address: self.plan.port_address(),
            started_at: seen.started_at,
            frozen: self.frozen.load(Ordering::Relaxed),
        }
    }
    pub(crate) fn has_exited(&self) -> bool {
        matches!(self.seen().phase, DynoPhase::Exited(_))
    }
    pub(crate) fn set_started(&self, at: Timestamp) {
        self.seen().started_at = Some(at);
    }
    pub(crate) fn set_ready(&self) {
        let mut seen = self.seen();
        if seen.phase == DynoPhase::Starting {
            seen.phase = DynoPhase::Ready;
        }
    }
    /// The first exit counts.
    pub(crate) fn set_exited(&self, exit: Exit) {
        let mut seen = self.seen();
        if !matches!(seen.phase, DynoPhase::Exited(_)) {
            seen.phase = DynoPhase::Exited(exit);
        }
    }
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<DynoId, Arc<Entry>>,
    /// Where the search for a free number begins: numbers are reused as late as possible.
    next_index: u32,
}

impl Table {
    pub(crate) fn get(&self, id: DynoId) -> Option<Arc<Entry>> {
        self.entries.get(&id).cloned()
    }
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.values().cloned().collect()
    }
    pub(crate) fn insert(&mut self, entry: Arc<Entry>) {
        self.entries.insert(entry.label.id, entry);
    }
    pub(crate) fn remove(&mut self, id: DynoId) {
        self.entries.remove(&id);
    }
    pub(crate) fn uses(&self, digest: &LayerDigest) -> bool {
        self.entries.values().any(|entry| entry.plan.layers.contains(digest))
    }
    /// Keys of all images that a dyno needs.
    pub(crate) fn images(&self) -> HashSet<String> {
        let layers = |entry: &Arc<Entry>| -> Vec<String> {
            let digests = entry.plan.layers.iter().map(|digest| digest.as_str().to_owned());
            digests.chain([entry.plan.stack.clone()]).collect()
        };
        self.entries.values().flat_map(layers).collect()
    }

    /// A number that no dyno of the table has.
    pub(crate) fn free_index(&mut self, config: &Config) -> Result<u32> {
        let end = u32::try_from(config.subnet.size() - 1).unwrap_or(u32::MAX);
        let taken: HashSet<u32> = self.entries.values().map(|entry| entry.plan.index).collect();
        let start = self.next_index.clamp(INDEX_FIRST, end);
        let free = (start..end).chain(INDEX_FIRST..start).find(|index| !taken.contains(index));
        let index =
            free.ok_or_else(|| HandError::NoRoom(format!("all addresses of {} are taken", config.subnet)))?;
        self.next_index = index + 1;
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32) -> Arc<Entry> {
        let label = Label {
            id: DynoId::random(),
            generation: 1,
            app: renga_model::AppId::random(),
            kind: renga_model::DynoKind::Formation,
            name: "web.1".parse().unwrap(),
        };
        let plan = Plan {
            version: 1,
            index,
            address: [10, 0, 0, 1].into(),
            port: Some(5000),
            layers: Vec::new(),
            stack: "stack-x".into(),
            uid_base: 100_000,
            quota_bytes: 1,
            metered: false,
        };
        Arc::new(Entry::new(label, plan))
    }

    fn config(subnet: &str) -> Config {
        Config {
            data_dir: "/d".into(),
            instance: "t".parse().unwrap(),
            subnet: subnet.parse().unwrap(),
            uid_base: 100_000,
            uid_count: 65_536,
            server_uid: 0,
            supervisor: "/s".into(),
            builder: "/b".into(),
            stacks: Vec::new(),
            network_allow: Vec::new(),
            dns: Vec::new(),
            exchange_dir: "/e".into(),
            ca_bundle: None,
            disk_floor_bytes: 0,
            disk_write_bytes_per_s: None,
            allow_weak_isolation: false,
        }
    }

    #[test]
    fn numbers_are_reused_late_and_end_with_the_subnet() {
        let config = config("10.0.0.0/29");
        let mut table = Table::default();
        let mut given = Vec::new();
        while let Ok(index) = table.free_index(&config) {
            table.insert(entry(index));
            given.push(index);
        }
        assert_eq!(given, [2, 3, 4, 5, 6], "not the network, the bridge, or the broadcast address");
        for index in [3, 5] {
            let id = table.all().iter().find(|entry| entry.plan.index == index).unwrap().label.id;
            table.remove(id);
        }
        assert_eq!(table.free_index(&config).unwrap(), 3);
        assert_eq!(table.free_index(&config).unwrap(), 5);
    }

    #[test]
    fn the_first_exit_counts_and_nothing_follows_it() {
        let entry = entry(2);
        let exit = |code| Exit::new(code, renga_model::ExitReason::Exited, Timestamp::UNIX_EPOCH);
        entry.set_ready();
        assert_eq!(entry.report().phase, DynoPhase::Ready);
        entry.set_exited(exit(3));
        entry.set_exited(exit(4));
        entry.set_ready();
        assert_eq!(entry.report().phase, DynoPhase::Exited(exit(3)));
    }
}

//! The journals that are open now.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::Arc,
};

use renga_model::AppId;
use tokio::time::Instant;
use uuid::Uuid;

use super::log_directory;
use crate::{
    inbox::Loss,
    journal::{JournalWriter, NewRecord, OUTBOX, Origin, ROUTER, Rotation, STEPS},
    output::OutputName,
    store::Shared,
};

/// Files open at one time; beyond, all are closed and opened again as they are needed.
const OPEN_MAX: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Log(AppId),
    Output(OutputName),
}

pub(super) struct Journals {
    shared: Arc<Shared>,
    open: HashMap<Key, Open>,
    /// Since the last flush. What was appended to them is not there.
    failed: HashSet<Key>,
}

struct Open {
    writer: JournalWriter,
    touched: bool,
    used: Instant,
    /// Lines of the platform in the batch, which nobody could read again.
    platform: Option<Loss>,
}

impl Journals {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: HashMap::new(), failed: HashSet::new() }
    }

    pub(super) fn directory(&self, key: &Key) -> PathBuf {
        match key {
            Key::Log(app) => log_directory(&self.shared.config, *app),
            Key::Output(name) => name.directory(&self.shared.config.outputs),
        }
    }

    /// The last number of an origin that has been taken; none for a journal that cannot be opened.
    pub(super) fn position(&mut self, key: &Key, origin: &Origin) -> Option<u64> {
        self.get(key)?.writer.position(origin)
    }

    /// Makes sure that it is there.
    pub(super) fn touch(&mut self, key: &Key) {
        self.get(key);
    }

    pub(super) fn is_open(&self, key: &Key) -> bool {
        self.open.contains_key(key)
    }

    /// False if the journal has failed; the record is then not there, and neither is what was appended since the
    /// last flush.
    pub(super) fn append(&mut self, key: &Key, record: &NewRecord<'_>) -> bool {
        let dynos = self.shared.config.dynos.clone();
        let Some(open) = self.get(key) else { return false };
        open.touched = true;
        let appended = open.writer.append(record, &|origin| lives(&dynos, origin));
        self.judge(key, appended)
    }

    /// A line that is counted as `loss` if it cannot be written.
    pub(super) fn append_platform(&mut self, app: AppId, record: &NewRecord<'_>, loss: Loss) {
        let key = Key::Log(app);
        let Some(open) = self.get(&key) else { return self.shared.inbox.lost(app, loss) };
        let before = open.platform.map_or(Loss { count: 0, ..loss }, |platform| platform);
        open.platform = Some(Loss { count: before.count + loss.count, since: before.since });
        self.append(&key, record);
    }

    pub(super) fn is_finished(&mut self, key: &Key) -> bool {
        self.get(key).is_some_and(|open| open.writer.finished())
    }

    /// Makes visible what was appended, wakes the readers, and returns the journals that failed.
    pub(super) fn flush(&mut self) -> HashSet<Key> {
        let touched: Vec<Key> =
            self.open.iter().filter(|(_, open)| open.touched).map(|(key, _)| key.clone()).collect();
        for key in touched {
            self.flush_one(&key);
        }
        std::mem::take(&mut self.failed)
    }

    pub(super) fn flush_one(&mut self, key: &Key) -> bool {
        let dynos = self.shared.config.dynos.clone();
        let Some(open) = self.open.get_mut(key) else { return false };
        let flushed = open.writer.flush(&|origin| lives(&dynos, origin));
        if flushed.is_ok() {
            (open.touched, open.platform) = (false, None);
            self.shared.wakes.wake(&self.directory(key));
        }
        self.judge(key, flushed)
    }

    pub(super) fn remove(&mut self, key: &Key) -> io::Result<()> {
        self.open.remove(key);
        let directory = self.directory(key);
        let removed = match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        self.shared.wakes.forget(&directory);
        removed
    }

    pub(super) fn close_idle(&mut self, now: Instant) {
        let idle_max = self.shared.config.limits.idle_max;
        self.open.retain(|_, open| open.touched || now.duration_since(open.used) < idle_max);
    }

    fn get(&mut self, key: &Key) -> Option<&mut Open> {
        if self.failed.contains(key) {
            return None;
        }
        if !self.open.contains_key(key) {
            if self.open.len() >= OPEN_MAX {
                let failed = self.flush();
                self.failed = failed;
                self.open.clear();
            }
            let rotation = self.rotation(key);
            match JournalWriter::open(&self.directory(key), rotation) {
                Ok(writer) => {
                    let open = Open { writer, touched: false, used: Instant::now(), platform: None };
                    self.open.insert(key.clone(), open);
                    // Somebody may wait for it to begin.
                    self.shared.wakes.wake(&self.directory(key));
                }
                Err(error) => {
                    self.judge(key, Err(error));
                    return None;
                }
            }
        }
        let open = self.open.get_mut(key)?;
        open.used = Instant::now();
        Some(open)
    }

    fn rotation(&self, key: &Key) -> Rotation {
        let limits = &self.shared.config.limits;
        match key {
            Key::Log(_) => {
                Rotation { records_min: limits.lines_kept_min, bytes_min: limits.log_file_bytes_min }
            }
            Key::Output(_) => Rotation { records_min: 1, bytes_min: limits.output_bytes_max / 2 },
        }
    }

    /// A journal that failed is closed: opening it again reads how far it really is.
    fn judge(&mut self, key: &Key, result: io::Result<()>) -> bool {
        let Err(error) = result else { return true };
        tracing::error!(error = %error, journal = %self.directory(key).display(), "could not write a journal");
        let open = self.open.remove(key);
        self.shared.wakes.wake(&self.directory(key));
        if let (Key::Log(app), Some(loss)) = (key, open.and_then(|open| open.platform)) {
            self.shared.inbox.lost(*app, loss);
        }
        self.failed.insert(key.clone());
        false
    }
}

/// Whether an origin may still speak. A dyno that the node has forgotten cannot.
fn lives(dynos: &std::path::Path, origin: &Origin) -> bool {
    [ROUTER, STEPS, OUTBOX].contains(origin) || dynos.join(Uuid::from_bytes(*origin).to_string()).exists()
}

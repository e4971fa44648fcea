//! From segments into journals.

use std::{collections::HashSet, fs, path::PathBuf};

use renga_model::{AppId, DynoId, LogLine, LogSource};
use renga_ports::LogsError;
use renga_supervision::{Entry, LineEnd, NO_TAG, Record, SegmentError, SegmentReader};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Hub, Key, Source, SourceId, TICK};
use crate::{
    inbox::Target,
    journal::{Kind, NewRecord, Origin, ROUTER},
    line,
};

/// Entries of one source in one round.
const ROUND_ENTRIES_MAX: usize = 512;
const CHECKPOINT: &str = "router.position";

/// How a source came out of its round.
#[derive(Debug)]
pub(super) struct Pumped {
    id: SourceId,
    /// Its exit was on record before we looked for its last words.
    exited: bool,
    error: Option<SegmentError>,
}

enum Took {
    Record,
    /// The journal has failed: read again from where it is, later.
    Not,
}

impl Hub {
    /// Returns the sources that have no more for now.
    pub(super) fn pump_dirty(&mut self) -> Vec<Pumped> {
        let mut pumped = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            // Out of the map, so that journals and source can be held at one time.
            let Some(mut source) = self.sources.remove(&id) else { continue };
            source.dirty = false;
            let exited = source.has_exited();
            let result = self.pump(id, &mut source);
            self.sources.insert(id, source);
            match result {
                Ok(true) => self.mark(id),
                Ok(false) => pumped.push(Pumped { id, exited, error: None }),
                Err(error) => {
                    tracing::warn!(error = %error, "could not read segments");
                    pumped.push(Pumped { id, exited, error: Some(error) });
                }
            }
        }
        pumped
    }

    /// Whether there may be more.
    fn pump(&mut self, id: SourceId, source: &mut Source) -> Result<bool, SegmentError> {
        let mut reader = match source.reader.take() {
            Some(reader) => reader,
            None => {
                let Some(after) = self.position(id, source) else { return Ok(false) };
                SegmentReader::open(&source.directory, after)?
            }
        };
        for _ in 0..ROUND_ENTRIES_MAX {
            match reader.next_entry()? {
                None => {
                    source.replaying = false;
                    source.reader = Some(reader);
                    return Ok(false);
                }
                Some(Entry::Gap { lost }) => source.lost += lost,
                Some(Entry::Record(record)) => {
                    source.used = Instant::now();
                    if let Took::Not = self.take(id, source, &record) {
                        return Ok(false);
                    }
                    source.lost = 0;
                    source.last_at = Some(line::time(record.at_us));
                }
            }
        }
        source.reader = Some(reader);
        Ok(true)
    }

    /// How far the source has been taken; none if its journal cannot say now.
    fn position(&mut self, id: SourceId, source: &mut Source) -> Option<u64> {
        source.lost = 0;
        source.replaying = true;
        let (SourceId::Dyno(dyno), Some(key)) = (id, key_of(&source.target)) else {
            return Some(self.read_checkpoint());
        };
        self.journals.touch(&key);
        self.journals.is_open(&key).then(|| self.journals.position(&key, &origin_of(dyno)).unwrap_or(0))
    }

    fn take(&mut self, id: SourceId, source: &Source, record: &Record) -> Took {
        let taken = match (&source.target, id) {
            (Target::Log { app, ps }, SourceId::Dyno(dyno)) => {
                self.take_line(*app, ps, origin_of(dyno), source, record)
            }
            (Target::Output(name), SourceId::Dyno(dyno)) => {
                let mut payload = Vec::with_capacity(record.data.len() + 1);
                if source.lost > 0 {
                    let note = format!(" !     {} lines of this output were lost.\n", source.lost);
                    payload.extend_from_slice(note.as_bytes());
                }
                payload.extend_from_slice(&record.data);
                if record.end == LineEnd::Complete {
                    payload.push(b'\n');
                }
                self.append(&Key::Output(name.clone()), origin_of(dyno), record.seq, &payload)
            }
            _ => self.take_request(source, record),
        };
        if taken { Took::Record } else { Took::Not }
    }

    fn take_line(&mut self, app: AppId, ps: &str, origin: Origin, source: &Source, record: &Record) -> bool {
        let (key, at) = (Key::Log(app), line::time(record.at_us));
        if source.lost > 0 {
            let since = line::shown(source.last_at.unwrap_or(at));
            let text = format!("Error L12: {} messages dropped since {since}.", source.lost);
            let told = LogLine { at, source: LogSource::Heroku, ps: ps.to_owned(), text };
            self.append(&key, origin, record.seq - 1, &line::encode(&told));
        }
        let text = line::text_of(&record.data);
        let line = LogLine { at, source: LogSource::App, ps: ps.to_owned(), text };
        self.append(&key, origin, record.seq, &line::encode(&line))
    }

    fn take_request(&mut self, source: &Source, record: &Record) -> bool {
        if source.lost > 0 {
            // Whose they were, nobody knows; the router itself tells apps of what it had to drop.
            tracing::warn!(lost = source.lost, "lines of the router were overwritten before they were taken");
        }
        let app = AppId::from_uuid(Uuid::from_bytes(record.tag));
        let key = Key::Log(app);
        if record.tag == NO_TAG || self.removed.contains(&app) {
            return true;
        }
        if source.replaying && self.journals.position(&key, &ROUTER).is_some_and(|taken| taken >= record.seq)
        {
            return true;
        }
        let text = line::text_of(&record.data);
        let at = line::time(record.at_us);
        let line = LogLine { at, source: LogSource::Heroku, ps: "router".into(), text };
        self.append(&key, ROUTER, record.seq, &line::encode(&line))
    }

    fn append(&mut self, key: &Key, origin: Origin, seq: u64, payload: &[u8]) -> bool {
        self.journals.append(key, &NewRecord { kind: Kind::Data, origin, seq, payload })
    }

    // === after the flush ===

    /// Sources of failed journals read again, from what is really there, with the next tick.
    pub(super) fn retry_later(&mut self, failed: &HashSet<Key>) {
        if failed.is_empty() {
            return;
        }
        let mut affected = Vec::new();
        for (id, source) in &mut self.sources {
            // The router's lines go everywhere.
            if key_of(&source.target).is_none_or(|key| failed.contains(&key)) {
                source.reader = None;
                affected.push(*id);
            }
        }
        self.retry.extend(affected);
        self.next_tick = self.next_tick.min(Instant::now() + TICK);
    }

    /// Answers who waits for the end of a dyno.
    pub(super) fn settle(&mut self, pumped: &[Pumped], now: Instant) {
        for Pumped { id, exited, error } in pumped {
            let Some(source) = self.sources.get_mut(id) else { continue };
            if source.waiters.is_empty() || source.dirty {
                continue;
            }
            // Without a reader the journal has failed.
            if *exited && source.has_reader() {
                for waiter in self.unfollow(*id).into_iter().flat_map(|source| source.waiters) {
                    waiter.answer(Ok(()));
                }
                continue;
            }
            let (late, waiting) = std::mem::take(&mut source.waiters)
                .into_iter()
                .partition::<Vec<_>, _>(|waiter| waiter.is_late(now));
            source.waiters = waiting;
            let taken = source.has_reader();
            for waiter in late {
                waiter.answer(late_answer(taken, error.as_ref()));
            }
        }
    }

    // === the router's position ===

    /// The router's records up to here are in their apps' journals. It may lag behind: journals know better.
    pub(super) fn write_checkpoint(&mut self) {
        let reader = self.sources.get(&SourceId::Router).and_then(|source| source.reader.as_ref());
        let Some(position) = reader.map(SegmentReader::after_seq) else { return };
        if self.checkpoint == Some(position) {
            return;
        }
        let path = self.checkpoint_path();
        let fresh = path.with_extension("tmp");
        let written = fs::write(&fresh, position.to_string()).and_then(|()| fs::rename(&fresh, &path));
        match written {
            Ok(()) => self.checkpoint = Some(position),
            Err(error) => tracing::warn!(error = %error, "could not write the router's position"),
        }
    }

    fn read_checkpoint(&self) -> u64 {
        let text = fs::read_to_string(self.checkpoint_path()).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.shared.config.root.join(CHECKPOINT)
    }
}

pub(super) fn origin_of(dyno: DynoId) -> Origin {
    dyno.uuid().into_bytes()
}

fn key_of(target: &Target) -> Option<Key> {
    match target {
        Target::Log { app, .. } => Some(Key::Log(*app)),
        Target::Output(name) => Some(Key::Output(name.clone())),
        Target::Router => None,
    }
}

/// A dyno that left no exit is drained when nothing more has come for a while: its supervisor is gone.
fn late_answer(taken: bool, error: Option<&SegmentError>) -> Result<(), LogsError> {
    if taken {
        tracing::warn!("a dyno's output ended without an exit on record");
        return Ok(());
    }
    let cause = error.map_or_else(|| "its journal cannot be written".to_owned(), ToString::to_string);
    Err(LogsError::Io { operation: "take over", cause: std::io::Error::other(cause) })
}

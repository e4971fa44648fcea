//! One inotify instance for all followed directories. A wake-up only says which source to look at.

use std::{collections::HashMap, io, path::Path};

use futures_util::{FutureExt, StreamExt};
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

use crate::hub::SourceId;

const EVENTS_BYTES: usize = 16 * 1024;
/// Events that are taken together.
const EVENTS_MAX: usize = 1_024;

pub(crate) struct Watcher {
    events: EventStream<Vec<u8>>,
    sources: HashMap<WatchDescriptor, SourceId>,
}

/// What to look at.
#[derive(Debug)]
pub(crate) enum Changed {
    Sources(Vec<SourceId>),
    /// The kernel's queue overflowed.
    All,
}

impl Watcher {
    /// Must be called on a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let events = Inotify::init()?.into_event_stream(vec![0; EVENTS_BYTES])?;
        Ok(Self { events, sources: HashMap::new() })
    }

    pub(crate) fn add(&mut self, directory: &Path, source: SourceId) -> io::Result<WatchDescriptor> {
        let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        let watch = self.events.watches().add(directory, mask)?;
        self.sources.insert(watch.clone(), source);
        Ok(watch)
    }

    pub(crate) fn remove(&mut self, watch: WatchDescriptor) {
        self.sources.remove(&watch);
        // It is gone already when its directory is.
        drop(self.events.watches().remove(watch));
    }

    /// Waits for an event and takes those that have come with it.
    pub(crate) async fn changed(&mut self) -> io::Result<Changed> {
        let mut changed = Vec::new();
        let mut next = self.events.next().await;
        for _ in 0..EVENTS_MAX {
            let event = next.ok_or_else(|| io::Error::other("the event stream has ended"))??;
            if !self.note(&event, &mut changed) {
                return Ok(Changed::All);
            }
            match self.events.next().now_or_never() {
                Some(another) => next = another,
                None => break,
            }
        }
        Ok(Changed::Sources(changed))
    }

    /// False if the kernel lost events.
    fn note<S>(&self, event: &Event<S>, changed: &mut Vec<SourceId>) -> bool {
        if let Some(source) = self.sources.get(&event.wd)
            && !changed.contains(source)
        {
            changed.push(*source);
        }
        !event.mask.contains(EventMask::Q_OVERFLOW)
    }
}

//! A thread's idle connections to dynos.
//!
//! The newest is taken first, so that the rest may grow old and go. A connection is dropped when it was idle for
//! longer than the dyno allows (`Keep-Alive: timeout=`, less a second) or than our own limit, when the dyno closed
//! it, and when the dyno left the table.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use renga_model::DynoId;

use crate::{config::Limits, dyno_io::Connection};

pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Whom a connection leads to. The address is part of it, so that a table which moved a dyno is obeyed.
pub(crate) type Peer = (DynoId, SocketAddr);

struct Idle {
    connection: Connection,
    since: Instant,
    until: Instant,
}

pub(crate) struct Pool {
    idle: RefCell<Shelves>,
    idle_timeout: Duration,
    per_dyno_max: usize,
    total_max: usize,
}

#[derive(Default)]
struct Shelves {
    by_dyno: HashMap<Peer, Vec<Idle>>,
    total: usize,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            idle: RefCell::default(),
            idle_timeout: limits.pool_idle_timeout,
            per_dyno_max: limits.pool_per_dyno_max,
            total_max: limits.pool_max,
        }
    }

    /// A connection that can be written to now and was idle for at most `idle_max`.
    pub(crate) fn take(&self, peer: Peer, idle_max: Option<Duration>) -> Option<Connection> {
        let shelves = &mut *self.idle.borrow_mut();
        let shelf = shelves.by_dyno.get_mut(&peer)?;
        let now = Instant::now();
        let mut at = shelf.len();
        while at > 0 {
            at -= 1;
            let idle = &shelf[at];
            if idle.until > now && idle_max.is_some_and(|max| now - idle.since > max) {
                return None;
            }
            let idle = shelf.remove(at);
            shelves.total -= 1;
            if idle.until > now && !idle.connection.is_stale() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read, if there is room.
    pub(crate) fn put(&self, connection: Connection) {
        let shelves = &mut *self.idle.borrow_mut();
        if shelves.total >= self.total_max {
            return;
        }
        let shelf = shelves.by_dyno.entry(connection.peer).or_default();
        if shelf.len() >= self.per_dyno_max {
            return;
        }
        let since = Instant::now();
        let until = since + connection.keep_alive.unwrap_or(self.idle_timeout).min(self.idle_timeout);
        shelf.push(Idle { connection, since, until });
        shelves.total += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().total
    }

    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.retain(|_, idle| idle.until > now && !idle.connection.is_stale());
    }

    pub(crate) fn keep_only(&self, peers: &HashSet<Peer>) {
        self.retain(|peer, _| peers.contains(peer));
    }

    pub(crate) fn clear(&self) {
        self.retain(|_, _| false);
    }

    fn retain(&self, keep: impl Fn(&Peer, &Idle) -> bool) {
        let shelves = &mut *self.idle.borrow_mut();
        shelves.by_dyno.retain(|peer, shelf| {
            shelf.retain(|idle| keep(peer, idle));
            !shelf.is_empty()
        });
        shelves.total = shelves.by_dyno.values().map(Vec::len).sum();
    }
}

/// The dyno's word on idle connections (`Keep-Alive: timeout=5`), a second shorter, so that we do not send into its
/// closing.
pub(crate) fn keep_alive(value: &[u8]) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?;
    let mut parameters = value.split(',').filter_map(|parameter| parameter.trim().split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.eq_ignore_ascii_case("timeout"))?;
    let seconds: u32 = seconds.trim().parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)).saturating_sub(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynos_own_timeout_is_read() {
        let read = |value: &str| keep_alive(value.as_bytes()).map(|time| time.as_secs());
        assert_eq!(read("timeout=5"), Some(4));
        assert_eq!(read("max=100, Timeout = 20"), None);
        assert_eq!(read("max=100, Timeout=20"), Some(19));
        assert_eq!(read("timeout=0"), Some(0));
        assert_eq!(read("x"), None);
    }
}

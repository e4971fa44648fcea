//! The table's two collections, which share with their former selves what has not changed: of ten thousand apps one
//! page of apps, and one shard of host names, is made anew for a change of one app. Readers of a former table keep it
//! whole, and it costs little more than what differs.

use std::{
    hash::{BuildHasher, RandomState},
    ops::Index,
    sync::Arc,
};

use super::App;

/// Apps of a page.
const PAGE: usize = 64;
/// Shards of host names: some forty names each at ten thousand apps.
const SHARDS: usize = 256;

/// Apps by place. An app has the same place from table to table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Apps {
    pages: Vec<Arc<Page>>,
}

type Page = [Option<Arc<App>>; PAGE];

/// Host names, and the places of their apps.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    hasher: RandomState,
    shards: Vec<Arc<Shard>>,
}

/// In the order of the hashes.
type Shard = Vec<Host>;

#[derive(Debug, Clone)]
struct Host {
    hash: u64,
    name: Arc<str>,
    app: usize,
}

// === impl Apps ===

impl Apps {
    pub(crate) fn get(&self, place: usize) -> Option<&App> {
        self.pages.get(place / PAGE)?[place % PAGE].as_deref()
    }

    /// In the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &App> {
        self.pages.iter().flat_map(|page| page.iter().filter_map(Option::as_deref))
    }

    pub(super) fn set(&mut self, place: usize, app: Option<Arc<App>>) {
        while self.pages.len() <= place / PAGE {
            self.pages.push(Arc::new([const { None }; PAGE]));
        }
        Arc::make_mut(&mut self.pages[place / PAGE])[place % PAGE] = app;
    }
}

/// Of a place that was found in the same table.
impl Index<usize> for Apps {
    type Output = App;
    fn index(&self, place: usize) -> &App {
        self.get(place).expect("a place that was found has an app")
    }
}

// === impl Hosts ===

impl Default for Hosts {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: vec![Arc::default(); SHARDS] }
    }
}

impl Hosts {
    /// The name as it stands here, and its app's place.
    pub(super) fn find(&self, name: &str) -> Option<(&str, usize)> {
        let hash = self.hasher.hash_one(name);
        let shard = &self.shards[shard_of(hash)];
        let at = at(shard, hash, name)?;
        Some((&shard[at].name, shard[at].app))
    }

    /// Whether the name was free.
    pub(super) fn insert(&mut self, name: &str, app: usize) -> bool {
        let hash = self.hasher.hash_one(name);
        let shard = &mut self.shards[shard_of(hash)];
        if at(shard, hash, name).is_some() {
            return false;
        }
        let place = shard.partition_point(|host| host.hash < hash);
        Arc::make_mut(shard).insert(place, Host { hash, name: name.into(), app });
        true
    }

    /// Takes the name away from this app; from no other.
    pub(super) fn remove(&mut self, name: &str, app: usize) {
        let hash = self.hasher.hash_one(name);
        let shard = &mut self.shards[shard_of(hash)];
        if let Some(at) = at(shard, hash, name).filter(|at| shard[*at].app == app) {
            Arc::make_mut(shard).remove(at);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits choose")]
fn shard_of(hash: u64) -> usize {
    hash as usize % SHARDS
}

fn at(shard: &Shard, hash: u64, name: &str) -> Option<usize> {
    let first = shard.partition_point(|host| host.hash < hash);
    let same = shard[first..].iter().take_while(|host| host.hash == hash);
    same.zip(first..).find(|(host, _)| *host.name == *name).map(|(_, at)| at)
}

//! Bells. A wake-up says "look again" and carries nothing else: losing all of them only delays until the next full
//! scan.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use renga_model::{AppId, BuildId, DynoId, Hostname, LetterId};
use tokio::sync::Notify;

/// The set of keys that wait for a pass of one loop.
#[derive(Debug)]
pub struct Bell<K> {
    waiting: Mutex<BTreeSet<K>>,
    rung: Notify,
    silent: AtomicBool,
}

impl<K> Default for Bell<K> {
    fn default() -> Self {
        Self { waiting: Mutex::new(BTreeSet::new()), rung: Notify::new(), silent: AtomicBool::new(false) }
    }
}

impl<K: Ord> Bell<K> {
    pub fn ring(&self, key: K) {
        if self.silent.load(Ordering::Relaxed) {
            return;
        }
        self.waiting.lock().expect("nothing panics while it holds this lock").insert(key);
        self.rung.notify_one();
    }
    fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
    /// Waits until at least one key waits, and takes them all.
    pub(crate) async fn take(&self) -> BTreeSet<K> {
        loop {
            let taken =
                std::mem::take(&mut *self.waiting.lock().expect("nothing panics while it holds this lock"));
            if !taken.is_empty() {
                return taken;
            }
            self.rung.notified().await;
        }
    }
}

/// One bell per loop.
#[derive(Debug, Default)]
pub struct Wakes {
    pub(crate) formations: Bell<AppId>,
    pub(crate) builds: Bell<BuildId>,
    pub(crate) releases: Bell<AppId>,
    pub(crate) one_offs: Bell<DynoId>,
    pub(crate) routes: Bell<()>,
    pub(crate) deletions: Bell<AppId>,
    pub(crate) garbage: Bell<()>,
    pub(crate) letters: Bell<LetterId>,
    pub(crate) acm: Bell<Hostname>,
}

impl Wakes {
    /// For tests: every wake-up is lost from now on, and only full scans and due times are left.
    pub fn silence(&self) {
        self.formations.silence();
        self.builds.silence();
        self.releases.silence();
        self.one_offs.silence();
        self.routes.silence();
        self.deletions.silence();
        self.garbage.silence();
        self.letters.silence();
        self.acm.silence();
    }
    pub fn formation(&self, app: AppId) {
        self.formations.ring(app);
    }
    pub fn builds(&self, build: BuildId) {
        self.builds.ring(build);
    }
    pub fn releases(&self, app: AppId) {
        self.releases.ring(app);
    }
    pub fn one_off(&self, dyno: DynoId) {
        self.one_offs.ring(dyno);
    }
    pub fn routes(&self) {
        self.routes.ring(());
    }
    pub fn deletions(&self, app: AppId) {
        self.deletions.ring(app);
    }
    pub fn garbage(&self) {
        self.garbage.ring(());
    }
    pub fn acm(&self, name: Hostname) {
        self.acm.ring(name);
    }
    pub fn letter(&self, letter: LetterId) {
        self.letters.ring(letter);
    }
}

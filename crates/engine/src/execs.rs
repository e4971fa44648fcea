//! Processes inside running dynos that wait for their client. They live in this process alone: one that is cut off by a
//! restart is hung up on by the dyno's supervisor, like any whose client goes.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use jiff::Timestamp;
use renga_model::{AppId, DynoName, limits};
use renga_ports::AttachSession;
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// At one time on this platform; more is somebody's loop.
const WAITING_MAX: usize = 64;
/// How often those are looked for whose client did not come.
const SWEEP: Duration = Duration::from_secs(5);

/// One that has begun. Dropping it hangs up.
#[derive(Debug)]
pub struct ExecSession {
    pub app: AppId,
    pub dyno: DynoName,
    pub tty: bool,
    /// Whether a person's terminal is at the other end.
    pub terminal: bool,
    pub session: AttachSession,
}

/// By the hash of the rendezvous secret.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<BTreeMap<String, (Timestamp, ExecSession)>>);

impl Execs {
    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.0.lock().expect("nothing panics while it holds this lock").len() < WAITING_MAX
    }
    pub(crate) fn put(&self, hash: String, now: Timestamp, exec: ExecSession) {
        self.0.lock().expect("nothing panics while it holds this lock").insert(hash, (now, exec));
    }
    pub(crate) fn take(&self, hash: &str) -> Option<ExecSession> {
        let taken = self.0.lock().expect("nothing panics while it holds this lock").remove(hash);
        taken.map(|(_, exec)| exec)
    }
    pub(crate) fn drop_stale(&self, now: Timestamp) {
        let fresh = |since: Timestamp| {
            Duration::try_from(now.duration_since(since)).unwrap_or_default() < limits::ATTACH_TIMEOUT
        };
        self.0.lock().expect("nothing panics while it holds this lock").retain(|_, (since, _)| fresh(*since));
    }
}

pub(crate) async fn sweep(engine: Engine, cancel: CancellationToken) {
    let turns = async {
        loop {
            tokio::time::sleep(SWEEP).await;
            engine.execs.drop_stale(engine.now());
        }
    };
    cancel.run_until_cancelled(turns).await;
}

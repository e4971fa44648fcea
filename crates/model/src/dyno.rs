//! A dyno: one container, from the decision to have it until nothing of it remains.
//!
//! ```text
//! Planned ──start──> Starting ──ready──> Up ──ask──> Stopping ──exit──> Exited ──reap──> (row gone)
//!    │                  │              │  ^             ^                  ^
//!    │                  │         freeze  thaw          │                  │
//!    │                  │              v  │             │                  │
//!    │                  │             Frozen ────ask───>│                  │
//!    └───────ask────────┴──────────────────────ask─────>┘   from all: exit─┘
//! ```
//!
//! * `start`: the node has been asked to run it. The row was there first, so asking twice starts one.
//! * `ready`: a web dyno's `$PORT` answered; any other dyno's process runs.
//! * `freeze`: its app sleeps, and it is to wait without running. In `Frozen` it has left the route table; the node
//!   freezes it when its requests are done.
//! * `thaw`: the node has thawed it; it takes requests again.
//! * `ask`: somebody wants it gone: a newer release, a smaller formation, `ps:restart`, `ps:stop`, the boot limit.
//!   In `Stopping` it has left the route table; SIGTERM follows when its requests are done.
//! * `exit`: the process has ended, wished or not; why is in [`Exit`].
//! * `reap`: the exit is recorded and the node has been told to forget it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AppId, DynoId, DynoName, ReleaseId, Secret};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dyno {
    pub id: DynoId,
    pub app: AppId,
    pub name: DynoName,
    pub worker: Worker,
    /// The release it runs; none for a build.
    pub release: Option<ReleaseId>,
    pub release_version: Option<u64>,
    pub size: String,
    /// As the user wrote it.
    pub command: String,
    pub state: DynoState,
    /// Raised by every transition; compare-and-set looks at it.
    pub generation: u64,
    /// The formation's epoch when it was planned: a restart raises the formation's.
    pub epoch: u64,
    pub address: Option<std::net::SocketAddr>,
    pub exit: Option<Exit>,
    pub created_at: Timestamp,
    /// When the state last changed (`updated_at` of the API).
    pub updated_at: Timestamp,
}

/// What the dyno is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    Formation,
    OneOff(OneOff),
    ReleasePhase,
    Build,
}

/// The kind alone, as it travels to the node and into labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoKind {
    Formation,
    OneOff,
    ReleasePhase,
    Build,
}

/// What the caller of `POST /apps/{app}/dynos` asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// SHA-256 (hex) of the rendezvous secret, if attached.
    pub attach_hash: Option<String>,
    /// Says something of attached ones only.
    pub client: AttachClient,
    pub force_no_tty: bool,
    pub env: BTreeMap<String, Secret>,
    pub time_to_live_s: Option<u32>,
}

/// Where the client of an attached one-off dyno is. It comes once: what it left is for nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachClient {
    Awaited,
    Connected,
    /// Since when. The supervisor sends SIGHUP meanwhile.
    Gone(Timestamp),
    /// Gone, and the processes have not minded (R16).
    Outlived,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynoState {
    Planned,
    Starting,
    Up,
    Frozen,
    Stopping,
    Exited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynoEvent {
    Start,
    Ready,
    Freeze,
    Thaw,
    Ask,
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dyno that is {from:?} can't take {event:?}")]
pub struct IllegalMove {
    pub from: DynoState,
    pub event: DynoEvent,
}

/// How a dyno ended. `code` is the exit status, or 128 + the signal's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    pub reason: ExitReason,
    pub at: Timestamp,
    /// The most memory that its processes had, where it was the memory that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
}

impl Exit {
    pub fn new(code: i32, reason: ExitReason, at: Timestamp) -> Self {
        Self { code, reason, at, memory_peak_bytes: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// The process ended by itself or by a signal.
    Exited,
    /// The kernel killed it at its memory limit (R15).
    OutOfMemory,
    /// It outlived its grace after SIGTERM and was killed (R12).
    GraceOver,
    /// It could not be started; the text is for the operator.
    NotStarted(String),
    /// The node had no memory or disk for it; nobody's fault, and tried again soon.
    NoRoom(String),
    /// Its supervisor is gone: what was left of it has been killed.
    SupervisorLost,
    /// It was stopped because its app sleeps. The node never says this: it makes of a row what is shown as `idle`.
    Idled,
}

impl DynoState {
    pub const ALL: [DynoState; 6] =
        [Self::Planned, Self::Starting, Self::Up, Self::Frozen, Self::Stopping, Self::Exited];

    /// The only judge of legal moves.
    pub fn next(self, event: DynoEvent) -> Result<DynoState, IllegalMove> {
        use DynoEvent::{Ask, Exit, Freeze, Ready, Start, Thaw};
        use DynoState::{Exited, Frozen, Planned, Starting, Stopping, Up};
        match (self, event) {
            (Planned, Start) => Ok(Starting),
            (Starting, Ready) | (Frozen, Thaw) => Ok(Up),
            (Up, Freeze) => Ok(Frozen),
            (Planned | Starting | Up | Frozen, Ask) => Ok(Stopping),
            (Planned | Starting | Up | Frozen | Stopping, Exit) => Ok(Exited),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Frozen => "frozen",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Dyno {
    /// Stopped because its app sleeps, and there until the app wakes.
    pub fn is_idle(&self) -> bool {
        self.exit.as_ref().is_some_and(|exit| exit.reason == ExitReason::Idled)
    }
}

impl Worker {
    pub fn kind(&self) -> DynoKind {
        match self {
            Self::Formation => DynoKind::Formation,
            Self::OneOff(_) => DynoKind::OneOff,
            Self::ReleasePhase => DynoKind::ReleasePhase,
            Self::Build => DynoKind::Build,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing_is_the_machine() {
        use DynoEvent::{Ask, Exit, Freeze, Ready, Start, Thaw};
        let moves = |from: DynoState| {
            let to = |event| from.next(event).map_or("-", DynoState::as_str);
            [to(Start), to(Ready), to(Freeze), to(Thaw), to(Ask), to(Exit)]
        };
        assert_eq!(moves(DynoState::Planned), ["starting", "-", "-", "-", "stopping", "exited"]);
        assert_eq!(moves(DynoState::Starting), ["-", "up", "-", "-", "stopping", "exited"]);
        assert_eq!(moves(DynoState::Up), ["-", "-", "frozen", "-", "stopping", "exited"]);
        assert_eq!(moves(DynoState::Frozen), ["-", "-", "-", "up", "stopping", "exited"]);
        assert_eq!(moves(DynoState::Stopping), ["-", "-", "-", "-", "-", "exited"]);
        assert_eq!(moves(DynoState::Exited), ["-", "-", "-", "-", "-", "-"]);
    }
}

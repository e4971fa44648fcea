//! The supervisor's order, and what it tells of itself.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use renga_model::{AppId, DynoId, DynoKind, DynoName, Secret};
use renga_ports::Tty;
use serde::{Deserialize, Serialize};

/// Everything that a supervisor needs. The node has mounted the root file system and made the network before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SupervisorSpec {
    pub version: u32,
    /// The dyno's directory (see the crate's page).
    pub directory: PathBuf,
    pub label: Label,
    pub hostname: String,
    /// The mounted overlay: stack, slug layers, writable layer. Owners are already mapped into the uid range.
    pub rootfs: PathBuf,
    /// A file that holds the network namespace open.
    pub netns: PathBuf,
    /// Further mounts inside, in order.
    pub binds: Vec<Bind>,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, Secret>,
    pub cwd: String,
    /// Host ids `uid_base .. uid_base + uid_count` are 0.. inside; the process runs as `uid`/`gid` inside.
    pub uid_base: u32,
    pub uid_count: u32,
    pub uid: u32,
    pub gid: u32,
    /// Path below each controller's root (v1) or the delegated root (v2): `renga-<instance>/<dyno id>`.
    pub cgroup: String,
    pub memory_hard_bytes: u64,
    pub cpu_shares: u64,
    pub processes_max: u64,
    pub open_files_max: u64,
    pub tty: Option<Tty>,
    pub attach: bool,
    /// The output segments together hold at most this; the oldest go first, counted.
    pub log_bytes_max: u64,
    pub time_to_live: Option<Duration>,
    /// Who may connect to `attach.sock` and read `log/`: the server's uid.
    pub reader_uid: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// Who a dyno is, for inventory after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub id: DynoId,
    pub generation: u64,
    pub app: AppId,
    pub kind: DynoKind,
    pub name: DynoName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub version: u32,
    pub supervisor_pid: i32,
    /// The dyno's first process, as the host sees it.
    pub init_pid: i32,
    pub started_at: Timestamp,
}

/// One request on `control.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// SIGTERM to all processes now, SIGKILL after the grace.
    Stop {
        grace_ms: u64,
    },
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlAnswer {
    Done,
    Status { stopping: bool, attached: bool },
    Refused(String),
}

//! The runtime port: run dynos, tell what runs, pack what they leave behind.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use renga_model::{
    AppId, DiskUsage, DynoId, DynoKind, DynoName, Exit, LayerDigest, MemoryUsage, Secret, StackName,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Runs dynos. Every dyno is known by the id and generation that its row had when it was asked for.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Starts a dyno and returns when it is on its way (not when it is up). A dyno of that id that exists already,
    /// running or exited, is left alone: the call then succeeds and changes nothing.
    async fn start(&self, spec: DynoSpec) -> Result<(), RuntimeError>;

    /// SIGTERM to all its processes, SIGKILL after `grace`. Returns at once; the exit shows in the inventory.
    /// Asking again, or for a dyno that is gone, is fine.
    async fn stop(&self, dyno: DynoId, grace: Duration) -> Result<(), RuntimeError>;

    /// Halts all processes of a dyno where they are; its supervisor goes on, and so does what the kernel does for it
    /// (connections are accepted, and wait). Every now and then it may run for a moment, so that processes which watch
    /// each other are not alarmed. Asking again is fine; a later wish to stop it thaws it first.
    /// Refused where the machine can't, and for one that is to stop: it runs on then.
    async fn freeze(&self, dyno: DynoId) -> Result<(), RuntimeError>;

    /// Returns when the dyno runs. Asking again, or for one that was never frozen, is fine.
    async fn thaw(&self, dyno: DynoId) -> Result<(), RuntimeError>;

    /// All dynos that have not been forgotten.
    async fn inventory(&self) -> Result<Vec<DynoReport>, RuntimeError>;

    /// Frees everything of an exited dyno: mounts, network, cgroups, writable layer, output. Refuses one that runs.
    async fn forget(&self, dyno: DynoId) -> Result<(), RuntimeError>;

    /// Returns when the inventory may have changed since the last call (a wake-up without data), or after a few
    /// seconds without a change.
    async fn changed(&self) -> Result<(), RuntimeError>;

    /// Attaches to the terminal or pipes of a dyno whose spec said `attach`. Only one client at a time.
    async fn attach(&self, dyno: DynoId) -> Result<AttachSession, RuntimeError>;

    /// Runs a further process inside a dyno that runs, as its user and with its environment, and attaches to it. It is
    /// hung up on when the session is dropped, and ends with the dyno at the latest.
    async fn exec(&self, dyno: DynoId, exec: ExecSpec) -> Result<AttachSession, RuntimeError>;

    /// Makes a layer image of a directory that an **exited** dyno left in its writable layer. The directory's content
    /// becomes the content of the image's root. Symlinks are kept, never followed; owners become the dyno user.
    async fn pack(&self, dyno: DynoId, directory: &str) -> Result<PackedLayer, RuntimeError>;

    /// Reads a regular file that an exited dyno left; refuses symlinks and more than `bytes_max`.
    async fn read_file(&self, dyno: DynoId, path: &str, bytes_max: u64) -> Result<Vec<u8>, RuntimeError>;

    /// All layer images.
    async fn layers(&self) -> Result<Vec<LayerInfo>, RuntimeError>;
    /// Removes an image. Refused while it is mounted for a dyno, and if it was packed, for the first time or again,
    /// at `packed_before` or later: a build that has not named its layers yet must find them.
    async fn layer_remove(&self, digest: &LayerDigest, packed_before: Timestamp) -> Result<(), RuntimeError>;

    /// What each dyno that runs takes at this moment. One that is only beginning, or ending, may be absent.
    async fn usage(&self) -> Result<Vec<DynoUsage>, RuntimeError>;

    /// Where a dyno's processes wait for connections now; for telling why its port does not answer.
    async fn listeners(&self, dyno: DynoId) -> Result<Vec<SocketAddr>, RuntimeError>;

    /// What is free.
    async fn capacity(&self) -> Result<Capacity, RuntimeError>;
}

#[derive(Debug, thiserror::Error, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeError {
    /// The node process does not answer; asking again later is right.
    #[error("the node is away: {0}")]
    Away(String),
    #[error("no such dyno, layer or file: {0}")]
    NotFound(String),
    /// The request can't be carried out as it stands; asking again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// Not enough memory or disk for one more.
    #[error("no room: {0}")]
    NoRoom(String),
    #[error("{0}")]
    Failed(String),
}

/// Everything that a dyno is. It is complete: a node needs nothing else to make it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DynoSpec {
    pub id: DynoId,
    pub generation: u64,
    pub app: AppId,
    pub kind: DynoKind,
    pub name: DynoName,
    pub stack: StackName,
    /// Layers over the stack, lowest first.
    pub layers: Vec<LayerDigest>,
    /// Layers that are mounted read-only at a path of their own instead.
    pub mounts: Vec<MountedLayer>,
    /// Files of the platform, mounted read-only (a build's source).
    pub inputs: Vec<InputFile>,
    /// Small files put on a tmpfs below `/run/renga` before the start (a build's request, with its config vars).
    pub files: Vec<SpecFile>,
    /// Whether `/renga/build`, the builder program, is there.
    pub with_builder: bool,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, Secret>,
    pub limits: DynoLimits,
    /// A port to watch: the dyno is `ready` when it accepts a connection, on IPv4 or IPv6.
    pub port: Option<u16>,
    /// A pseudo-terminal instead of pipes.
    pub tty: Option<Tty>,
    /// Whether input and output belong to an attached client. If not, output goes to log segments.
    pub attach: bool,
    /// Whether [`Runtime::usage`] counts its runnable tasks, too.
    #[serde(default)]
    pub metered: bool,
}

/// A process inside a dyno.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    pub argv: Vec<String>,
    /// Over the dyno's own.
    pub env: BTreeMap<String, Secret>,
    /// A pseudo-terminal instead of pipes.
    pub tty: Option<Tty>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountedLayer {
    pub digest: LayerDigest,
    /// Absolute, without `..`.
    pub path: String,
}

/// `host` must lie in the exchange directory that server and node share; the node refuses anything else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InputFile {
    pub host: PathBuf,
    pub path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpecFile {
    /// Absolute path below `/run/renga`.
    pub path: String,
    pub content: Secret,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DynoLimits {
    /// The quota. The hard limit is twice this.
    pub memory_bytes: u64,
    pub cpu_shares: u64,
    pub processes_max: u64,
    /// Per process.
    pub open_files_max: u64,
    /// The writable layer, `/tmp` included.
    pub disk_bytes: u64,
    /// Wall time after which the dyno is stopped; none for dynos of the formation.
    pub time_to_live: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoReport {
    pub id: DynoId,
    pub app: AppId,
    pub generation: u64,
    pub kind: DynoKind,
    pub phase: DynoPhase,
    /// Where its `$PORT` is reached, once it has a network.
    pub address: Option<SocketAddr>,
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub frozen: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoPhase {
    /// Being made, or its process runs but its port does not answer yet.
    Starting,
    /// Its process runs and, if it has a port, that has answered once.
    Ready,
    Exited(Exit),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynoUsage {
    pub id: DynoId,
    pub memory: MemoryUsage,
    /// None when it could not be asked.
    #[serde(default)]
    pub disk: Option<DiskUsage>,
    /// `DynoLimits::memory_bytes` of its spec.
    pub quota_bytes: u64,
    /// Tasks that had, or waited for, a processor. None unless its spec said `metered`.
    pub runnable_tasks: Option<u32>,
    /// Of all processors together since the dyno began, its supervisor's share included. None where nobody counts it.
    #[serde(default)]
    pub cpu_time: Option<Duration>,
}

/// A layer image that was made, or existed already with the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedLayer {
    pub digest: LayerDigest,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    pub digest: LayerDigest,
    pub bytes: u64,
    pub in_use: bool,
    /// When it was packed last; content that comes again is packed again without a second image.
    pub packed_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub memory_bytes_total: u64,
    pub memory_bytes_free: u64,
    /// Of the last ten seconds, the share in which some task waited for memory. None where nobody counts it.
    #[serde(default)]
    pub memory_stalled_percent: Option<u8>,
    pub disk_bytes_free: u64,
    pub disk_bytes_total: u64,
    /// What the writable layers of dynos take of it.
    #[serde(default)]
    pub disk_bytes_dynos: u64,
}

// === attach ===

/// Both directions are bounded channels; dropping `input` hangs up (SIGHUP to the dyno's processes).
#[derive(Debug)]
pub struct AttachSession {
    pub input: mpsc::Sender<AttachInput>,
    pub output: mpsc::Receiver<AttachOutput>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachInput {
    Data(Bytes),
    /// End of input: closes the pipe, or writes the terminal's EOF character.
    Eof,
    Resize {
        columns: u16,
        rows: u16,
    },
    /// A signal number for the foreground processes.
    Signal(i32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachOutput {
    Data(Bytes),
    /// The last message: the process has ended.
    Exit(i32),
}

//! The server's side: `ports::Runtime` over the node's socket.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use renga_model::{DynoId, LayerDigest};
use renga_ports::{
    AttachSession, Capacity, DynoReport, DynoSpec, DynoUsage, ExecSpec, LayerInfo, PackedLayer, Runtime,
    RuntimeError,
};
use tokio::{
    io::BufReader,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::words::{ANSWER_BYTES_MAX, Answer, Call, Reply, Request, VERSION, read_line, write_line};

/// Connections kept for later calls.
const IDLE_MAX: usize = 16;
/// Longer than the node takes for anything but packing.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// The node gives the packer five minutes, and packs only a few layers at a time.
const PACK_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Calls a node. Connections are made when needed, kept, and made again after the node has restarted.
#[derive(Debug)]
pub struct NodeClient {
    socket: PathBuf,
    dynos_dir: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// The node's count of changes that the caller of `changed` has seen.
    seen: AtomicU64,
    attached: TaskTracker,
}

#[derive(Debug)]
struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl NodeClient {
    /// `socket` is the node's, `dynos_dir` is `DATA_DIR/node/dynos`.
    pub fn new(socket: impl Into<PathBuf>, dynos_dir: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            dynos_dir: dynos_dir.into(),
            idle: Mutex::default(),
            seen: AtomicU64::new(0),
            attached: TaskTracker::new(),
        }
    }

    async fn call(&self, call: Call) -> Result<Reply, RuntimeError> {
        let time_max = if matches!(call, Call::Pack { .. }) { PACK_TIMEOUT } else { CALL_TIMEOUT };
        let request = Request { version: VERSION, call };
        let reply = match timeout(time_max, self.ask(&request)).await {
            Ok(reply) => reply,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        match reply.map_err(|error| RuntimeError::Away(error.to_string()))? {
            Reply::Failed(error) => Err(error),
            reply => Ok(reply),
        }
    }

    /// On a kept connection if there is one; it may have gone stale, so then once more on a new one. Doing a call
    /// twice does it once: that is the port's promise.
    async fn ask(&self, request: &Request) -> io::Result<Reply> {
        let kept = self.idle().pop();
        if let Some(connection) = kept
            && let Ok(reply) = self.converse(connection, request).await
        {
            return Ok(reply);
        }
        let (reader, writer) = UnixStream::connect(&self.socket).await?.into_split();
        self.converse(Connection { reader: BufReader::new(reader), writer }, request).await
    }

    async fn converse(&self, mut connection: Connection, request: &Request) -> io::Result<Reply> {
        write_line(&mut connection.writer, request).await?;
        let answer: Option<Answer> = read_line(&mut connection.reader, ANSWER_BYTES_MAX).await?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(answer.reply)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node answered something that belongs to another call.
fn confused(reply: &Reply) -> RuntimeError {
    let name = format!("{reply:?}");
    let name = name.split(['(', ' ', '{']).next().unwrap_or_default();
    RuntimeError::Failed(format!("the node's answer {name} does not fit the call"))
}

fn done(reply: Reply) -> Result<(), RuntimeError> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(confused(&other)),
    }
}

#[async_trait]
impl Runtime for NodeClient {
    async fn start(&self, spec: DynoSpec) -> Result<(), RuntimeError> {
        self.call(Call::Start(Box::new(spec))).await.and_then(done)
    }

    async fn stop(&self, dyno: DynoId, grace: Duration) -> Result<(), RuntimeError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.call(Call::Stop { dyno, grace_ms }).await.and_then(done)
    }

    async fn freeze(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        self.call(Call::Freeze { dyno }).await.and_then(done)
    }

    async fn thaw(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        self.call(Call::Thaw { dyno }).await.and_then(done)
    }

    async fn inventory(&self) -> Result<Vec<DynoReport>, RuntimeError> {
        match self.call(Call::Inventory).await? {
            Reply::Inventory(reports) => Ok(reports),
            other => Err(confused(&other)),
        }
    }

    async fn forget(&self, dyno: DynoId) -> Result<(), RuntimeError> {
        self.call(Call::Forget { dyno }).await.and_then(done)
    }

    async fn changed(&self) -> Result<(), RuntimeError> {
        match self.call(Call::Changed { seen: self.seen.load(Ordering::Relaxed) }).await? {
            Reply::Changed { now } => {
                self.seen.store(now, Ordering::Relaxed);
                Ok(())
            }
            other => Err(confused(&other)),
        }
    }

    async fn attach(&self, dyno: DynoId) -> Result<AttachSession, RuntimeError> {
        renga_runtime::attach(&self.dynos_dir, dyno, &self.attached).await
    }

    async fn exec(&self, dyno: DynoId, exec: ExecSpec) -> Result<AttachSession, RuntimeError> {
        renga_runtime::exec(&self.dynos_dir, dyno, exec, &self.attached).await
    }

    async fn pack(&self, dyno: DynoId, directory: &str) -> Result<PackedLayer, RuntimeError> {
        match self.call(Call::Pack { dyno, directory: directory.to_owned() }).await? {
            Reply::Packed(layer) => Ok(layer),
            other => Err(confused(&other)),
        }
    }

    async fn read_file(&self, dyno: DynoId, path: &str, bytes_max: u64) -> Result<Vec<u8>, RuntimeError> {
        match self.call(Call::ReadFile { dyno, path: path.to_owned(), bytes_max }).await? {
            Reply::File(content) => Ok(content.0),
            other => Err(confused(&other)),
        }
    }

    async fn layers(&self) -> Result<Vec<LayerInfo>, RuntimeError> {
        match self.call(Call::Layers).await? {
            Reply::Layers(layers) => Ok(layers),
            other => Err(confused(&other)),
        }
    }

    async fn layer_remove(&self, digest: &LayerDigest, packed_before: Timestamp) -> Result<(), RuntimeError> {
        self.call(Call::LayerRemove { digest: digest.clone(), packed_before }).await.and_then(done)
    }

    async fn usage(&self) -> Result<Vec<DynoUsage>, RuntimeError> {
        match self.call(Call::Usage).await? {
            Reply::Usage(usage) => Ok(usage),
            other => Err(confused(&other)),
        }
    }

    async fn listeners(&self, dyno: DynoId) -> Result<Vec<SocketAddr>, RuntimeError> {
        match self.call(Call::Listeners { dyno }).await? {
            Reply::Listeners(listeners) => Ok(listeners),
            other => Err(confused(&other)),
        }
    }

    async fn capacity(&self) -> Result<Capacity, RuntimeError> {
        match self.call(Call::Capacity).await? {
            Reply::Capacity(capacity) => Ok(capacity),
            other => Err(confused(&other)),
        }
    }
}

//! The node's side: a listener, and a task for each connection.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use renga_ports::{Runtime, RuntimeError};
use renga_runtime::{Config, Hand, HandError};
use tokio::{
    io::BufReader,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::words::{Answer, Base64, Call, REQUEST_BYTES_MAX, Reply, Request, VERSION, read_line, write_line};

/// Connections at one time; the server holds a few.
const CONNECTIONS_MAX: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("could not open the runtime")]
    Hand(#[source] HandError),
    #[error("could not listen on {}", path.display())]
    Listen {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Runs the node until `shutdown`. Dynos go on afterwards; the next call adopts them.
pub async fn serve(config: Config, socket: &Path, shutdown: CancellationToken) -> Result<(), ServeError> {
    let server_uid = config.server_uid;
    let hand = Hand::open(config).await.map_err(ServeError::Hand)?;
    let listener =
        listen(socket, server_uid).map_err(|cause| ServeError::Listen { path: socket.to_owned(), cause })?;
    let tasks = TaskTracker::new();
    accept(&listener, &hand, server_uid, &tasks, &shutdown).await;
    tasks.close();
    tasks.wait().await;
    hand.close().await;
    Ok(())
}

/// The data directory's lock is ours by now, so a socket that lies there is an old one.
fn listen(socket: &Path, server_uid: u32) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    chown(socket, Some(server_uid), None)?;
    Ok(listener)
}

async fn accept(
    listener: &UnixListener,
    hand: &Hand,
    server_uid: u32,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: trying at once would only burn time.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == server_uid) {
            tracing::warn!("a connection of a stranger was closed");
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("a connection was closed: {CONNECTIONS_MAX} are open");
            continue;
        };
        let (hand, shutdown) = (hand.clone(), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = converse(stream, &hand, &shutdown).await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
}

/// Request after request, until the client hangs up or the node ends.
async fn converse(stream: UnixStream, hand: &Hand, shutdown: &CancellationToken) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let request: Option<Request> = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            request = read_line(&mut reader, REQUEST_BYTES_MAX) => request?,
        };
        let Some(request) = request else { return Ok(()) };
        let reply = if request.version == VERSION {
            obey(hand, request.call, shutdown).await
        } else {
            let why = format!("this node speaks version {VERSION}, not {}", request.version);
            Reply::Failed(RuntimeError::Refused(why))
        };
        write_line(&mut writer, &Answer { version: VERSION, reply }).await?;
    }
}

async fn obey(hand: &Hand, call: Call, shutdown: &CancellationToken) -> Reply {
    let done = |()| Reply::Done;
    let outcome = match call {
        Call::Start(spec) => hand.start(*spec).await.map(done),
        Call::Stop { dyno, grace_ms } => hand.stop(dyno, Duration::from_millis(grace_ms)).await.map(done),
        Call::Freeze { dyno } => hand.freeze(dyno).await.map(done),
        Call::Thaw { dyno } => hand.thaw(dyno).await.map(done),
        Call::Inventory => hand.inventory().await.map(Reply::Inventory),
        Call::Forget { dyno } => hand.forget(dyno).await.map(done),
        Call::Changed { seen } => tokio::select! {
            biased;
            // Nobody shall wait for a change while the node wants to end.
            () = shutdown.cancelled() => Ok(Reply::Changed { now: seen }),
            now = hand.changed_since(seen) => Ok(Reply::Changed { now }),
        },
        Call::Pack { dyno, directory } => hand.pack(dyno, &directory).await.map(Reply::Packed),
        Call::ReadFile { dyno, path, bytes_max } => {
            hand.read_file(dyno, &path, bytes_max).await.map(|content| Reply::File(Base64(content)))
        }
        Call::Layers => hand.layers().await.map(Reply::Layers),
        Call::LayerRemove { digest, packed_before } => {
            hand.layer_remove(&digest, packed_before).await.map(done)
        }
        Call::Capacity => hand.capacity().await.map(Reply::Capacity),
        Call::Usage => hand.usage().await.map(Reply::Usage),
        Call::Listeners { dyno } => hand.listeners(dyno).await.map(Reply::Listeners),
    };
    outcome.unwrap_or_else(Reply::Failed)
}

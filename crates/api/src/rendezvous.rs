//! The rendezvous: where the client of an attached one-off dyno meets it.
//!
//! ```text
//! client ──TLS──> "SECRET\r\n"        or the bare secret, if nothing follows it at once
//!        <─────── "rendezvous\r\n"      once the process is attached, as a TLS record of its own: clients throw their
//!        <──bytes, both ways──>         whole first chunk away
//!        <─────── end                   when the process has ended
//! ```
//!
//! * Without a terminal a byte 0x04 at the end of what was sent means the end of input; with one it is the terminal's
//!   business.
//! * `heroku run -x` prints a line that begins with U+FFFF and holds the exit status, and looks for it chunk by chunk:
//!   such a line is held back until it is whole and sent as one record.
//! * The window's size comes with the dyno's environment (`COLUMNS`, `LINES`). For resizing, which the official client
//!   never does, there is an extension: a second connection sends `SECRET/window\r\n`, is answered `window\r\n`, and
//!   then writes lines `COLUMNS ROWS\n`.
//!
//! A client comes once. When it goes away it hangs up on its process (SIGHUP); one whose machine is gone without a word
//! is noticed by the kernel's questions after two minutes. An hour without traffic ends the session.

mod marker;
mod session;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use renga_engine::{Engine, operations::ATTACH_SECRET_CHARS};
use renga_model::limits;
use renga_ports::AttachInput;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections at one time; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// Bytes of the first line.
const HELLO_BYTES_MAX: usize = 512;
/// After a failed `accept` (no file descriptors): wait instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// When nothing has been heard of a client's machine for so long, the kernel asks it, so often and so many times.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 6;
/// What was sent and not acknowledged for so long never arrives.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(120);
const WINDOW_SUFFIX: &str = "/window";
/// Some clients (heroku3 of PyPI) send the secret without an end of line: after so long nothing more is awaited.
const BARE_SECRET_PAUSE: Duration = Duration::from_millis(300);

/// Everything that the listener needs.
#[derive(Clone)]
pub struct Rendezvous {
    pub engine: Engine,
    pub acceptor: TlsAcceptor,
    pub times: RendezvousTimes,
    pub tasks: TaskTracker,
    pub cancel: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
pub struct RendezvousTimes {
    /// TLS handshake and secret together.
    pub hello: Duration,
    /// Nothing goes either way.
    pub idle: Duration,
}

impl Default for RendezvousTimes {
    fn default() -> Self {
        Self { hello: Duration::from_secs(15), idle: limits::ATTACH_IDLE_TIMEOUT }
    }
}

/// Sessions under way, by secret: where a window's size goes.
type Sessions = Arc<Mutex<HashMap<String, mpsc::Sender<AttachInput>>>>;

/// Serves until `cancel`; open sessions end then, too.
pub async fn serve_rendezvous(listener: TcpListener, rendezvous: Rendezvous) {
    let (places, sessions) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Sessions::default());
    loop {
        let place = places.clone().acquire_owned();
        let accepted = tokio::select! {
            // Asked to stop: nobody new.
            () = rendezvous.cancel.cancelled() => return,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        let (Ok(place), Ok((stream, _))) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (rendezvous_, sessions) = (rendezvous.clone(), sessions.clone());
        rendezvous.tasks.spawn(async move {
            let cancel = rendezvous_.cancel.clone();
            let met = cancel.run_until_cancelled(meet(rendezvous_, sessions, stream)).await;
            if let Some(Err(error)) = met {
                tracing::debug!(%error, "a rendezvous connection broke");
            }
            drop(place);
        });
    }
}

async fn meet(rendezvous: Rendezvous, sessions: Sessions, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    notice_lost_machines(&stream)?;
    let times = rendezvous.times;
    let hello = timeout(times.hello, async {
        let mut stream = rendezvous.acceptor.accept(stream).await?;
        let line = first_line(&mut stream).await?;
        io::Result::Ok((stream, line))
    });
    let (stream, line) = hello.await??;
    match line.strip_suffix(WINDOW_SUFFIX) {
        Some(secret) => session::window(stream, secret, &sessions, times.idle).await,
        None => session::run(&rendezvous.engine, stream, &line, &sessions, times.idle).await,
    }
}

fn notice_lost_machines(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))
}

/// Byte by byte: what follows the line already belongs to the process.
async fn first_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let next = stream.read_u8();
        let byte = match line.len() == ATTACH_SECRET_CHARS {
            true => timeout(BARE_SECRET_PAUSE, next).await.unwrap_or(Ok(b'\n'))?,
            false => next.await?,
        };
        match byte {
            b'\n' => break,
            byte if line.len() < HELLO_BYTES_MAX => line.push(byte),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the first line is too long")),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the first line is no text"))
}

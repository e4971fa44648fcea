//! One attached session, from the secret to the end.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use renga_engine::{Engine, ExecSession, operations::Attachable};
use renga_model::{DynoState, limits};
use renga_ports::{AttachInput, AttachOutput, AttachSession};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf,
    },
    net::TcpStream,
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use super::{Sessions, marker::Marker};

const GREETING: &[u8] = b"rendezvous\r\n";
const WINDOW_GREETING: &[u8] = b"window\r\n";
const EOF: u8 = 0x04;
/// A 0x04 behind which nothing follows for this long is the end of input; otherwise it is data.
const EOF_PAUSE: Duration = Duration::from_millis(50);
/// What may be the beginning of an exit-status line is held back for this long at most.
const MARKER_PAUSE: Duration = Duration::from_millis(250);
/// A client whose input is at its end says so at once. A session that is shorter than that stays open for it this long:
/// the official CLI fails when it writes to a connection that has ended.
const SHORT_SESSION: Duration = Duration::from_secs(1);
/// How often a dyno that is on its way is asked for.
const ATTACH_PAUSE: Duration = Duration::from_millis(25);
/// Bytes read from a client at once; the process takes them at its own speed.
const CHUNK_BYTES: usize = 16 * 1024;
/// Longest line of a window connection, and the largest window.
const WINDOW_LINE_BYTES_MAX: u64 = 32;
const WINDOW_CELLS_MAX: u16 = 10_000;

pub(super) async fn run(
    engine: &Engine,
    mut stream: TlsStream<TcpStream>,
    secret: &str,
    sessions: &Sessions,
    idle: Duration,
) -> io::Result<()> {
    if let Some(exec) = engine.exec_by_secret(secret) {
        return run_inside(engine, stream, exec, (secret, sessions), idle).await;
    }
    let found = engine.one_off_by_secret(secret).await.map_err(io::Error::other)?;
    let Some(attachable) = found.filter(|found| engine.attached.come(found.dyno)) else {
        // Unknown, or somebody else is there already.
        return stream.shutdown().await;
    };
    let Some(session) = attach(engine, &attachable).await else {
        engine.attached.gone(attachable.dyno);
        engine.wake.one_off(attachable.dyno);
        return refuse(stream, &attachable).await;
    };
    // First: a server that is killed from here on leaves a row that says whose client went with it.
    if !engine.one_off_client_came(attachable.dyno).await.map_err(io::Error::other)? {
        return refuse(stream, &attachable).await;
    }
    let _listed = Listed::new(sessions, secret, &session.input);
    let line = Line { tty: attachable.tty, terminal: attachable.terminal };
    match talk(stream, session, line, Traffic::new(idle)).await {
        Ended::Process(_) => Ok(()),
        Ended::Client(how) => {
            engine.one_off_client_gone(attachable.dyno).await.map_err(io::Error::other)?;
            how
        }
    }
}

/// A process inside a running dyno, which has begun already.
async fn run_inside(
    engine: &Engine,
    stream: TlsStream<TcpStream>,
    exec: ExecSession,
    (secret, sessions): (&str, &Sessions),
    idle: Duration,
) -> io::Result<()> {
    let ExecSession { app, dyno, tty, terminal, session } = exec;
    let _listed = Listed::new(sessions, secret, &session.input);
    let (code, how) = match talk(stream, session, Line { tty, terminal }, Traffic::new(idle)).await {
        Ended::Process(code) => (code, Ok(())),
        Ended::Client(how) => (None, how),
    };
    if let Err(failed) = engine.exec_ended(app, &dyno, code).await {
        tracing::warn!(app.id = %app, dyno.name = %dyno, "could not tell of a command's end: {failed}");
    }
    how
}

/// What is at the ends.
#[derive(Clone, Copy)]
struct Line {
    /// The process has a terminal.
    tty: bool,
    /// So has the client.
    terminal: bool,
}

enum Ended {
    /// With its code, unless it is out of reach.
    Process(Option<i32>),
    Client(io::Result<()>),
}

/// Until either side has gone. By then the session is dropped, which hangs up.
async fn talk(
    mut stream: TlsStream<TcpStream>,
    session: AttachSession,
    line: Line,
    traffic: Traffic,
) -> Ended {
    if let Err(error) = greet(&mut stream, GREETING).await {
        return Ended::Client(Err(error));
    }
    let AttachSession { input, output } = session;
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        sent = send_output(writer, output, &traffic, line.terminal) => match sent {
            Ok(code) => Ended::Process(code),
            Err(error) => Ended::Client(Err(error)),
        },
        received = take_input(reader, input, line.tty, &traffic) => Ended::Client(received),
        () = traffic.silence() => Ended::Client(Ok(())),
    }
}

/// A record of its own.
async fn greet(stream: &mut TlsStream<TcpStream>, greeting: &[u8]) -> io::Result<()> {
    stream.write_all(greeting).await?;
    stream.flush().await
}

/// The user reads why; before the greeting nothing would be shown.
async fn refuse(mut stream: TlsStream<TcpStream>, attachable: &Attachable) -> io::Result<()> {
    greet(&mut stream, GREETING).await?;
    let text = format!(" !    {} could not be attached. The app's log may say why.\r\n", attachable.name);
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Waits until the dyno runs; none if it does not get that far.
async fn attach(engine: &Engine, attachable: &Attachable) -> Option<AttachSession> {
    let deadline = Instant::now() + limits::ATTACH_TIMEOUT + limits::BOOT_TIMEOUT;
    loop {
        match engine.runtime.attach(attachable.dyno).await {
            Ok(session) => return Some(session),
            Err(error) => tracing::debug!(dyno.id = %attachable.dyno, %error, "not attached yet"),
        }
        let state = engine.dyno_state(attachable.dyno).await.ok()?;
        let lost = matches!(state, None | Some(DynoState::Exited | DynoState::Stopping));
        if lost || Instant::now() >= deadline {
            return None;
        }
        sleep(ATTACH_PAUSE).await;
    }
}

// === both directions ===

/// When bytes last went either way.
struct Traffic {
    start: Instant,
    idle: Duration,
    last_ms: AtomicU64,
    input_ended: Notify,
}

impl Traffic {
    fn new(idle: Duration) -> Self {
        Self { start: Instant::now(), idle, last_ms: AtomicU64::new(0), input_ended: Notify::new() }
    }
    /// Until the client has said that its input is at the end, or the session is no longer a short one.
    async fn input_end(&self) {
        tokio::time::timeout_at(self.start + SHORT_SESSION, self.input_ended.notified()).await.ok();
    }
    fn mark(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(since, Ordering::Relaxed);
    }
    /// Ends when nothing has gone either way for too long.
    async fn silence(&self) {
        loop {
            let last = self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let end = last + self.idle;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

async fn send_output(
    mut writer: WriteHalf<TlsStream<TcpStream>>,
    mut output: mpsc::Receiver<AttachOutput>,
    traffic: &Traffic,
    terminal: bool,
) -> io::Result<Option<i32>> {
    let mut marker = Marker::default();
    loop {
        let next = match marker.holds() {
            true => timeout(MARKER_PAUSE, output.recv()).await,
            false => Ok(output.recv().await),
        };
        match next {
            Ok(Some(AttachOutput::Data(data))) => {
                for record in marker.push(&data) {
                    write_record(&mut writer, &record, traffic.idle).await?;
                }
                traffic.mark();
            }
            // Not the line that it looked like.
            Err(_waited) => write_record(&mut writer, &marker.flush(), traffic.idle).await?,
            Ok(last @ (Some(AttachOutput::Exit(_)) | None)) => {
                // Whether the client still takes the end changes nothing any more.
                if write_record(&mut writer, &marker.flush(), traffic.idle).await.is_ok() {
                    if !terminal {
                        traffic.input_end().await;
                    }
                    writer.shutdown().await.unwrap_or_default();
                }
                return Ok(match last {
                    Some(AttachOutput::Exit(code)) => Some(code),
                    _ => None,
                });
            }
        }
    }
}

async fn write_record(
    writer: &mut (impl AsyncWrite + Unpin),
    record: &[u8],
    idle: Duration,
) -> io::Result<()> {
    if record.is_empty() {
        return Ok(());
    }
    // A client that reads nothing for that long has gone.
    timeout(idle, async {
        writer.write_all(record).await?;
        writer.flush().await
    })
    .await?
}

async fn take_input(
    mut reader: ReadHalf<TlsStream<TcpStream>>,
    input: mpsc::Sender<AttachInput>,
    tty: bool,
    traffic: &Traffic,
) -> io::Result<()> {
    let (mut buffer, mut held_eof) = (vec![0; CHUNK_BYTES], false);
    loop {
        let read = match held_eof {
            true => timeout(EOF_PAUSE, reader.read(&mut buffer)).await,
            false => Ok(reader.read(&mut buffer).await),
        };
        let Ok(read) = read else {
            held_eof = false;
            give(&input, AttachInput::Eof).await;
            continue;
        };
        let mut data = &buffer[..read?];
        if data.is_empty() {
            return Ok(());
        }
        traffic.mark();
        if data.ends_with(&[EOF]) {
            traffic.input_ended.notify_one();
        }
        if std::mem::take(&mut held_eof) {
            give(&input, AttachInput::Data(Bytes::from_static(&[EOF]))).await;
        }
        if let Some((&EOF, rest)) = data.split_last().filter(|_| !tty) {
            (data, held_eof) = (rest, true);
        }
        if !data.is_empty() {
            give(&input, AttachInput::Data(Bytes::copy_from_slice(data))).await;
        }
    }
}

/// A process that takes no more input may still have output: the session ends with that, not here.
async fn give(input: &mpsc::Sender<AttachInput>, what: AttachInput) {
    input.send(what).await.ok();
}

// === window ===

/// Lists a session for as long as it lives.
struct Listed<'a> {
    sessions: &'a Sessions,
    secret: String,
}

impl<'a> Listed<'a> {
    fn new(sessions: &'a Sessions, secret: &str, input: &mpsc::Sender<AttachInput>) -> Self {
        let mut listed = sessions.lock().expect("nothing panics while it holds this lock");
        listed.insert(secret.to_owned(), input.clone());
        Self { sessions, secret: secret.to_owned() }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.sessions.lock().expect("nothing panics while it holds this lock").remove(&self.secret);
    }
}

/// Lines `COLUMNS ROWS` until the client or the session ends. Only a weak sender is kept: this connection must not keep
/// the process from hearing of its client's end.
pub(super) async fn window(
    mut stream: TlsStream<TcpStream>,
    secret: &str,
    sessions: &Sessions,
    idle: Duration,
) -> io::Result<()> {
    let known = {
        let sessions = sessions.lock().expect("nothing panics while it holds this lock");
        sessions.get(secret).map(mpsc::Sender::downgrade)
    };
    let Some(input) = known else { return stream.shutdown().await };
    greet(&mut stream, WINDOW_GREETING).await?;
    let mut lines = BufReader::new(stream);
    while let Some((columns, rows)) = window_line(&mut lines, idle).await? {
        let Some(input) = input.upgrade() else { return Ok(()) };
        give(&input, AttachInput::Resize { columns, rows }).await;
    }
    Ok(())
}

async fn window_line(
    lines: &mut (impl AsyncBufReadExt + AsyncRead + Unpin),
    idle: Duration,
) -> io::Result<Option<(u16, u16)>> {
    let mut line = String::new();
    let read = timeout(idle, lines.take(WINDOW_LINE_BYTES_MAX).read_line(&mut line)).await??;
    if read == 0 {
        return Ok(None);
    }
    let refuse = || io::Error::new(io::ErrorKind::InvalidData, "a window line must hold columns and rows");
    let cells = |text: &str| text.parse::<u16>().ok().filter(|n| (1..=WINDOW_CELLS_MAX).contains(n));
    let (columns, rows) = line.trim_end().split_once(' ').ok_or_else(refuse)?;
    Ok(Some((cells(columns).ok_or_else(refuse)?, cells(rows).ok_or_else(refuse)?)))
}

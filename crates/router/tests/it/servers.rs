//! What the router lets pass, real servers take apart as the router did: as many requests, with bodies of the same
//! length. The corpus is played, and mixes of its parts, with node, gunicorn and nginx as dynos.
//!
//! `RENGA_TEST_SERVERS` is a folder with gunicorn in `python`; node and nginx are found by the path.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    corpus::{AFTER, Answers, cases, connect, corpus, one_thread},
    recorder::{Recorder, Seen},
    rig::{DEADLINE, Rig},
};

/// Mixes that are tried, each with its own seed.
const MIXES: u64 = 300;
/// A start of Python on a busy machine.
const START: Duration = Duration::from_secs(30);

// Each writes a line `METHOD TARGET BYTES` per request to its log, and answers `ok`.

const NODE: &str = r#"
const fs = require('fs'), log = process.env.LOG;
const server = require('http').createServer((request, response) => {
    let bytes = 0;
    request.on('data', data => bytes += data.length);
    request.on('end', () => {
        fs.appendFileSync(log, `${request.method} ${request.url} ${bytes}\n`);
        response.setHeader('Content-Length', 2);
        response.end('ok');
    });
});
server.keepAliveTimeout = 60000;
server.listen(process.env.PORT, '127.0.0.1');
"#;

const GUNICORN: &str = r#"
import os
def app(environ, start_response):
    body = environ['wsgi.input'].read()
    with open(os.environ['LOG'], 'a') as log:
        log.write(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {len(body)}\n")
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
"#;

/// The inner server gets a body with its length, whatever the outer one got.
const NGINX: &str = r#"
worker_processes 1;
daemon off;
master_process off;
pid FOLDER/pid;
error_log FOLDER/error.log;
events { worker_connections 256; }
http {
    log_format seen '$request_method $request_uri $content_length';
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    client_header_buffer_size 16k;
    large_client_header_buffers 64 32k;
    keepalive_requests 100000;
    server {
        listen 127.0.0.1:PORT;
        location / { proxy_pass http://unix:FOLDER/inner.sock:; }
    }
    server {
        listen unix:FOLDER/inner.sock;
        location / { access_log FOLDER/log seen; return 200 'ok'; }
    }
}
"#;

// === a server as a dyno ===

struct Server {
    name: &'static str,
    process: Child,
    address: SocketAddr,
    log: PathBuf,
    _folder: TempDir,
}

/// Below those that the kernel gives to whoever asks for any, so that nobody gets it before the server takes it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "no port is free");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    fn start(name: &'static str, command: impl Fn(&Path, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let log = folder.path().join("log");
        let mut command = command(folder.path(), port);
        let command = command.env("PORT", port.to_string()).env("LOG", &log).stdout(Stdio::null());
        let process = command.stderr(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, process, address: ([127, 0, 0, 1], port).into(), log, _folder: folder }
    }

    fn node() -> Self {
        Self::start("node", |_, _| {
            let mut command = Command::new("node");
            command.args(["-e", NODE]);
            command
        })
    }

    fn gunicorn(python: &Path) -> Self {
        Self::start("gunicorn", |folder, port| {
            std::fs::write(folder.join("seen.py"), GUNICORN).unwrap();
            let mut command = Command::new("python3");
            command.args(["-m", "gunicorn", "-k", "gthread", "--threads", "8", "--keep-alive", "60"]);
            command.args(["--limit-request-line", "0", "--limit-request-field_size", "0"]);
            command.args(["-b", &format!("127.0.0.1:{port}"), "--no-control-socket", "seen:app"]);
            command.current_dir(folder).env("PYTHONPATH", python);
            command
        })
    }

    fn nginx() -> Self {
        Self::start("nginx", |folder, port| {
            let place = folder.to_str().unwrap();
            let config = NGINX.replace("FOLDER", place).replace("PORT", &port.to_string());
            std::fs::write(folder.join("config"), config).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-p", place, "-c", "config", "-e", "error.log"]);
            command
        })
    }

    async fn ready(&mut self) {
        let end = Instant::now() + START;
        while TcpStream::connect(self.address).await.is_err() {
            assert!(self.process.try_wait().unwrap().is_none(), "{} ended", self.name);
            assert!(Instant::now() < end, "{} does not answer", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The log, once it has so many lines; they are written when the answer has gone already.
    async fn lines(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(normal).collect();
            if lines.len() >= count || Instant::now() > end {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{} does not end", self.name);
    }
}

/// nginx says `-` of no body.
fn normal(line: &str) -> String {
    line.strip_suffix(" -").map_or_else(|| line.to_owned(), |start| format!("{start} 0"))
}

fn line(seen: &Seen) -> String {
    let request = seen.line();
    format!("{} {}", request.strip_suffix(" HTTP/1.1").unwrap(), seen.body.len())
}

// === what is asked ===

struct Ask {
    name: String,
    bytes: Vec<u8>,
    /// Answers that are read at most.
    answers: usize,
}

fn asks() -> Vec<Ask> {
    let from_case = |case: crate::corpus::Case| {
        let answers = case.answers_max();
        Ask { name: case.name, bytes: case.bytes, answers }
    };
    cases(&corpus()).into_iter().map(from_case).chain((0..MIXES).map(mix)).collect()
}

/// A request of parts that are legal, illegal, or only together one of the two.
fn mix(seed: u64) -> Ask {
    const LINES: [&str; 4] =
        ["POST / HTTP/1.1", "GET /a?b HTTP/1.1", "PUT http://app.localhost/c HTTP/1.1", "POST / HTTP/1.0"];
    const HEADERS: [&str; 18] = [
        "Content-Length: 5\r\n",
        "content-length:5 \r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 05\r\n",
        "Content_Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "TRANSFER-ENCODING:\tChunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Connection: content-length, transfer-encoding, host\r\n",
        "Connection: keep-alive\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "Expect: 100-continue\r\n",
        "X-Odd: a\u{e4}\u{ff}\tb\r\n",
        "X-Empty:\r\n",
        "TE: trailers, chunked\r\nTrailer: X\r\n",
        "Host : b\r\n",
        "X: \x0bTransfer-Encoding: chunked\r\n",
    ];
    const BODIES: [&str; 8] = [
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x=\"y\"\r\nhello\r\n00\r\nTrailer: 1\r\n\r\n",
        "0\r\n\r\n",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
        "5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
        "helloGET /smuggled HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n",
    ];
    let mut random = SmallRng::seed_from_u64(seed);
    let mut text = format!("{}\r\nHost: app.localhost\r\n", LINES[random.random_range(0..LINES.len())]);
    for _ in 0..random.random_range(0..4) {
        text += HEADERS[random.random_range(0..HEADERS.len())];
    }
    text += "\r\n";
    text += BODIES[random.random_range(0..BODIES.len())];
    // A request at the end, of which a body may take a part: the router closes in any case.
    text += "GET /end HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
    // One byte each: those above ASCII are there for their value.
    let bytes = text.chars().map(|char| u8::try_from(char).unwrap()).collect();
    Ask { name: format!("mix {seed}: {}", text.escape_debug()), bytes, answers: usize::MAX }
}

/// The statuses that come until there are enough, or the end; then another request.
async fn play(rig: &Rig, ask: &Ask) -> Vec<u16> {
    let mut answers = Answers { stream: connect(rig).await, buffer: Vec::new() };
    let mut statuses = Vec::new();
    if answers.stream.write_all(&ask.bytes).await.is_ok() {
        let to_head = ask.bytes.starts_with(b"HEAD ");
        while statuses.len() < ask.answers {
            let Some(status) =
                answers.next(to_head).await.unwrap_or_else(|why| panic!("{}: {why}", ask.name))
            else {
                break;
            };
            statuses.push(status);
        }
    }
    drop(answers);
    let mut after = connect(rig).await;
    after.write_all(AFTER).await.unwrap();
    let read = timeout(DEADLINE, after.read(&mut [0; 1024])).await;
    assert!(matches!(read, Ok(Ok(1..))), "{}: no answer afterwards", ask.name);
    statuses
}

/// What a dyno must have seen of one ask: a line for every answer of 200, and the one afterwards.
fn told_apart(lines: &[String]) -> Vec<Vec<String>> {
    let mut asks: Vec<Vec<String>> =
        lines.split_inclusive(|line| line == "GET /after 0").map(<[_]>::to_vec).collect();
    asks.iter_mut().for_each(|ask| drop(ask.pop()));
    asks
}

#[tokio::test]
async fn real_servers_see_the_requests_that_the_router_saw() {
    let Some(folder) = std::env::var_os("RENGA_TEST_SERVERS") else {
        eprintln!("without node, gunicorn and nginx: set RENGA_TEST_SERVERS to test with them");
        return;
    };
    let asks = asks();
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    let mut expected = Vec::new();
    for ask in &asks {
        let statuses = play(&rig, ask).await;
        let (seen, faults) = dyno.take();
        assert!(faults.is_empty(), "{}: {faults:?}", ask.name);
        expected.push((statuses, seen[..seen.len() - 1].iter().map(line).collect::<Vec<_>>()));
    }
    let python = Path::new(&folder).join("python");
    for mut server in [Server::node(), Server::gunicorn(&python), Server::nginx()] {
        server.ready().await;
        rig.serve(&[server.address]).await;
        compare(&rig, &server, &asks, &expected).await;
    }
}

async fn compare(rig: &Rig, server: &Server, asks: &[Ask], expected: &[(Vec<u16>, Vec<String>)]) {
    let (mut refused, mut count) = (Vec::new(), 0);
    for (ask, (wanted, lines)) in asks.iter().zip(expected) {
        let statuses = play(rig, ask).await;
        // A server may be stricter, and is then not counted with that one; it must not be laxer.
        refused.push(statuses != *wanted);
        count += 1 + if statuses == *wanted { lines.len() } else { 0 };
    }
    let seen = told_apart(&server.lines(count).await);
    assert_eq!(seen.len(), asks.len(), "{} saw {seen:?}", server.name);
    for (((ask, (_, lines)), seen), refused) in asks.iter().zip(expected).zip(&seen).zip(&refused) {
        let good = if *refused { seen.len() < lines.len() } else { seen == lines };
        assert!(good, "{}: {} saw {seen:?} instead of {lines:?}", ask.name, server.name);
    }
    let refused = refused.iter().filter(|refused| **refused).count();
    assert!(refused < asks.len() / 10, "{} refused {refused} of {}", server.name, asks.len());
}

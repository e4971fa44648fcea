//! A platform that answers what a test says, and the command line as a process.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Nothing here takes a second; a machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

pub(crate) fn ok(body: &Value) -> Answer {
    Answer { status: 200, headers: vec![("content-type", "application/json".into())], body: body.to_string() }
}

pub(crate) fn refused(status: u16, id: &str, message: &str) -> Answer {
    Answer { status, ..ok(&json!({ "id": id, "message": message })) }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// A data directory, a listener behind its `endpoints.json`, and what was asked so far.
pub(crate) struct Platform {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) api: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Platform {
    pub(crate) fn new(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (dir, requests) = (tempfile::tempdir().unwrap(), Arc::<Mutex<Vec<Request>>>::default());
        let api = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        write_endpoints(dir.path(), &api);
        let (handler, seen): (Arc<Handler>, _) = (Arc::new(handler), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, seen) = (handler.clone(), seen.clone());
                thread::spawn(move || answer(stream.unwrap(), &*handler, &seen));
            }
        });
        Self { dir, api, requests }
    }

    /// The command line, which knows this platform and nothing of the machine that the test runs on.
    pub(crate) fn renga(&self, args: &[&str]) -> Command {
        let mut command = renga(args);
        command.env("RENGA_DATA_DIR", self.dir.path()).env("HOME", self.home()).current_dir(self.home());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.renga(args).stdin(Stdio::null()).output().unwrap()
    }

    pub(crate) fn home(&self) -> PathBuf {
        let home = self.dir.path().join("home");
        fs::create_dir_all(&home).unwrap();
        home
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }
}

fn write_endpoints(dir: &Path, api: &str) {
    let (ca, token) = (dir.join("ca.pem"), dir.join("token"));
    if !ca.exists() {
        fs::write(&ca, "no certificate\n").unwrap();
    }
    fs::write(&token, "T0KEN\n").unwrap();
    let endpoints = json!({
        "api": api, "api_tls": "https://localhost:44443", "router": "http://localhost:1",
        "router_tls": "https://localhost:2", "rendezvous": "rendezvous://localhost:3", "domain": "localhost",
        "ca": ca, "token_file": token, "pid": 1,
    });
    fs::write(dir.join("endpoints.json"), endpoints.to_string()).unwrap();
}

/// The program, with an environment that holds a search path and nothing else.
pub(crate) fn renga(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_renga-client"));
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

fn answer(stream: TcpStream, handler: &Handler, seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(request) = read_request(&mut reader) else { return };
    seen.lock().unwrap().push(request.clone());
    let Answer { status, headers, body } = handler(&request);
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    // The client may have gone already.
    drop((&stream).write_all(format!("{head}\r\n{body}").as_bytes()));
}

pub(crate) fn read_request(reader: &mut impl std::io::BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

// === TLS ===

/// A CA of our own, and a server that it vouches for as `localhost`.
pub(crate) struct Authority {
    pub(crate) pem: String,
    /// SHA-256, as `openssl x509 -fingerprint` prints it.
    pub(crate) fingerprint: String,
    pub(crate) config: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(params, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone(), ca.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let digest = Sha256::digest(ca.der());
        let fingerprint = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        Self { pem: ca.pem(), fingerprint, config: Arc::new(config) }
    }
}

pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

pub(crate) fn accept_tls(listener: &TcpListener, config: &Arc<ServerConfig>) -> TlsStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// Up to a line end, byte by byte.
pub(crate) fn read_line(stream: &mut impl std::io::Read) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

// === processes ===

/// Ended with the test, however the test ends.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Guarded {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn code(&mut self) -> Option<i32> {
        let status = until("the process ends", || self.0.try_wait().unwrap());
        status.code()
    }
}

/// Polls for what must come; panics with what was waited for.
pub(crate) fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// === shapes ===

pub(crate) fn app(name: &str) -> Value {
    let named = |name: &str| json!({ "id": "01234567-89ab-cdef-0123-456789abcdef", "name": name });
    json!({
        "acm": false, "archived_at": null, "buildpack_provided_description": null, "build_stack": named("heroku-24"),
        "created_at": "2026-01-01T00:00:00Z", "generation": named("cedar"), "git_url": "", "internal_routing": null,
        "id": "01234567-89ab-cdef-0123-456789abcdef", "maintenance": false, "name": name,
        "owner": { "email": "me@localhost", "id": "01234567-89ab-cdef-0123-456789abcdef" }, "organization": null,
        "team": null, "region": named("us"), "released_at": null, "repo_size": null, "slug_size": 2_048, "space": null,
        "stack": named("heroku-24"), "updated_at": "2026-01-01T00:00:00Z",
        "web_url": format!("https://{name}.localhost:8443/"),
    })
}

pub(crate) fn release(version: u64, current: bool) -> Value {
    json!({
        "addon_plan_names": [], "artifacts": [], "app": { "id": app("x")["id"], "name": "x" },
        "created_at": "2026-01-01T00:00:00Z", "description": format!("Deploy {version}"),
        "id": format!("01234567-89ab-cdef-0123-{version:012}"), "updated_at": "2026-01-01T00:00:00Z", "slug": null,
        "status": "succeeded", "user": app("x")["owner"], "version": version, "current": current,
        "output_stream_url": null, "eligible_for_rollback": true,
    })
}

pub(crate) fn dyno(name: &str, state: &str, attach_url: Option<&str>) -> Value {
    json!({
        "attach_url": attach_url, "command": "serve", "created_at": "2026-01-01T00:00:00Z", "id": app("x")["id"],
        "name": name, "release": { "id": app("x")["id"], "version": 3 }, "app": { "id": app("x")["id"], "name": "x" },
        "size": "Basic", "state": state, "type": name.split('.').next(), "updated_at": "2026-01-01T00:00:00Z",
    })
}

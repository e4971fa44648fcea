//! One git server on a free port, one app, and a gate that hands every call to the test.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use renga_git::{Body, Caller, Config, Endpoint, GitStore, Limits, Service, refusal_response};
use renga_model::{AccountId, AppId, AppName, Refusal};
use renga_ports::{Git, PushGate, PushRequest, RefVerdict};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    process::{Child, Command},
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) store: GitStore,
    pub(crate) app: AppId,
    pub(crate) account: AccountId,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
    pub(crate) held: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
    calls: Mutex<mpsc::Receiver<Call>>,
    /// Aborted when the test ends.
    _servers: JoinSet<()>,
}

/// A push at the gate.
pub(crate) struct Call {
    pub(crate) request: PushRequest,
    pub(crate) progress: mpsc::Sender<Bytes>,
    pub(crate) answer: oneshot::Sender<Vec<RefVerdict>>,
}

struct Gate(mpsc::Sender<Call>);

#[async_trait]
impl PushGate for Gate {
    async fn push(&self, request: PushRequest, progress: mpsc::Sender<Bytes>) -> Vec<RefVerdict> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Call { request, progress, answer }).await.ok();
        answered.await.expect("the test answers every call")
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = TempDir::new().unwrap();
        let mut config = Config {
            root: directory.path().join("git"),
            hook_program: PathBuf::from(env!("CARGO_BIN_EXE_renga-proc-receive")),
            hook_socket: directory.path().join("hook.sock"),
            site_env: Vec::new(),
            submodules_from_private_addresses: false,
            disk_floor_bytes: 0,
            limits: Limits::default(),
            tasks: TaskTracker::new(),
        };
        change(&mut config);
        let store = GitStore::new(config).unwrap();
        let (app, account) = (AppId::random(), AccountId::random());
        let mut servers = JoinSet::new();
        let (calls_in, calls) = mpsc::channel(8);
        let hooks: UnixListener = store.bind_hooks().unwrap();
        let (hook_store, gate) = (store.clone(), Arc::new(Gate(calls_in)));
        servers.spawn(async move { hook_store.serve_hooks(hooks, gate, CancellationToken::new()).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let face = Face { held: Arc::default(), go: Arc::default(), store: store.clone(), app, account };
        let (held, go) = (face.held.clone(), face.go.clone());
        servers.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let face = face.clone();
                face.store_tasks(stream);
            }
        });
        Self {
            store,
            app,
            account,
            address,
            directory,
            calls: Mutex::new(calls),
            held,
            go,
            _servers: servers,
        }
    }

    /// The next push at the gate.
    pub(crate) async fn call(&self) -> Call {
        tokio::time::timeout(DEADLINE, async { self.calls.lock().await.recv().await })
            .await
            .expect("a push reaches the gate in time")
            .unwrap()
    }

    pub(crate) fn no_call(&self) -> bool {
        self.calls.try_lock().unwrap().try_recv().is_err()
    }

    pub(crate) fn face(&self) -> Face {
        let (held, go) = (self.held.clone(), self.go.clone());
        Face { held, go, store: self.store.clone(), app: self.app, account: self.account }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://any:secret@{}/demo.git", self.address)
    }

    /// A client's repository with one commit on main and the remote `heroku`.
    pub(crate) async fn client(&self, name: &str) -> Client {
        let path = self.directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let client = Client { path };
        client.ok(&["init", "-q", "-b", "main"]).await;
        client.ok(&["remote", "add", "heroku", &self.url()]).await;
        client.commit("README", "hello\n", "First commit").await;
        client
    }

    /// Accepts everything as the engine does: moves the branches, then says yes.
    pub(crate) async fn accept(&self, call: Call) {
        let mut verdicts = Vec::new();
        for update in &call.request.updates {
            let branch = update.name.strip_prefix("refs/heads/").unwrap();
            self.store.branch_move(self.app, branch, &update.new).await.unwrap();
            verdicts.push(RefVerdict { name: update.name.clone(), refused: None });
        }
        drop(call.progress);
        call.answer.send(verdicts).unwrap();
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.directory.path().join("git").join(format!("{}.git", self.app))
    }

    /// All refs of the server's repository, hidden ones too.
    pub(crate) async fn refs(&self) -> HashMap<String, String> {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.repository())
            .args(["for-each-ref", "--format=%(refname) %(objectname)"])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(a, b)| (a.into(), b.into())).collect()
    }
}

// === the server's face: what `api` does ===

#[derive(Clone)]
pub(crate) struct Face {
    /// A push with the header `x-hold` says here that it has come, and waits until it may go on.
    pub(crate) held: Arc<Notify>,
    pub(crate) go: Arc<Notify>,
    pub(crate) store: GitStore,
    pub(crate) app: AppId,
    pub(crate) account: AccountId,
}

impl Face {
    fn store_tasks(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        // Ends with its connection, which ends with the client.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(self.connection(stream));
    }

    pub(crate) async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request| {
            let face = self.clone();
            async move { Ok::<_, Infallible>(face.answer(request).await) }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let uri = request.uri().clone();
        let Some((name, endpoint)) = Endpoint::parse(request.method(), &uri) else {
            return refusal_response(&Refusal::not_found("app"));
        };
        if request.headers().contains_key("x-hold") && endpoint == Endpoint::Call(Service::ReceivePack) {
            self.held.notify_one();
            self.go.notified().await;
        }
        // "any:secret"
        if request.headers().get(header::AUTHORIZATION).is_none_or(|value| value != "Basic YW55OnNlY3JldA==")
        {
            return refusal_response(&Refusal::unauthorized());
        }
        if name != "demo" {
            return refusal_response(&Refusal::not_found("app"));
        }
        let name: AppName = name.parse().unwrap();
        let caller = Caller { app: self.app, name, account: self.account };
        self.store.serve(&caller, endpoint, request).await
    }
}

// === the client ===

pub(crate) struct Client {
    pub(crate) path: PathBuf,
}

impl Client {
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.path).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.path);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1");
        for (role, name) in [("AUTHOR", "Ada"), ("COMMITTER", "Ada")] {
            command.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.process_group(0);
        command
    }

    pub(crate) async fn git(&self, arguments: &[&str]) -> Output {
        let run = self.command(arguments).output();
        tokio::time::timeout(DEADLINE, run).await.expect("git ends in time").unwrap()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs what must succeed and returns its output.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.git(arguments).await;
        assert!(output.status.success(), "git {arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Returns the commit's id.
    pub(crate) async fn commit(&self, file: &str, content: impl AsRef<[u8]>, message: &str) -> String {
        let path = self.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.ok(&["add", "-A"]).await;
        self.ok(&["commit", "-q", "-m", message]).await;
        self.head().await
    }

    pub(crate) async fn head(&self) -> String {
        self.ok(&["rev-parse", "HEAD"]).await
    }
}

/// Runs a push that the gate accepts; returns what the client said.
pub(crate) async fn accepted(world: &World, push: impl Future<Output = Output>) -> String {
    let accept = async {
        let call = world.call().await;
        world.accept(call).await;
    };
    let (output, ()) = tokio::join!(push, accept);
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn refused(name: &str, text: &str) -> RefVerdict {
    RefVerdict { name: name.into(), refused: Some(text.into()) }
}

/// Waits for a condition of the world, with a deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `kill -9` for the client and its helpers.
pub(crate) async fn kill(mut client: Child) {
    let group = rustix::process::Pid::from_raw(client.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    client.wait().await.unwrap();
}

/// Ids of processes whose arguments contain `needle`.
pub(crate) fn processes(needle: &Path) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let needle = needle.to_string_lossy();
        if arguments.contains(&*needle) || environment.contains(&*needle) {
            found.push((id, arguments));
        }
    }
    found
}

/// The files of a tar, by their paths.
pub(crate) fn unpacked(tar: &Path) -> BTreeMap<String, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let status =
        std::process::Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(directory.path()).status();
    assert!(status.unwrap().success());
    let mut files = BTreeMap::new();
    let mut open = vec![directory.path().to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.path().strip_prefix(directory.path()).unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    files
}

//! The node as a process of its own, killed and started again, as root.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can't go on ends"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use renga_model::{AppId, DynoId, DynoKind, Exit, ExitReason, Secret};
use renga_node::NodeClient;
use renga_ports::{
    AttachInput, AttachOutput, DynoLimits, DynoPhase, DynoReport, DynoSpec, Runtime, RuntimeError, Tty,
};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);
const SERVER_UID: u32 = 54_321;

/// Instances of one test process differ by a number, those of several by its id.
static NEXT: AtomicU32 = AtomicU32::new(0);

struct Site {
    folder: TempDir,
    instance: String,
    subnet: String,
    node: Option<Child>,
    client: NodeClient,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::Builder::new().prefix("renga-node-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir(folder.path().join("exchange")).unwrap();
        let number = (std::process::id() * 8 + NEXT.fetch_add(1, Ordering::Relaxed)) % 0x2000;
        let instance = format!("n{number:x}");
        let subnet = format!("10.{}.{}.0/26", 160 + number / 256, number % 256);
        let dynos = folder.path().join("node/dynos");
        let client = NodeClient::new(folder.path().join("node.sock"), dynos);
        let mut site = Self { folder, instance, subnet, node: None, client };
        site.start_node().await;
        site
    }

    async fn start_node(&mut self) {
        let mut command = Command::new(built("renga-node", &["--example", "node"], "examples/node"));
        command.arg(self.folder.path()).args([&self.instance, &self.subnet, &SERVER_UID.to_string()]);
        command.arg(built("renga-dyno", &["--bin", "renga-dyno"], "renga-dyno"));
        self.node = Some(command.stdin(Stdio::null()).spawn().unwrap());
        until("node", async || self.client.inventory().await.ok()).await;
    }

    fn kill_node(&mut self) {
        let mut node = self.node.take().unwrap();
        node.kill().unwrap();
        node.wait().unwrap();
    }

    async fn report(&self, id: DynoId) -> DynoReport {
        let reports = self.client.inventory().await.unwrap();
        reports.into_iter().find(|report| report.id == id).expect("it is known")
    }
    async fn ready(&self, id: DynoId) -> DynoReport {
        until("readiness", async || {
            let report = self.report(id).await;
            assert!(!matches!(report.phase, DynoPhase::Exited(_)), "{report:?}");
            (report.phase == DynoPhase::Ready).then_some(report)
        })
        .await
    }
    async fn exit(&self, id: DynoId) -> Exit {
        until("exit", async || match self.report(id).await.phase {
            DynoPhase::Exited(exit) => Some(exit),
            _ => None,
        })
        .await
    }
    fn dyno_dir(&self, id: DynoId) -> PathBuf {
        self.folder.path().join("node/dynos").join(id.to_string())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            node.kill().ok();
            node.wait().ok();
        }
        let mut config_line = Command::new(built("renga-node", &["--example", "node"], "examples/node"));
        config_line.arg(self.folder.path()).args([&self.instance, &self.subnet, &SERVER_UID.to_string()]);
        let removed = config_line.arg("/bin/true").arg("remove").status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("could not clean up {}", self.instance);
        }
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A program of this workspace, made if need be.
fn built(package: &str, what: &[&str], place: &str) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", package]).args(what);
    assert!(command.status().unwrap().success(), "{package} can't be built");
    let me = std::env::current_exe().unwrap();
    me.ancestors().nth(2).unwrap().join(place)
}

fn bash(script: &str) -> DynoSpec {
    let env = [("PATH", "/usr/bin:/bin")].map(|(key, value)| (key.to_owned(), Secret::new(value)));
    DynoSpec {
        id: DynoId::random(),
        generation: 7,
        app: AppId::random(),
        kind: DynoKind::Formation,
        name: "web.1".parse().unwrap(),
        stack: "host".parse().unwrap(),
        layers: Vec::new(),
        mounts: Vec::new(),
        inputs: Vec::new(),
        files: Vec::new(),
        with_builder: false,
        argv: ["/bin/bash", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from(env),
        limits: DynoLimits {
            memory_bytes: 128 << 20,
            cpu_shares: 1024,
            processes_max: 64,
            open_files_max: 10_000,
            disk_bytes: 128 << 20,
            time_to_live: None,
        },
        port: None,
        tty: None,
        attach: false,
        metered: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_killed_node_loses_nothing() {
    let mut site = Site::open().await;
    let web = DynoSpec {
        port: Some(5000),
        ..bash("cd /app; echo hi > index.html; exec python3 -m http.server 5000")
    };
    let ending = bash("mkdir /app/out; echo left > /app/out/f; sleep 0.5; exit 5");
    let terminal = DynoSpec {
        tty: Some(Tty { columns: 80, rows: 24 }),
        attach: true,
        ..bash("while read line; do echo got $line; done")
    };
    let ids = [web.id, ending.id, terminal.id];
    for spec in [web, ending, terminal.clone()] {
        site.client.start(spec).await.unwrap();
    }
    let before = site.ready(ids[0]).await;
    site.ready(ids[2]).await;
    let mut session = site.client.attach(ids[2]).await.unwrap();
    expect_echo(&session.input, &mut session.output, "one").await;

    site.kill_node();
    assert!(matches!(site.client.inventory().await, Err(RuntimeError::Away(_))));
    expect_echo(&session.input, &mut session.output, "two").await;
    assert!(std::net::TcpStream::connect(before.address.unwrap()).is_ok());
    until("end without a node", async || site.dyno_dir(ids[1]).join("exit.json").exists().then_some(()))
        .await;

    site.start_node().await;
    expect_echo(&session.input, &mut session.output, "three").await;
    let after = site.ready(ids[0]).await;
    assert_eq!(before, after);
    assert_eq!((after.generation, site.exit(ids[1]).await.code), (7, 5));
    site.client.start(terminal).await.unwrap();
    assert_eq!(site.client.read_file(ids[1], "/app/out/f", 100).await.unwrap(), b"left\n");
    let layer = site.client.pack(ids[1], "/app/out").await.unwrap();
    assert_eq!(site.client.layers().await.unwrap()[0].digest, layer.digest);
    site.client.layer_remove(&layer.digest, Timestamp::MAX).await.unwrap();
    assert!(site.client.capacity().await.unwrap().disk_bytes_free > 0);
    let usage = site.client.usage().await.unwrap();
    assert!(usage.iter().any(|dyno| dyno.id == ids[0] && dyno.quota_bytes == 128 << 20), "{usage:?}");

    drop(session);
    site.client.stop(ids[0], Duration::from_secs(5)).await.unwrap();
    for id in [ids[0], ids[2]] {
        site.exit(id).await;
    }
    for id in ids {
        site.client.forget(id).await.unwrap();
        site.client.forget(id).await.unwrap();
    }
    assert_eq!(site.client.inventory().await.unwrap(), []);
}

async fn expect_echo(
    input: &tokio::sync::mpsc::Sender<AttachInput>,
    output: &mut tokio::sync::mpsc::Receiver<AttachOutput>,
    word: &str,
) {
    input.send(AttachInput::Data(Bytes::from(format!("{word}\n")))).await.unwrap();
    let mut text = String::new();
    while !text.contains(&format!("got {word}")) {
        match tokio::time::timeout(DEADLINE, output.recv()).await.unwrap() {
            Some(AttachOutput::Data(data)) => text.push_str(&String::from_utf8_lossy(&data)),
            other => panic!("{other:?} after {text:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_what_nobody_owns_is_taken_away() {
    let mut site = Site::open().await;
    let lost = bash("sleep 1000");
    let id = lost.id;
    site.client.start(lost).await.unwrap();
    site.ready(id).await;
    let state = fs::read_to_string(site.dyno_dir(id).join("state.json")).unwrap();
    let state: renga_supervision::State = serde_json::from_str(&state).unwrap();
    site.kill_node();
    // A supervisor that is killed while no node looks, and the rubbish of a node that died in the middle of things.
    let pid = rustix::process::Pid::from_raw(state.supervisor_pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let rubbish = site.dyno_dir(DynoId::random());
    fs::create_dir_all(rubbish.join("m")).unwrap();
    let shown = |program: &str, words: &[&str]| {
        assert!(Command::new(program).args(words).status().unwrap().success(), "{program} {words:?}");
    };
    shown("mount", &["-t", "tmpfs", "none", rubbish.join("m").to_str().unwrap()]);
    let link = format!("rv{}-3d", site.instance);
    shown("ip", &["link", "add", &link, "type", "veth", "peer", "name", &format!("p{}", site.instance)]);

    site.start_node().await;
    assert_eq!(site.exit(id).await.reason, ExitReason::SupervisorLost);
    assert!(!rubbish.exists() && !Path::new("/sys/class/net").join(link).exists());
    assert!(!Path::new(&format!("/proc/{}", state.init_pid)).exists(), "the dyno's process has been killed");
    site.client.forget(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_the_server_reaches_what_it_needs_and_strangers_nothing() {
    let site = Site::open().await;
    let spec = DynoSpec { attach: false, ..bash("echo for the server") };
    let id = spec.id;
    site.client.start(spec).await.unwrap();
    site.exit(id).await;
    let as_user = |uid: u32, script: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(site.dyno_dir(id)).arg(site.folder.path().join("node.sock"));
        let output = command.uid(uid).gid(uid).stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(as_user(SERVER_UID, "cat $1/log/*").contains("for the server"));
    assert!(!as_user(SERVER_UID + 1, "cat $1/log/*").contains("for the server"));
    let connect =
        "python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print(1)' $2";
    assert_eq!(as_user(SERVER_UID, connect), "1\n");
    assert_eq!(as_user(SERVER_UID + 1, connect), "");
    assert!(UnixStream::connect(site.folder.path().join("node.sock")).is_ok(), "root is no stranger");
    let waited = Instant::now();
    site.client.changed().await.unwrap();
    site.client.changed().await.unwrap();
    assert!(waited.elapsed() < DEADLINE);
    site.client.forget(id).await.unwrap();
}

//! An instance of its own for each test, with everything taken away at the end, also after a panic.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use renga_model::{AppId, DynoId, DynoKind, Exit, LayerDigest, Secret};
use renga_ports::{DynoLimits, DynoPhase, DynoReport, DynoSpec, Runtime, SpecFile};
use renga_runtime::{Config, Hand, remove_instance, resolvers};
use renga_supervision::{Entry, SegmentReader};
use tempfile::TempDir;

const STACK_IMAGE: &str = "/var/cache/renga/stacks/heroku-24.erofs";
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Site {
    pub(crate) hand: Hand,
    pub(crate) config: Config,
    folder: TempDir,
}

/// Instances of one test process differ by a number, those of several by its id.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Site {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        // What the hand logs is shown with the output of a test that fails.
        tracing_subscriber::fmt().with_test_writer().try_init().ok();
        let folder = tempfile::Builder::new().prefix("renga-it-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let number = (std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed)) % 0x4000;
        let data_dir = folder.path().join("data");
        let exchange_dir = folder.path().join("exchange");
        for path in [&data_dir, &exchange_dir] {
            fs::create_dir(path).unwrap();
        }
        let builder = folder.path().join("renga-build");
        fs::write(&builder, "#!/bin/sh\necho built by $(id -u)\n").unwrap();
        fs::set_permissions(&builder, fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = Config {
            data_dir,
            instance: format!("t{number:x}").parse().unwrap(),
            subnet: format!("10.{}.{}.0/26", 64 + number / 256, number % 256).parse().unwrap(),
            uid_base: 200_000_000,
            uid_count: 65_536 * 32,
            server_uid: 54_321,
            supervisor: supervisor(),
            builder,
            stacks: vec![("heroku-24".parse().unwrap(), PathBuf::from(STACK_IMAGE))],
            network_allow: Vec::new(),
            dns: resolvers(&fs::read_to_string("/etc/resolv.conf").unwrap()),
            exchange_dir,
            ca_bundle: Some(PathBuf::from("/etc/ssl/certs/ca-certificates.crt")),
            disk_floor_bytes: 0,
            disk_write_bytes_per_s: Some(128 << 20),
            allow_weak_isolation: false,
        };
        change(&mut config);
        let hand = Hand::open(config.clone()).await.unwrap();
        Self { hand, config, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
    pub(crate) fn dyno_dir(&self, id: DynoId) -> PathBuf {
        self.config.data_dir.join("node/dynos").join(id.to_string())
    }

    /// Starts it, waits for its end, and gives exit and output.
    pub(crate) async fn run(&self, spec: DynoSpec) -> (Exit, String) {
        let id = spec.id;
        self.hand.start(spec).await.unwrap();
        let exit = self.exit(id).await;
        (exit, self.output(id))
    }

    /// Runs a line of bash and forgets the dyno; the output of one that must succeed.
    pub(crate) async fn bash(&self, script: &str) -> String {
        let spec = bash(script);
        let id = spec.id;
        let (exit, output) = self.run(spec).await;
        assert_eq!(exit.code, 0, "{exit:?} {output}");
        self.hand.forget(id).await.unwrap();
        output
    }

    pub(crate) async fn report(&self, id: DynoId) -> Option<DynoReport> {
        self.hand.inventory().await.unwrap().into_iter().find(|report| report.id == id)
    }

    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
            tokio::time::timeout(Duration::from_millis(200), self.hand.changed_since(0)).await.ok();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn exit(&self, id: DynoId) -> Exit {
        let exit = self.until("exit", async || match self.report(id).await.expect("it is known").phase {
            DynoPhase::Exited(exit) => Some(exit),
            _ => None,
        });
        exit.await
    }

    pub(crate) async fn ready(&self, id: DynoId) -> DynoReport {
        let ready = self.until("readiness", async || {
            let report = self.report(id).await.expect("it is known");
            assert!(!matches!(report.phase, DynoPhase::Exited(_)), "{report:?}: {}", self.output(id));
            (report.phase == DynoPhase::Ready).then_some(report)
        });
        ready.await
    }

    pub(crate) fn output(&self, id: DynoId) -> String {
        let Ok(mut reader) = SegmentReader::open(&self.dyno_dir(id).join("log"), 0) else {
            return String::new();
        };
        let mut text = String::new();
        while let Ok(Some(entry)) = reader.next_entry() {
            match entry {
                Entry::Record(record) => {
                    text.push_str(&String::from_utf8_lossy(&record.data));
                    text.push('\n');
                }
                Entry::Gap { lost } => text.push_str(&format!("({lost} lost)\n")),
            }
        }
        text
    }

    /// A layer image of these files, as `pack` would make it, put where layers lie.
    pub(crate) fn layer(&self, files: &[(&str, &str)]) -> LayerDigest {
        let tree = tempfile::tempdir_in(self.folder()).unwrap();
        for (path, content) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let image = self.folder().join("layer.erofs");
        let mut command = Command::new("mkfs.erofs");
        command.args(["-zlz4", "-T0", "--force-uid=1000", "--force-gid=1000", "--quiet"]);
        assert!(command.arg(&image).arg(tree.path()).status().unwrap().success());
        let digest: LayerDigest = sha256(&image).parse().unwrap();
        fs::copy(&image, self.config.data_dir.join(format!("node/layers/{digest}.erofs"))).unwrap();
        fs::remove_file(&image).unwrap();
        digest
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = remove_instance(&self.config) {
            eprintln!("could not clean up: {error:?}");
        }
    }
}

pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// A one-off without layers that runs this script.
pub(crate) fn bash(script: &str) -> DynoSpec {
    spec(&["/bin/bash", "-c", script])
}

pub(crate) fn spec(argv: &[&str]) -> DynoSpec {
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("GREETING", "hello")];
    DynoSpec {
        id: DynoId::random(),
        generation: 1,
        app: AppId::random(),
        kind: DynoKind::OneOff,
        name: "run.1".parse().unwrap(),
        stack: "heroku-24".parse().unwrap(),
        layers: Vec::new(),
        mounts: Vec::new(),
        inputs: Vec::new(),
        files: Vec::new(),
        with_builder: false,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::from(env.map(|(key, value)| (key.to_owned(), Secret::new(value)))),
        limits: DynoLimits {
            memory_bytes: 128 << 20,
            cpu_shares: 1024,
            processes_max: 64,
            open_files_max: 10_000,
            disk_bytes: 256 << 20,
            time_to_live: None,
        },
        port: None,
        tty: None,
        attach: false,
        metered: false,
    }
}

/// A web dyno that answers with its own id on port 5000.
pub(crate) fn web(text: &str) -> DynoSpec {
    let script = format!(
        "mkdir -p /app/w && cd /app/w && echo {text} > index.html && exec python3 -m http.server 5000"
    );
    DynoSpec { port: Some(5000), kind: DynoKind::Formation, name: "web.1".parse().unwrap(), ..bash(&script) }
}

pub(crate) fn spec_file(path: &str, content: &str) -> SpecFile {
    SpecFile { path: path.to_owned(), content: Secret::new(content) }
}

/// The supervisor's program: `RENGA_TEST_SUPERVISOR` where there is no cargo, otherwise built once if need be.
fn supervisor() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        if let Some(given) = std::env::var_os("RENGA_TEST_SUPERVISOR") {
            return PathBuf::from(given);
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--package", "renga-dyno", "--bin", "renga-dyno"]);
        assert!(command.status().unwrap().success(), "renga-dyno can't be built");
        let me = std::env::current_exe().unwrap();
        me.parent().unwrap().parent().unwrap().join("renga-dyno")
    };
    PROGRAM.get_or_init(build).clone()
}

/// Everything on the machine that bears the mark of a hand's work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    mounts: Vec<String>,
    links: Vec<String>,
    loops: Vec<String>,
    cgroups: Vec<String>,
}

impl Traces {
    pub(crate) fn of(site: &Site) -> Self {
        let data = site.config.data_dir.to_str().unwrap();
        let instance = site.config.instance.as_str();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = table.lines().filter(|line| line.contains(data) && !line.contains("/node/images/"));
        let links = names("/sys/class/net").into_iter().filter(|name| name.contains(instance));
        let backing = |name: &String| fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok();
        // Images stay mounted for the next start; kernels before 6.12 need a loop device for each.
        let is_ours = |file: &String| file.contains(data) && !file.contains("/node/layers/");
        let loops = names("/sys/block").iter().filter_map(backing).filter(is_ours).collect();
        let parent = format!("/sys/fs/cgroup/memory/renga-{instance}");
        let unified = format!("/sys/fs/cgroup/renga-{instance}");
        let groups = names(&parent).into_iter().chain(names(&unified)).filter(|name| name.len() == 36);
        Self {
            mounts: mounts.map(str::to_owned).collect(),
            links: links.collect(),
            loops,
            cgroups: groups.collect(),
        }
    }
}

fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

//! One dyno for a test: a root file system from the host's `/usr`, a network namespace, a cgroup, and the supervisor.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use renga_model::{AppId, DynoId, DynoKind, Exit, Secret};
use renga_ports::Tty;
use renga_supervision::{
    Bind, Control, ControlAnswer, DynoDirectory, Entry, ExecOrder, InputFrame, Label, OutputFrame,
    PROTOCOL_VERSION, Record, SegmentReader, StartAnswer, State, SupervisorSpec,
};
use tempfile::TempDir;

pub(crate) const UID_BASE: u32 = 3_000_000;
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Dyno {
    temp: TempDir,
    pub(crate) spec: SupervisorSpec,
    pub(crate) state: Option<State>,
    _netns: File,
}

impl Dyno {
    /// Not started yet: the test may change the spec.
    pub(crate) fn new(argv: &[&str]) -> Self {
        let temp = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let rootfs = temp.path().join("root");
        make_root(&rootfs);
        let directory = temp.path().join("dyno");
        fs::create_dir(&directory).unwrap();
        let netns = new_network();
        let id = DynoId::random();
        let spec = SupervisorSpec {
            version: PROTOCOL_VERSION,
            directory,
            label: Label {
                id,
                generation: 1,
                app: AppId::random(),
                kind: DynoKind::Formation,
                name: "web.1".parse().unwrap(),
            },
            hostname: "dyno-host".into(),
            rootfs,
            netns: format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd()).into(),
            binds: vec![Bind { source: "/usr".into(), target: "/usr".into(), read_only: true }],
            argv: argv.iter().map(ToString::to_string).collect(),
            env: BTreeMap::from([
                ("PATH".into(), Secret::new("/usr/bin:/bin")),
                ("HOME".into(), Secret::new("/app")),
            ]),
            cwd: "/app".into(),
            uid_base: UID_BASE,
            uid_count: 65_536,
            uid: 1000,
            gid: 1000,
            cgroup: format!("renga-test-{}/{id}", std::process::id()),
            memory_hard_bytes: 256 * 1024 * 1024,
            cpu_shares: 512,
            processes_max: 64,
            open_files_max: 10_000,
            tty: None,
            attach: false,
            log_bytes_max: 16 * 1024 * 1024,
            log_bytes_per_s: None,
            time_to_live: None,
            reader_uid: 12_345,
            hangup_interval: None,
        };
        Self { temp, spec, state: None, _netns: netns }
    }

    pub(crate) fn bash(script: &str) -> Self {
        Self::new(&["bash", "-c", script])
    }

    pub(crate) fn python(script: &str) -> Self {
        Self::new(&["python3", "-c", script])
    }

    pub(crate) fn attached(mut self, tty: Option<(u16, u16)>) -> Self {
        self.spec.attach = true;
        self.spec.tty = tty.map(|(columns, rows)| Tty { columns, rows });
        self
    }

    pub(crate) fn try_start(&mut self) -> StartAnswer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_renga-dyno"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &self.spec).unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        assert_eq!(text.lines().count(), 1, "one line: {text:?}, log: {}", self.supervisor_log());
        let answer = serde_json::from_str(&text).unwrap();
        if let StartAnswer::Started(state) = &answer {
            self.state = Some(state.clone());
        }
        answer
    }

    pub(crate) fn start(mut self) -> Self {
        match self.try_start() {
            StartAnswer::Started(_) => self,
            StartAnswer::Failed(why) => panic!("{why}"),
        }
    }

    /// A further process inside, and its client.
    pub(crate) fn exec(&self, script: &str, tty: Option<(u16, u16)>) -> Client {
        let mut client = Client::connect(&self.files().exec());
        client.socket.write_all(&exec_order(script, tty)).unwrap();
        client
    }

    /// What it said; nothing if it was turned away.
    pub(crate) fn exec_or_nothing(&self, script: &str) -> String {
        let mut socket = UnixStream::connect(self.files().exec()).unwrap();
        let mut said = Vec::new();
        if socket.write_all(&exec_order(script, None)).is_ok() {
            socket.read_to_end(&mut said).unwrap_or_default();
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(crate) fn files(&self) -> DynoDirectory {
        DynoDirectory::new(&self.spec.directory)
    }

    pub(crate) fn temp(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn app_file(&self, name: &str) -> PathBuf {
        self.spec.rootfs.join("app").join(name)
    }

    pub(crate) fn supervisor_log(&self) -> String {
        fs::read_to_string(self.spec.directory.join("supervisor.log")).unwrap_or_default()
    }

    pub(crate) fn wait_exit(&self) -> Exit {
        eventually("the exit", || self.files().read_exit().unwrap())
    }

    /// Runs to its end and returns the exit and the lines.
    pub(crate) fn outcome(self) -> (Exit, Vec<String>) {
        let dyno = self.start();
        let exit = dyno.wait_exit();
        (exit, dyno.lines())
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let mut reader = SegmentReader::open(&self.files().log(), 0).unwrap();
        let mut records = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            match entry {
                Entry::Record(record) => records.push(record),
                Entry::Gap { lost } => panic!("{lost} records are lost"),
            }
        }
        records
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.records().into_iter().map(|record| String::from_utf8(record.data).unwrap()).collect()
    }

    pub(crate) fn wait_line(&self, line: &str) {
        eventually(line, || self.lines().iter().any(|seen| seen == line).then_some(()));
    }

    pub(crate) fn control(&self, request: &Control) -> ControlAnswer {
        let mut socket = UnixStream::connect(self.files().control()).unwrap();
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        socket.write_all(&line).unwrap();
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn stop(&self, grace_ms: u64) {
        assert_eq!(self.control(&Control::Stop { grace_ms }), ControlAnswer::Done);
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.files().attach())
    }
}

impl Drop for Dyno {
    fn drop(&mut self) {
        if let Some(state) = &self.state
            && self.files().read_exit().ok().flatten().is_none()
        {
            kill(state.init_pid, libc::SIGKILL);
            kill(state.supervisor_pid, libc::SIGKILL);
        }
        // Groups can go when the last process has been collected, which is somebody else's work.
        let deadline = Instant::now() + DEADLINE;
        while !self.cgroups("").is_empty() && Instant::now() < deadline {
            for group in self.cgroups("") {
                for child in [group.join("app"), group.join("supervisor"), group.clone()] {
                    fs::remove_dir(child).unwrap_or_default();
                }
                // The instance's folder goes with its last dyno.
                fs::remove_dir(group.parent().unwrap()).unwrap_or_default();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Dyno {
    /// The dyno's folder in every hierarchy that has it.
    pub(crate) fn cgroups(&self, child: &str) -> Vec<PathBuf> {
        let roots = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
        roots
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .map(|root| root.join(&self.spec.cgroup).join(child))
            .filter(|path| path.is_dir())
            .collect()
    }
}

// === an attached client ===

pub(crate) struct Client {
    pub(crate) socket: UnixStream,
    bytes: Vec<u8>,
    pub(crate) output: Vec<u8>,
    pub(crate) exit: Option<i32>,
}

impl Client {
    fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, bytes: Vec::new(), output: Vec::new(), exit: None }
    }

    pub(crate) fn send(&mut self, frame: &InputFrame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.send(&InputFrame::Data(text.as_bytes().to_vec()));
    }

    /// Reads until the output has this text, and forgets everything up to its end.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        loop {
            let seen = String::from_utf8_lossy(&self.output).into_owned();
            if let Some(at) = seen.find(text) {
                self.output = seen.as_bytes()[at + text.len()..].to_vec();
                return seen[..at + text.len()].to_owned();
            }
            assert!(self.read(), "the end came before {text:?}; output: {seen:?}");
        }
    }

    /// To the end of the connection: what came, and the exit code.
    pub(crate) fn finish(mut self) -> (String, Option<i32>) {
        while self.read() {}
        (String::from_utf8_lossy(&self.output).into_owned(), self.exit)
    }

    fn read(&mut self) -> bool {
        let mut chunk = [0; 8192];
        let read = self.socket.read(&mut chunk).expect("output before the deadline");
        self.bytes.extend_from_slice(&chunk[..read]);
        while let Some((frame, taken)) = OutputFrame::decode(&self.bytes).unwrap() {
            self.bytes.drain(..taken);
            match frame {
                OutputFrame::Data(data) => self.output.extend_from_slice(&data),
                OutputFrame::Exit(code) => self.exit = Some(code),
            }
        }
        read > 0
    }
}

fn exec_order(script: &str, tty: Option<(u16, u16)>) -> Vec<u8> {
    let order = ExecOrder {
        argv: ["bash", "--norc", "-c", script].map(str::to_owned).into(),
        env: BTreeMap::from([("ADDED".into(), Secret::new("too")), ("HOME".into(), Secret::new("/over"))]),
        tty: tty.map(|(columns, rows)| Tty { columns, rows }),
    };
    let mut bytes = Vec::new();
    InputFrame::Exec(serde_json::to_vec(&order).unwrap()).encode(&mut bytes);
    bytes
}

// === the machine ===

/// Unmounted when dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn tmpfs(path: &Path, options: &str) -> Self {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path).status();
        assert!(status.unwrap().success(), "root is needed");
        Self(path.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(3));
    }
}

pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(pid, signal) };
}

/// Not gone, and no zombie.
pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

fn new_network() -> File {
    std::thread::spawn(|| {
        // SAFETY: concerns this thread alone, which ends.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "root is needed");
        File::open("/proc/thread-self/ns/net").unwrap()
    })
    .join()
    .unwrap()
}

fn make_root(root: &Path) {
    for folder in ["", "app", "etc", "tmp", "usr", "proc", "dev", "sys", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
        chown(root.join(folder), Some(UID_BASE), Some(UID_BASE)).unwrap();
    }
    for link in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{link}"), root.join(link)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/app:/bin/bash\n").unwrap();
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
    chown(root.join("app"), Some(UID_BASE + 1000), Some(UID_BASE + 1000)).unwrap();
}

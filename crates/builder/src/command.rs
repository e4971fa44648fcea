//! Programs that the builder runs: argument vectors only, an environment that is given in full, and bounded output.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, Read, pipe},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{BuildError, Log, limits::TOOL_OUTPUT_BYTES_MAX};

/// The whole environment of a child.
pub(crate) type Env = BTreeMap<OsString, OsString>;

/// How often a silent child is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long the output of a child that has ended is still read: a background process may hold the pipe for ever.
const DRAIN: Duration = Duration::from_secs(2);
/// A line of a tool's output; the rest of a longer one follows as further lines.
const LINE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    args: Vec<OsString>,
    env: Env,
    directory: PathBuf,
    timeout: Option<Duration>,
}

/// What a tool answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    pub(crate) fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<Path>, directory: impl AsRef<Path>, env: &Env) -> Self {
        Self {
            program: program.as_ref().into(),
            args: Vec::new(),
            env: env.clone(),
            directory: directory.as_ref().into(),
            timeout: None,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().into(), value.as_ref().into());
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs it with each line of its output (both streams, in order) as a detail of the log.
    pub(crate) fn run_indented(&self, log: &mut Log) -> Result<ExitStatus, BuildError> {
        self.run_lines(|line| log.detail(if line.is_empty() { " " } else { line }))
    }

    /// Runs it and gives its lines (both streams, in order) to `sink`.
    pub(crate) fn run_lines(&self, mut sink: impl FnMut(&str)) -> Result<ExitStatus, BuildError> {
        let (reader, writer) = pipe().map_err(|cause| self.failed(cause))?;
        let twin = writer.try_clone().map_err(|cause| self.failed(cause))?;
        let child = self.spawn(Stdio::from(writer), Stdio::from(twin))?;
        let (sender, lines) = mpsc::sync_channel(64);
        std::thread::spawn(move || read_lines(reader, &sender));
        self.follow(child, &lines, |line| sink(line.trim_end_matches(['\n', '\r'])))
    }

    /// Runs it on the builder's own standard output: bytes pass as they come, colours included.
    pub(crate) fn run_raw(&self) -> Result<ExitStatus, BuildError> {
        let stdout = rustix::stdio::stdout();
        let out = rustix::io::dup(stdout).map_err(|cause| self.failed(cause.into()))?;
        let twin = rustix::io::dup(stdout).map_err(|cause| self.failed(cause.into()))?;
        let mut child = self.spawn(Stdio::from(out), Stdio::from(twin))?;
        child.wait().map_err(|cause| self.failed(cause))
    }

    /// Runs it silently and returns what it printed, at most `TOOL_OUTPUT_BYTES_MAX` of each stream.
    pub(crate) fn output(&self) -> Result<Answer, BuildError> {
        let (out, out_writer) = pipe().map_err(|cause| self.failed(cause))?;
        let (err, err_writer) = pipe().map_err(|cause| self.failed(cause))?;
        let child = self.spawn(Stdio::from(out_writer), Stdio::from(err_writer))?;
        let (open, lines) = mpsc::sync_channel::<()>(1);
        let stdout = collect(out, open.clone());
        let stderr = collect(err, open);
        let status = self.follow(child, &lines, |()| ())?;
        Ok(Answer { status, stdout: taken(&stdout), stderr: taken(&stderr) })
    }

    // --- details ---

    fn spawn(&self, stdout: Stdio, stderr: Stdio) -> Result<Child, BuildError> {
        // The Command owns the write ends; it is dropped here, so that the pipes end when the child does.
        let mut command = Command::new(self.resolve());
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        command.spawn().map_err(|cause| self.failed(cause))
    }

    /// A bare name is looked up in the child's PATH, not in ours.
    fn resolve(&self) -> PathBuf {
        if self.program.components().count() > 1 {
            return self.program.clone();
        }
        which(&self.program, &self.env).unwrap_or_else(|| self.program.clone())
    }

    fn follow<T>(
        &self,
        mut child: Child,
        lines: &mpsc::Receiver<T>,
        mut sink: impl FnMut(T),
    ) -> Result<ExitStatus, BuildError> {
        let started = Instant::now();
        let mut exited: Option<(ExitStatus, Instant)> = None;
        loop {
            let open = match lines.recv_timeout(TICK) {
                Ok(line) => {
                    sink(line);
                    true
                }
                Err(mpsc::RecvTimeoutError::Timeout) => true,
                Err(mpsc::RecvTimeoutError::Disconnected) => false,
            };
            if exited.is_none() {
                exited = child.try_wait().map_err(|cause| self.failed(cause))?.map(|s| (s, Instant::now()));
            }
            match exited {
                Some((status, at)) if !open || at.elapsed() > DRAIN => return Ok(status),
                None if self.timeout.is_some_and(|limit| started.elapsed() > limit) => {
                    kill_group(&mut child);
                    return Err(BuildError::ToolTimedOut {
                        program: self.name(),
                        seconds: self.timeout.unwrap_or_default().as_secs(),
                    });
                }
                None if !open => std::thread::park_timeout(TICK),
                _ => {}
            }
        }
    }

    fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn failed(&self, cause: std::io::Error) -> BuildError {
        BuildError::Tool { program: self.name(), cause }
    }
}

/// Finds a program in the PATH of `env`.
pub(crate) fn which(name: &Path, env: &Env) -> Option<PathBuf> {
    let path = env.get(OsStr::new("PATH"))?;
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Puts `folder` in front of PATH.
pub(crate) fn prepend_path(env: &mut Env, folder: &Path) {
    let old = env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let mut new = folder.as_os_str().to_owned();
    if !old.is_empty() {
        new.push(":");
        new.push(old);
    }
    env.insert("PATH".into(), new);
}

fn kill_group(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group may be gone already.
        kill_process_group(pid, Signal::KILL).ok();
    }
    drop(child.wait());
}

fn read_lines(reader: impl Read, sender: &mpsc::SyncSender<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Keeps the first bytes and reads on, so that a talkative child does not block. `open` is dropped at the end.
fn collect(mut reader: impl Read + Send + 'static, open: mpsc::SyncSender<()>) -> Arc<Mutex<Vec<u8>>> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let shared = kept.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let Ok(mut kept) = shared.lock() else { break };
            let room = TOOL_OUTPUT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        drop(open);
    });
    kept
}

fn taken(kept: &Mutex<Vec<u8>>) -> Vec<u8> {
    kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::from([("PATH".into(), "/usr/bin:/bin".into())])
    }

    #[test]
    fn lines_come_in_order_and_the_status_is_told() {
        let mut seen = Vec::new();
        let tool =
            Tool::new("bash", "/", &env()).args(["-c", "echo one; echo two >&2; echo -n three; exit 3"]);
        let status = tool.run_lines(|line| seen.push(line.to_owned())).unwrap();
        assert_eq!((seen.join(","), status.code()), ("one,two,three".to_owned(), Some(3)));
    }

    #[test]
    fn the_environment_is_what_was_given_and_nothing_else() {
        let started = Instant::now();
        let answer = Tool::new("env", "/", &env()).env("A", "b").output().unwrap();
        assert!(started.elapsed() < DRAIN, "the end of the output is noticed");
        assert_eq!(answer.text(), "A=b\nPATH=/usr/bin:/bin");
    }

    #[test]
    fn a_time_limit_kills_the_whole_group() {
        let tool = Tool::new("bash", "/", &env()).args(["-c", "sleep 60 & sleep 60"]);
        let outcome = tool.timeout(Duration::from_millis(100)).run_lines(|_| ());
        assert!(matches!(outcome, Err(BuildError::ToolTimedOut { .. })));
    }

    #[test]
    fn a_background_process_does_not_hold_the_build() {
        let tool = Tool::new("bash", "/", &env()).args(["-c", "sleep 30 & echo started"]);
        let started = Instant::now();
        assert!(tool.run_lines(|_| ()).unwrap().success());
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

//! Running the system's git: hardened settings, a process group, a time limit, and nobody left behind.
//!
//! Every process leads a group of its own. A process that is dropped before it was waited for is told SIGTERM, and
//! SIGKILL after a moment; both go to the whole group.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use renga_ports::GitError;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    runtime::Handle,
};
use tokio_util::task::TaskTracker;

/// What git may say on standard error before we stop listening.
const STDERR_BYTES_MAX: u64 = 8 * 1024;
/// Between SIGTERM and SIGKILL for an abandoned process.
const ABANDON_GRACE: Duration = Duration::from_secs(5);
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The git program with the settings that all calls share.
#[derive(Debug)]
pub(crate) struct GitProgram {
    pub(crate) hooks: PathBuf,
    /// An empty directory: there is nobody's `.gitconfig`, `.netrc` or credential cache in it.
    pub(crate) home: PathBuf,
    pub(crate) pack_bytes_max: u64,
}

impl GitProgram {
    /// `git -c ...`, without a repository.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.env_clear().env("PATH", PATH).env("HOME", &self.home).envs(ENVIRONMENT).kill_on_drop(true);
        command.process_group(0).current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let mut hooks = std::ffi::OsString::from("core.hooksPath=");
        hooks.push(&self.hooks);
        command.arg("-c").arg(hooks);
        command.arg("-c").arg(format!("receive.maxInputSize={}", self.pack_bytes_max));
        command
    }

    pub(crate) fn in_repository(&self, repository: &Path) -> Command {
        let mut command = self.command();
        command.arg("--git-dir").arg(repository);
        command
    }
}

const ENVIRONMENT: [(&str, &str); 11] = [
    ("LC_ALL", "C.UTF-8"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "/bin/false"),
    ("GIT_COMMITTER_NAME", "Renga"),
    ("GIT_COMMITTER_EMAIL", "renga@localhost"),
    ("GIT_AUTHOR_NAME", "Renga"),
    ("GIT_AUTHOR_EMAIL", "renga@localhost"),
];

const SETTINGS: [&str; 27] = [
    "safe.directory=*",
    "init.defaultBranch=main",
    // No transport leads out of here; the submodule fetch opens https for itself.
    "protocol.allow=never",
    "credential.helper=",
    "core.askPass=",
    "core.fsmonitor=false",
    // Objects are on disk before a staging ref names them.
    "core.fsync=committed,loose-object",
    "core.fsyncMethod=batch",
    // Memory of one git process: big files stream, windows are small.
    "core.bigFileThreshold=32m",
    "pack.windowMemory=64m",
    "pack.deltaCacheSize=64m",
    "pack.threads=1",
    // Every ref goes through the hook.
    "receive.procReceiveRefs=refs/",
    "receive.fsckObjects=true",
    // Harmless blemishes of old histories, which no user can mend.
    "receive.fsck.badTimezone=ignore",
    "receive.fsck.missingSpaceBeforeDate=ignore",
    "receive.fsck.zeroPaddedFilemode=ignore",
    // One update at a time is all that the gate can promise.
    "receive.advertiseAtomic=false",
    "receive.advertisePushOptions=false",
    "receive.denyDeletes=true",
    "transfer.hideRefs=refs/renga/",
    // Collection is ours to start: a detached one would outlive its push and nobody would own it.
    "receive.autogc=false",
    "gc.auto=2000",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "maintenance.autoDetach=false",
    "gc.writeCommitGraph=false",
];

/// A started git. Its pipes are taken from `stdin`, `stdout` and `stderr`.
#[derive(Debug)]
pub(crate) struct GitProcess {
    /// None once it has been waited for.
    child: Option<Child>,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
    tasks: TaskTracker,
    runtime: Handle,
}

impl GitProcess {
    pub(crate) fn spawn(mut command: Command, tasks: &TaskTracker) -> io::Result<Self> {
        let mut child = command.spawn()?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child: Some(child),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        })
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Hands the process to a task of its own; works outside of the runtime too, in a `drop`.
    pub(crate) fn spawn_with<F: Future<Output = ()> + Send + 'static>(self, work: impl FnOnce(Self) -> F) {
        let (tasks, runtime) = (self.tasks.clone(), self.runtime.clone());
        tasks.spawn_on(work(self), &runtime);
    }

    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let child = self.child.as_mut().ok_or_else(|| io::Error::other("waited for twice"))?;
        let status = child.wait().await?;
        self.child = None;
        Ok(status)
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.tasks.spawn_on(end(child), &self.runtime);
        }
    }
}

async fn end(mut child: Child) {
    signal_group(&child, Signal::TERM);
    if tokio::time::timeout(ABANDON_GRACE, child.wait()).await.is_err() {
        signal_group(&child, Signal::KILL);
        if let Err(error) = child.wait().await {
            tracing::warn!(error = %error, "could not wait for a git process");
        }
    }
}

/// Only for a leader that has not been reaped: until then its id cannot belong to another.
fn signal_group(leader: &Child, signal: Signal) {
    let id = leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id
        && let Err(error) = kill_process_group(id, signal)
    {
        tracing::debug!(error = %error, "could not signal a git process");
    }
}

// === a command and its answer ===

/// What a command is given and how much of it is too much.
pub(crate) struct Run<'a> {
    pub(crate) operation: &'static str,
    pub(crate) input: &'a [u8],
    pub(crate) output_bytes_max: u64,
    pub(crate) time_max: Duration,
    pub(crate) tasks: &'a TaskTracker,
}

impl Run<'_> {
    /// Runs to the end and returns standard output.
    pub(crate) async fn output(&self, mut command: Command) -> Result<Vec<u8>, GitError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let work = self.output_untimed(command);
        tokio::time::timeout(self.time_max, work).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    async fn output_untimed(&self, command: Command) -> Result<Vec<u8>, GitError> {
        let mut process = GitProcess::spawn(command, self.tasks).map_err(self.io())?;
        let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let write = async {
            // A git that does not want its input says so by its exit status.
            if let Some(mut stdin) = stdin {
                stdin.write_all(self.input).await.or_else(broken_pipe_is_fine)?;
            }
            Ok(())
        };
        let (_, output, complaint) = tokio::try_join!(
            write,
            read_at_most(stdout, self.output_bytes_max + 1),
            read_at_most(stderr, STDERR_BYTES_MAX)
        )
        .map_err(self.io())?;
        if output.len() as u64 > self.output_bytes_max {
            return Err(self.refused(format!("more than {} bytes of output", self.output_bytes_max)));
        }
        let status = process.wait().await.map_err(self.io())?;
        self.judge(status, &complaint)?;
        Ok(output)
    }

    /// Streams standard output to `target`.
    pub(crate) async fn copy(
        &self,
        mut command: Command,
        target: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64, GitError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let work = async {
            let mut process = GitProcess::spawn(command, self.tasks).map_err(self.io())?;
            let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
            let copy = async {
                let mut from = BufReader::with_capacity(COPY_BYTES, stdout.ok_or_else(no_pipe)?);
                tokio::io::copy_buf(&mut (&mut from).take(self.output_bytes_max + 1), target).await
            };
            let (copied, complaint) =
                tokio::try_join!(copy, read_at_most(stderr, STDERR_BYTES_MAX)).map_err(self.io())?;
            if copied > self.output_bytes_max {
                return Err(self.refused(format!("more than {} bytes", self.output_bytes_max)));
            }
            let status = process.wait().await.map_err(self.io())?;
            self.judge(status, &complaint)?;
            Ok(copied)
        };
        tokio::time::timeout(self.time_max, work).await.unwrap_or_else(|_| Err(self.timed_out()))
    }

    fn judge(&self, status: ExitStatus, complaint: &[u8]) -> Result<(), GitError> {
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(complaint).trim().to_owned();
        Err(self.refused(if said.is_empty() { status.to_string() } else { said }))
    }

    pub(crate) fn refused(&self, stderr: String) -> GitError {
        GitError::Command { operation: self.operation, stderr }
    }

    pub(crate) fn io(&self) -> impl Fn(io::Error) -> GitError + use<> {
        let operation = self.operation;
        move |cause| GitError::Io { operation, cause }
    }

    fn timed_out(&self) -> GitError {
        GitError::TimedOut { operation: self.operation, seconds: self.time_max.as_secs() }
    }
}

const COPY_BYTES: usize = 256 * 1024;

/// The first bytes of a pipe; the rest is left in it (and lets the process wait or fail).
pub(crate) async fn read_at_most(
    pipe: Option<impl AsyncRead + Unpin>,
    bytes_max: u64,
) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    pipe.ok_or_else(no_pipe)?.take(bytes_max).read_to_end(&mut read).await?;
    Ok(read)
}

fn broken_pipe_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

fn no_pipe() -> io::Error {
    io::Error::other("a pipe of the process is missing")
}

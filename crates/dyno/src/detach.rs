//! Leaving the starter behind: its session, its terminal, its signals, its descriptors.
#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::{
    fs::Mode,
    process::{chdir, setsid, umask},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use crate::error::SupervisorError;

/// Nothing of these may end a supervisor; SIGTERM at shutdown reaches the dyno's own processes as well.
const IGNORED: [i32; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

pub(crate) enum Side {
    /// The process that was started: it has nothing more to do.
    Starter,
    Supervisor,
}

/// Forks twice with a session between, so that the supervisor belongs to nobody. Standard output stays for the answer.
pub(crate) fn detach(directory: &Path) -> Result<Side, SupervisorError> {
    let log = directory.join("supervisor.log");
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log)
        .map_err(SupervisorError::io("open", log.display()))?;
    let null =
        OpenOptions::new().read(true).open("/dev/null").map_err(SupervisorError::io("open", "/dev/null"))?;
    if fork().map_err(SupervisorError::io("fork", "the supervisor"))? {
        return Ok(Side::Starter);
    }
    settle(&log, &null).map_err(SupervisorError::io("detach", "the supervisor"))?;
    std::mem::forget((log, null));
    Ok(Side::Supervisor)
}

/// The rest, in the process that is to be the supervisor. Closes all descriptors but the standard ones.
fn settle(log: &File, null: &File) -> io::Result<()> {
    setsid()?;
    if fork()? {
        // SAFETY: ends this process without running anything of the parent's; it only stood between the sessions.
        unsafe { libc::_exit(0) }
    }
    ignore_signals();
    keep_deadlines();
    dup2_stdin(null)?;
    dup2_stderr(log)?;
    // SAFETY: closes what a starter leaked to us. The caller uses `log` and `null` no more and forgets them.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    rustix::thread::set_thread_groups(&[])?;
    umask(Mode::from_raw_mode(0o022));
    Ok(chdir("/")?)
}

/// `select` goes on after the freezer with the time that was left before it: a gunicorn worker that sleeps 15 s would
/// sleep so long without the time in the freezer, and give its master no sign meanwhile. With this trait, which a dyno's
/// processes inherit, it is interrupted instead, and whoever called it looks at the clock.
fn keep_deadlines() {
    const STICKY_TIMEOUTS: libc::c_ulong = 0x0400_0000;
    // SAFETY: sets a flag of this process.
    if unsafe { libc::personality(STICKY_TIMEOUTS) } == -1 {
        note(&format!("could not set the personality: {}", io::Error::last_os_error()));
    }
}

/// Ends the answer: whoever reads it sees the end of the file.
pub(crate) fn close_answer() {
    let null = OpenOptions::new().write(true).open("/dev/null");
    if let Err(error) = null.and_then(|null| Ok(dup2_stdout(&null)?)) {
        note(&format!("could not close the answer: {error}"));
    }
}

/// A line for the operator in `supervisor.log`; there is nobody else to tell.
pub(crate) fn note(text: &str) {
    let line = format!("{} {text}\n", jiff::Timestamp::now());
    io::stderr().write_all(line.as_bytes()).unwrap_or_default();
}

/// Whether this is the parent.
fn fork() -> io::Result<bool> {
    // SAFETY: the supervisor has one thread, so the child finds every lock free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(false),
        _ => Ok(true),
    }
}

fn ignore_signals() {
    for signal in IGNORED {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Gives back what parsing and making needed: a supervisor lives long and idle.
pub(crate) fn trim_memory() {
    // SAFETY: only returns free pages of the allocator to the system.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

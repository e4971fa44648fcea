//! PID 1 of the container: runs the command, reaps orphans, passes signals on.
//!
//! It is the supervisor's own code, forked by the container library and never exec'd, so it needs nothing of the stack
//! image. By the time it runs, the namespaces, the user, the missing capabilities and the seccomp filter are in force.
//!
//! Signals tell by their sender what they mean:
//!
//! | from | signal | what happens |
//! | --- | --- | --- |
//! | outside (the supervisor) | any | to every process of the container, at once and without a race |
//! | outside | SIGTERM | besides, the init ends only when all processes are gone, not with the command |
//! | inside | any | to the command |
//!
//! What the supervisor wants run besides, it runs as well (see `inside`).
//!
//! It ends with the command's exit code, or 128 + the signal's number; the kernel then ends the rest.
#![allow(unsafe_code)]

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, c_char},
    io::Write,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
    sync::Arc,
};

use libcontainer::{
    oci_spec::runtime::Spec,
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use renga_model::Secret;
use renga_supervision::{ExecOrder, SupervisorSpec};

use crate::inside::{CHANNEL, Inside};

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// As shells answer.
const CODE_NOT_FOUND: i32 = 127;
const CODE_NOT_RUNNABLE: i32 = 126;
const CODE_SIGNAL_BASE: i32 = 128;
/// Senders of signals, as seen from inside the pid namespace.
const INIT_PID: i32 = 1;
const OUTSIDE_PID: i32 = 0;

/// The command, ready for `execve`. Secrets are in its environment, so it never becomes part of a file.
#[derive(Clone)]
pub(crate) struct Init {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Where the program is looked for, in order.
    candidates: Vec<CString>,
    tty: bool,
    /// Our end of the supervisor's channel (see `exec`).
    channel: Arc<OwnedFd>,
}

/// A word that can't be passed to a program: it has a NUL in it.
#[derive(Debug, thiserror::Error)]
#[error("a word of the command or its environment contains a NUL")]
pub(crate) struct NulInside;

impl Init {
    pub(crate) fn new(spec: &SupervisorSpec, channel: Arc<OwnedFd>) -> Result<Self, NulInside> {
        let path = spec.env.get("PATH").map_or(PATH_DEFAULT, |path| path.expose());
        Ok(Self {
            argv: words(&spec.argv)?,
            env: settings(&spec.env)?,
            candidates: words(&candidates(&spec.argv, path))?,
            tty: spec.tty.is_some(),
            channel,
        })
    }

    /// Another command with this one's environment, and what the order adds to it.
    pub(crate) fn with(&self, order: &ExecOrder) -> Result<Self, NulInside> {
        let name =
            |setting: &CString| setting.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let added = settings(&order.env)?;
        let names: Vec<_> = added.iter().map(name).collect();
        let kept = self.env.iter().filter(|setting| !names.contains(&name(setting)));
        Ok(Self {
            argv: words(&order.argv)?,
            env: kept.chain(&added).cloned().collect(),
            candidates: words(&candidates(&order.argv, PATH_DEFAULT))?,
            tty: order.tty.is_some(),
            channel: self.channel.clone(),
        })
    }
}

fn words(texts: &[String]) -> Result<Vec<CString>, NulInside> {
    texts.iter().map(|text| CString::new(text.as_str()).map_err(|_| NulInside)).collect()
}

fn settings(env: &BTreeMap<String, Secret>) -> Result<Vec<CString>, NulInside> {
    let setting = |(key, value): (&String, &Secret)| CString::new(format!("{key}={}", value.expose()));
    env.iter().map(|pair| setting(pair).map_err(|_| NulInside)).collect()
}

fn candidates(argv: &[String], path: &str) -> Vec<String> {
    let program = argv.first().map_or("", String::as_str);
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders
        .map(|folder| Path::new(OsStr::from_bytes(folder.as_bytes())).join(program).display().to_string())
        .collect()
}

// === impl Executor for Init ===

impl Executor for Init {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        // SAFETY: plain system calls on this process, which has one thread.
        let command = unsafe {
            if self.tty {
                // The command's session takes the terminal over.
                libc::ioctl(0, libc::TIOCNOTTY);
            }
            libc::fork()
        };
        match command {
            -1 => Err(ExecutorError::Other("could not fork the command".into())),
            0 => run_command(self),
            command => be_init(self, command),
        }
    }

    /// Runs before the supervisor learns that the container is made. From here on signals wait until the init's loop
    /// takes them, so that no stop is lost, however early it comes. Whether the program is there is not looked at: that
    /// is the command's failure (127), not the container's.
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        let all = all_signals();
        // SAFETY: blocks signals in this process, which has one thread.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) };
        Ok(())
    }

    /// The environment goes to the command alone.
    fn setup_envs(&self, _: std::collections::HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }
}

fn all_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initializes the whole set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

// === the command's side ===

/// In a fresh child whose standard streams are in place.
pub(crate) fn run_command(init: &Init) -> ! {
    // SAFETY: plain system calls in a fresh single-threaded child. The arrays passed to execve end with a null pointer
    // and borrow strings that live until then.
    unsafe {
        libc::setsid();
        if init.tty {
            libc::ioctl(0, libc::TIOCSCTTY, 0);
        }
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        let argv = pointers(&init.argv);
        let env = pointers(&init.env);
        let mut error = libc::ENOENT;
        for candidate in &init.candidates {
            libc::execve(candidate.as_ptr(), argv.as_ptr(), env.as_ptr());
            let now = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOENT);
            // As shells do: something that is there but can't run is better news than nothing there.
            if now != libc::ENOENT && now != libc::ENOTDIR {
                error = now;
            }
        }
        libc::_exit(report(init, error))
    }
}

fn report(init: &Init, error: i32) -> i32 {
    let program = init.argv.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
    let cause = std::io::Error::from_raw_os_error(error);
    let line = format!("could not run {program:?}: {cause}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    if error == libc::ENOENT { CODE_NOT_FOUND } else { CODE_NOT_RUNNABLE }
}

fn pointers(words: &[CString]) -> Vec<*const c_char> {
    words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
}

// === the init's side ===

fn be_init(init: &Init, command: i32) -> ! {
    let_go(init.channel.as_raw_fd());
    let signals = signals_to_read();
    let mut container = Inhabitants { command, code: None, waits_for_all: false, inside: Inside::new() };
    loop {
        let ready = wait_for([signals, CHANNEL]);
        if ready[0] {
            while let Some((signal, from)) = next_signal(signals) {
                container.take_signal(signal, from);
            }
        }
        if ready[1] {
            container.inside.turn(init);
        }
        if let Some(code) = container.code
            && !container.must_wait()
        {
            // SAFETY: ends the container.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Who lives here besides the init.
struct Inhabitants {
    command: i32,
    /// Once the command has ended.
    code: Option<i32>,
    waits_for_all: bool,
    inside: Inside,
}

impl Inhabitants {
    fn take_signal(&mut self, signal: i32, from: i32) {
        match signal {
            libc::SIGCHLD => while self.reap_one() == Reaped::One {},
            // The kernel, or the hangup of the terminal that the init gave up itself.
            _ if from == INIT_PID => {}
            _ if from == OUTSIDE_PID => {
                // SAFETY: kill takes numbers. From here -1 means everything in the namespace but this process.
                unsafe { libc::kill(-1, signal) };
                if signal == libc::SIGTERM {
                    self.waits_for_all = true;
                    self.inside.signal_all(libc::SIGHUP);
                }
            }
            // SAFETY: as above. The command may have ended; then nobody is hit, its number is not given out again here
            // before the init ends.
            _ if self.code.is_none() => unsafe {
                libc::kill(self.command, signal);
            },
            _ => {}
        }
    }

    /// Whether something that was asked to end is still about it.
    fn must_wait(&mut self) -> bool {
        if !self.waits_for_all {
            return false;
        }
        // Nobody waits for a person's shell.
        self.inside.signal_all(libc::SIGKILL);
        self.reap_one() != Reaped::NoChildren
    }

    fn reap_one(&mut self) -> Reaped {
        let mut status = 0;
        // SAFETY: collects an ended child, if there is one.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            ..0 => return Reaped::NoChildren,
            0 => return Reaped::None,
            _ => {}
        }
        let code = match libc::WIFSIGNALED(status) {
            true => CODE_SIGNAL_BASE + libc::WTERMSIG(status),
            false => libc::WEXITSTATUS(status),
        };
        if pid == self.command {
            self.code = Some(code);
        } else {
            self.inside.reaped(pid, code);
        }
        Reaped::One
    }
}

#[derive(PartialEq, Eq)]
enum Reaped {
    One,
    None,
    NoChildren,
}

/// The init holds none of the command's descriptors open, dies with its supervisor, and has a name of its own. Nobody
/// looks into its memory, where the environment of later processes is.
fn let_go(channel: RawFd) {
    // SAFETY: plain system calls; nothing in this process uses a descriptor by number afterwards but the channel's.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        libc::prctl(libc::PR_SET_NAME, c"init".as_ptr());
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        if channel != CHANNEL {
            libc::dup3(channel, CHANNEL, libc::O_CLOEXEC);
        }
        libc::close_range(4, libc::c_uint::MAX, 0);
    }
    crate::detach::trim_memory();
}

fn signals_to_read() -> RawFd {
    let all = all_signals();
    // SAFETY: makes a descriptor, which this process keeps until its end.
    unsafe { libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }
}

/// Who sent it: the init's number stands for the kernel, too.
fn next_signal(signals: RawFd) -> Option<(i32, i32)> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let bytes = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the kernel fills `info`, for which zeros are a value already, or leaves it.
    let (read, info) = unsafe {
        let read = libc::read(signals, info.as_mut_ptr().cast(), bytes);
        (read, info.assume_init())
    };
    if usize::try_from(read) != Ok(bytes) {
        return None;
    }
    let from = if info.ssi_code > 0 { INIT_PID } else { info.ssi_pid.cast_signed() };
    Some((info.ssi_signo.cast_signed(), from))
}

fn wait_for(descriptors: [RawFd; 2]) -> [bool; 2] {
    let mut polled = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    // SAFETY: the array has as many elements as is said. Failed, nothing is ready, and the loop looks again.
    unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) };
    polled.map(|one| one.revents != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_shells_do() {
        let candidates = |program: &str, path| candidates(&[program.to_owned()], path);
        assert_eq!(candidates("/app/run", "/bin"), ["/app/run"]);
        assert_eq!(candidates("./run", "/bin"), ["./run"]);
        assert_eq!(candidates("run", "/bin::/usr/bin"), ["/bin/run", "/usr/bin/run"]);
    }
}

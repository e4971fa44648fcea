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
//! It ends with the command's exit code, or 128 + the signal's number; the kernel then ends the rest.
#![allow(unsafe_code)]

use std::{
    ffi::{CString, OsStr, c_char},
    io::Write,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

use libcontainer::{
    oci_spec::runtime::Spec,
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use renga_supervision::SupervisorSpec;

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
}

/// A word that can't be passed to a program: it has a NUL in it.
#[derive(Debug, thiserror::Error)]
#[error("a word of the command or its environment contains a NUL")]
pub(crate) struct NulInside;

impl Init {
    pub(crate) fn new(spec: &SupervisorSpec) -> Result<Self, NulInside> {
        let word = |text: String| CString::new(text).map_err(|_| NulInside);
        let path = spec.env.get("PATH").map_or(PATH_DEFAULT, |path| path.expose());
        let program = spec.argv.first().map_or("", String::as_str);
        Ok(Self {
            argv: spec.argv.iter().cloned().map(word).collect::<Result<_, _>>()?,
            env: spec
                .env
                .iter()
                .map(|(key, value)| word(format!("{key}={}", value.expose())))
                .collect::<Result<_, _>>()?,
            candidates: candidates(program, path).into_iter().map(word).collect::<Result<_, _>>()?,
            tty: spec.tty.is_some(),
        })
    }
}

fn candidates(program: &str, path: &str) -> Vec<String> {
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
            command => be_init(command),
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

fn run_command(init: &Init) -> ! {
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

fn be_init(command: i32) -> ! {
    let_go();
    let all = all_signals();
    let mut code = None;
    let mut waits_for_all = false;
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: waits for a blocked signal; the kernel fills `info`, for which zeros are a value already.
        let (signal, from) = unsafe {
            let signal = libc::sigwaitinfo(&raw const all, info.as_mut_ptr());
            let info = info.assume_init_ref();
            (signal, if info.si_code > 0 { INIT_PID } else { info.si_pid() })
        };
        match signal {
            ..=0 => {}
            libc::SIGCHLD => reap(command, &mut code),
            // The kernel, or the hangup of the terminal that the init gave up itself.
            _ if from == INIT_PID => {}
            // SAFETY: kill takes numbers. From here -1 means everything in the namespace but this process.
            _ if from == OUTSIDE_PID => unsafe {
                waits_for_all |= signal == libc::SIGTERM;
                libc::kill(-1, signal);
            },
            // SAFETY: as above. The command may have ended; then nobody is hit, its number is not given out again here
            // before the init ends.
            _ if code.is_none() => unsafe {
                libc::kill(command, signal);
            },
            _ => {}
        }
        if let Some(code) = code
            && !(waits_for_all && has_children())
        {
            // SAFETY: ends the container.
            unsafe { libc::_exit(code) }
        }
    }
}

/// The init holds none of the command's descriptors open, dies with its supervisor, and has a name of its own.
fn let_go() {
    // SAFETY: plain system calls; nothing in this process uses a descriptor by number afterwards.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NAME, c"init".as_ptr());
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
    crate::detach::trim_memory();
}

fn reap(command: i32, code: &mut Option<i32>) {
    loop {
        let mut status = 0;
        // SAFETY: collects an ended child, if there is one.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return;
        }
        if pid == command {
            *code = Some(if libc::WIFSIGNALED(status) {
                CODE_SIGNAL_BASE + libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            });
        }
    }
}

fn has_children() -> bool {
    let mut status = 0;
    // SAFETY: as in `reap`; an ended child that is collected here was an orphan.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    pid >= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_shells_do() {
        assert_eq!(candidates("/app/run", "/bin"), ["/app/run"]);
        assert_eq!(candidates("./run", "/bin"), ["./run"]);
        assert_eq!(candidates("run", "/bin::/usr/bin"), ["/bin/run", "/usr/bin/run"]);
    }
}

//! Starting a program as somebody else, with one extra group that lets it pass a guarded directory.

use std::{io, os::unix::process::CommandExt, process::Command};

/// The program will run as `id:id` with the supplementary group `pass`, in a process group of its own, unable to
/// gain privileges, and with files of at most `file_bytes_max`.
pub(crate) fn become_user(command: &mut Command, id: u32, pass: u32, file_bytes_max: u64) {
    let limit = libc::rlimit { rlim_cur: file_bytes_max, rlim_max: file_bytes_max };
    let change = move || {
        let groups = [pass];
        // SAFETY: plain system calls on values owned by this closure; nothing allocates between fork and exec.
        let failed = unsafe {
            libc::setpgid(0, 0) != 0
                || libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) != 0
                || libc::setgroups(groups.len(), groups.as_ptr()) != 0
                || libc::setresgid(id, id, id) != 0
                || libc::setresuid(id, id, id) != 0
                || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: `change` is async-signal-safe: see above.
    unsafe { command.pre_exec(change) };
}

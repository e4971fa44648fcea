//! Running a program of the system: argument vector, empty environment, a time limit, and its words in the error.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::error::{Doing, HandError, Result};

/// What of a program's output is kept.
const SAID_BYTES_MAX: u64 = 64 * 1024;
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with a clean environment.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C").current_dir("/");
    command
}

/// Whether the program is on this machine.
pub(crate) fn exists(program: &str) -> bool {
    SEARCH_PATH.split(':').any(|folder| std::path::Path::new(folder).join(program).is_file())
}

/// Runs it to its end; gives standard output. Both outputs are bounded; the rest is thrown away.
pub(crate) fn run(mut command: Command, input: &str, time_max: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().doing("run", &name)?;
    let said = thread::scope(|scope| {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // A program that does not read its input has its own reasons; its exit status tells.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes()).ok()));
        let stdout = scope.spawn(move || collect(stdout));
        let stderr = scope.spawn(move || collect(stderr));
        let ended = wait(&mut child, time_max);
        (ended, stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default())
    });
    match said {
        (Ok(Some(status)), stdout, _) if status.success() => Ok(stdout),
        (Ok(Some(status)), stdout, stderr) => {
            let words = if stderr.trim().is_empty() { stdout } else { stderr };
            Err(HandError::Program { program: name, said: format!("{status}: {}", words.trim()) })
        }
        (Ok(None), ..) => {
            Err(HandError::Program { program: name, said: format!("no end within {time_max:?}") })
        }
        (Err(error), ..) => Err(error).doing("wait for", &name),
    }
}

/// `None` when the time was over; the program has then been killed.
fn wait(child: &mut Child, time_max: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + time_max;
    let pid = Pid::from_child(child);
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let timeout = Timespec::try_from(left).ok();
        poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], timeout.as_ref())
            .or_else(|error| if error == rustix::io::Errno::INTR { Ok(0) } else { Err(error) })?;
    }
}

fn collect(pipe: Option<impl Read>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut kept = Vec::new();
    // A broken pipe ends the collection; the exit status tells the rest.
    pipe.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut kept).ok();
    std::io::copy(&mut pipe, &mut std::io::sink()).ok();
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_end_fail_and_are_cut_short() {
        assert_eq!(run(command("cat"), "hello", Duration::from_secs(5)).unwrap(), "hello");
        let failed = run(command("ls"), "", Duration::from_secs(5));
        assert!(failed.is_ok());
        let mut missing = command("ls");
        missing.arg("/no/such");
        assert!(run(missing, "", Duration::from_secs(5)).unwrap_err().to_string().contains("/no/such"));
        let mut slow = command("sleep");
        slow.arg("60");
        let error = run(slow, "", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("no end within"), "{error}");
    }
}

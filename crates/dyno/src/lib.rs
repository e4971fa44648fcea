//! The supervisor of one dyno: makes its container, keeps its output, and tells how it ended.
//!
//! `renga node` starts one per dyno, writes the [`SupervisorSpec`](renga_supervision::SupervisorSpec) to its standard
//! input, and reads one line of answer. By then the supervisor has left the node behind: its own session, its own
//! parent, every signal ignored. It outlives node, server and router, and their upgrades; whoever comes next talks to
//! it through the files and sockets in the dyno's directory (see `renga-supervision`).
//!
//! ```text
//! (spec) ──made──> Running ──ask, time to live──> Stopping ──grace over──> Killed ──┐
//!    │                │ └────────out of memory──────────│───────────────────> ^     │
//!    │                └─────────init gone──────────────>├<─────────init gone────────┘
//!    └─can't──> (answer: failed)                        v
//!                                       Draining ──taken, or nobody takes it──> (exit.json)
//! ```
//!
//! * `ask`, `time to live`: SIGTERM to every process inside; the container's init then waits for all of them.
//! * `grace over`, `out of memory`: SIGKILL to the init, and with it to everything in its pid namespace. An
//!   out-of-memory kill of any process ends the whole dyno: half a dyno helps nobody.
//! * `init gone`: the kernel has by then ended every process of the namespace.
//! * `taken`: what was written before the end is in the log, or with the attached client.
//!
//! **Processes.** The supervisor (root, a cgroup of its own beside the container's), and inside the container the
//! init (PID 1; a fork of the supervisor, so that no stack image has to bring one), which reaps orphans and runs the
//! command. If the supervisor is killed, the kernel kills the init: no dyno runs unsupervised.
//!
//! What the dyno's owner runs inside besides the command is forked by the init, too (see `exec`).
//!
//! **What it refuses.** It parses nothing from the dyno but replies of nine bytes from the init, opens no network socket,
//! raises no limit, and takes orders only through `control.sock` (root), `attach.sock` and `exec.sock` (the server's
//! uid). There is one thread and one poll loop;
//! every buffer has a bound.

mod attached;
mod cgroup;
mod container;
mod control;
mod detach;
mod error;
mod exec;
mod init;
mod inside;
mod lines;
mod logged;
mod oci;
mod poll;
mod rate;
mod seccomp;
mod sockets;
mod supervise;

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use error::SupervisorError;
use renga_supervision::{PROTOCOL_VERSION, StartAnswer, SupervisorSpec};

/// A spec: config vars have at most 64 KiB, commands too; quoted as JSON at worst.
const SPEC_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The program. Returns in the first process as soon as the supervisor is on its own.
pub fn run() -> ExitCode {
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(error) => {
            answer(&StartAnswer::Failed(error.chain()));
            return ExitCode::FAILURE;
        }
    };
    match detach::detach(&spec.directory) {
        Ok(detach::Side::Starter) => ExitCode::SUCCESS,
        Ok(detach::Side::Supervisor) => supervise(spec),
        Err(error) => {
            answer(&StartAnswer::Failed(error.chain()));
            ExitCode::FAILURE
        }
    }
}

fn supervise(spec: SupervisorSpec) -> ExitCode {
    let mut supervisor = match supervise::Supervisor::start(spec) {
        Ok(supervisor) => supervisor,
        Err(error) => {
            answer(&StartAnswer::Failed(error.chain()));
            return ExitCode::FAILURE;
        }
    };
    answer(&StartAnswer::Started(supervisor.state().clone()));
    detach::close_answer();
    match supervisor.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            detach::note(&error.chain());
            ExitCode::FAILURE
        }
    }
}

fn read_spec() -> Result<SupervisorSpec, SupervisorError> {
    let mut text = Vec::new();
    std::io::stdin()
        .take(SPEC_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(SupervisorError::io("read the spec from", "standard input"))?;
    let spec: SupervisorSpec = serde_json::from_slice(&text).map_err(SupervisorError::Spec)?;
    if spec.version != PROTOCOL_VERSION {
        return Err(SupervisorError::Refused(format!(
            "the spec has version {}, this supervisor speaks {PROTOCOL_VERSION}",
            spec.version
        )));
    }
    if spec.argv.is_empty() {
        return Err(SupervisorError::Refused("the spec has no command".into()));
    }
    Ok(spec)
}

/// The one line. Whoever asked may be gone by now; the dyno is not worse for it.
fn answer(answer: &StartAnswer) {
    let mut line = serde_json::to_vec(answer).expect("an answer has no maps with odd keys");
    line.push(b'\n');
    if let Err(error) = std::io::stdout().write_all(&line).and_then(|()| std::io::stdout().flush()) {
        detach::note(&format!("could not answer: {error}"));
    }
}

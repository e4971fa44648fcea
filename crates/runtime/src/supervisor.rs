//! Starting supervisors, and talking to them.
//!
//! A supervisor runs from a copy that is named by its content, so that an upgrade of the program on disk never touches
//! one that runs. It is given its order on standard input, answers one line, and lives on by itself.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use renga_supervision::{Control, ControlAnswer, SupervisorSpec};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{
    disk::unique,
    error::{Doing, Result},
    files::directory,
    paths::Paths,
    program,
};

const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const CONTROL_TIMEOUT: Duration = Duration::from_secs(5);

/// A supervisor that has its order. The process that was started forks the supervisor proper and ends.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) starter: Child,
    pub(crate) answer: ChildStdout,
}

/// Copies the program to where it stays as long as something runs from it.
pub(crate) fn install(paths: &Paths, program: &Path) -> Result<PathBuf> {
    // In pieces: what the allocator once had for a whole program, it keeps.
    let mut content = File::open(program).doing("open the supervisor", program.display())?;
    let mut digest = Sha256::new();
    io::copy(&mut content, &mut digest).doing("read the supervisor", program.display())?;
    let folder = paths.programs().join(hex::encode(digest.finalize()));
    let target = folder.join("renga-dyno");
    if target.exists() {
        return Ok(target);
    }
    directory(&folder, 0o755)?;
    let temporary = paths.temporary().join(format!("program-{}", unique()));
    let mut write = || -> io::Result<()> {
        let mut file = File::create_new(&temporary)?;
        content.rewind()?;
        io::copy(&mut content, &mut file)?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &target)
    };
    write().doing("install the supervisor as", target.display())?;
    Ok(target)
}

/// Removes copies that are neither the present one nor what a process runs from.
pub(crate) fn remove_old(paths: &Paths, current: &Path) -> Result<()> {
    let folder = paths.programs();
    let used: Vec<PathBuf> = fs::read_dir("/proc")
        .doing("list", "/proc")?
        .filter_map(io::Result::ok)
        .filter_map(|entry| fs::read_link(entry.path().join("exe")).ok())
        .collect();
    for entry in fs::read_dir(&folder).doing("list", folder.display())?.flatten() {
        let program = entry.path().join("renga-dyno");
        if program != current && !used.contains(&program) {
            fs::remove_dir_all(entry.path()).doing("remove", entry.path().display())?;
        }
    }
    Ok(())
}

pub(crate) fn launch(program: &Path, spec: &SupervisorSpec) -> Result<Launched> {
    let order = serde_json::to_vec(spec).map_err(io::Error::from).doing("write", "the supervisor's order")?;
    let mut command = program::command(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut starter = command.spawn().doing("run", program.display())?;
    match give_order(&mut starter, &order) {
        Ok(answer) => Ok(Launched { starter, answer }),
        Err(error) => {
            // It has no order or half of one; it must not linger.
            starter.kill().ok();
            starter.wait().ok();
            Err(error).doing("give its order to", program.display())
        }
    }
}

fn give_order(starter: &mut Child, order: &[u8]) -> io::Result<ChildStdout> {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    // Closed at the end of this line: that is the end of the order.
    starter.stdin.take().ok_or_else(closed)?.write_all(order)?;
    starter.stdout.take().ok_or_else(closed)
}

/// The one line that a supervisor prints; empty when it ended without a word.
pub(crate) async fn answer_line(stdout: ChildStdout) -> io::Result<String> {
    let stdout = tokio::process::ChildStdout::from_std(stdout)?;
    let mut line = String::new();
    BufReader::new(stdout.take(ANSWER_BYTES_MAX)).read_line(&mut line).await?;
    Ok(line)
}

/// One request on `control.sock`.
pub(crate) async fn control(socket: &Path, request: &Control) -> io::Result<ControlAnswer> {
    let talk = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::from)
    };
    tokio::time::timeout(CONTROL_TIMEOUT, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

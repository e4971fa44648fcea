//! Making the container and taking it down, by youki's library.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, MetadataExt, fchown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use libcontainer::{
    container::{Container as Inner, builder::ContainerBuilder},
    syscall::syscall::SyscallType,
};
use renga_supervision::SupervisorSpec;
use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Resource, Signal},
    termios::{Winsize, tcsetwinsize},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{cgroup::Cgroup, error::SupervisorError, init::Init, oci, sockets};

/// A container that has been made, or runs, or has run.
pub(crate) struct Container {
    inner: Inner,
    init: Pid,
    pidfd: OwnedFd,
    /// The library's files; gone when the container is.
    scratch: PathBuf,
}

/// Our ends of the dyno's standard streams; reading never blocks.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Input is empty; lines of either output are told apart.
    Logged {
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// Both outputs are one pipe, so that their order is kept.
    Piped {
        stdin: OwnedFd,
        output: OwnedFd,
    },
    Terminal(OwnedFd),
}

/// The container's ends.
struct Inside {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// How the init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Exit status, or 128 + the signal's number.
    pub code: i32,
}

impl Container {
    /// Makes the container; the command has not begun yet. On failure nothing is left.
    pub(crate) fn create(
        spec: &SupervisorSpec,
        cgroup: &Cgroup,
        channel: Arc<OwnedFd>,
    ) -> Result<(Self, Streams), SupervisorError> {
        check_passable(spec)?;
        check_cwd(spec)?;
        let init = Init::new(spec, channel).map_err(|error| SupervisorError::Refused(error.to_string()))?;
        let scratch = Scratch::make(&spec.directory.join("runtime"))?;
        let hard_files = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        scratch.write_config(&oci::config(spec, cgroup, hard_files))?;

        let (inside, mut streams) = streams(spec)?;
        let console = spec.tty.map(|_| sockets::listen(&scratch.console(), None)).transpose()?;
        let mut builder = ContainerBuilder::new(spec.label.id.to_string(), SyscallType::default())
            .with_root_path(scratch.state())
            .map_err(SupervisorError::container("place"))?
            .with_executor(init)
            .with_console_socket(console.as_ref().map(|_| scratch.console()));
        if let Some(inside) = inside {
            builder = builder.with_stdin(inside.stdin).with_stdout(inside.stdout).with_stderr(inside.stderr);
        }
        let builder = builder
            .validate_id()
            .map_err(SupervisorError::container("name"))?
            .as_init(&scratch.0)
            .with_systemd(false)
            .with_detach(true)
            .as_sibling(false);
        let inner = {
            let _there = InNetwork::enter(&spec.netns)?;
            builder.build().map_err(SupervisorError::container("create"))?
        };
        let raw = inner.pid().map_or(0, |pid| pid.as_raw());
        let init = Pid::from_raw(raw)
            .ok_or_else(|| SupervisorError::Refused("the container has no process".into()))?;
        let pidfd = rustix::process::pidfd_open(init, PidfdFlags::empty())
            .map_err(SupervisorError::io("watch process", raw))?;
        let scratch = scratch.keep();
        let mut container = Self { inner, init, pidfd, scratch };
        let Some(console) = console else {
            return Ok((container, streams.expect("pipes without a terminal")));
        };
        match container.take_terminal(spec, &console) {
            Ok(terminal) => streams = Some(terminal),
            Err(error) => {
                container.delete()?;
                return Err(error);
            }
        }
        Ok((container, streams.expect("the terminal has come")))
    }

    /// Lets the command begin.
    pub(crate) fn start(&mut self) -> Result<(), SupervisorError> {
        self.inner.start().map_err(SupervisorError::container("start"))
    }

    pub(crate) fn init(&self) -> Pid {
        self.init
    }

    /// Readable when the init has ended.
    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// To the init, which passes it to all processes (see `init`); SIGKILL ends them all.
    pub(crate) fn signal(&self, signal: Signal) {
        // The init is our child and has not been waited for, so its number can't be another's.
        if let Err(error) = rustix::process::kill_process(self.init, signal) {
            crate::detach::note(&format!("could not send {signal:?} to the dyno: {error}"));
        }
    }

    /// Collects the init, if it has ended. The kernel lets it end last of its namespace.
    pub(crate) fn ended(&self) -> Result<Option<Ended>, SupervisorError> {
        let status = rustix::process::waitpid(Some(self.init), rustix::process::WaitOptions::NOHANG)
            .map_err(SupervisorError::io("wait for", "the dyno"))?;
        Ok(status.map(|(_, status)| {
            let by_signal = status.terminating_signal().map(|signal| 128 + signal);
            Ended { code: status.exit_status().or(by_signal).unwrap_or(255) }
        }))
    }

    /// Removes what the library made, the container's cgroup among it. Kills what still runs.
    pub(crate) fn delete(&mut self) -> Result<(), SupervisorError> {
        self.inner.delete(true).map_err(SupervisorError::container("delete"))?;
        fs::remove_dir_all(&self.scratch).map_err(SupervisorError::io("remove", self.scratch.display()))
    }

    fn take_terminal(
        &self,
        spec: &SupervisorSpec,
        console: &UnixListener,
    ) -> Result<Streams, SupervisorError> {
        let error = |operation| SupervisorError::io(operation, "the terminal");
        let master = receive_descriptor(console).map_err(error("receive"))?;
        if let Some(tty) = spec.tty {
            resize(&master, tty.columns, tty.rows).map_err(error("size"))?;
        }
        set_nonblocking(&master).map_err(error("set up"))?;
        // The library opened it as the container's root; programs that open their terminal by name need it to be the
        // user's. Nothing of the dyno's runs yet, so the path inside is still ours.
        let inside = Path::new("/proc").join(self.init.as_raw_pid().to_string()).join("root/dev/pts/0");
        let owner = Owner::of(spec);
        std::os::unix::fs::lchown(inside, Some(owner.uid), Some(owner.gid)).map_err(error("hand over"))?;
        Ok(Streams::Terminal(master))
    }
}

pub(crate) fn resize(terminal: &OwnedFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

// === streams ===

/// The container's ends, unless it has a terminal, and ours, unless a terminal comes later.
fn streams(spec: &SupervisorSpec) -> Result<(Option<Inside>, Option<Streams>), SupervisorError> {
    if spec.tty.is_some() {
        return Ok((None, None));
    }
    let make = || -> io::Result<(Inside, Streams)> {
        let owner = Owner::of(spec);
        let (output, stdout) = pipe(owner, End::Write)?;
        if spec.attach {
            let (stdin_inside, stdin) = pipe(owner, End::Read)?;
            let stderr = stdout.try_clone()?;
            return Ok((Inside { stdin: stdin_inside, stdout, stderr }, Streams::Piped { stdin, output }));
        }
        let (errors, stderr) = pipe(owner, End::Write)?;
        let stdin = File::open("/dev/null")?.into();
        Ok((Inside { stdin, stdout, stderr }, Streams::Logged { stdout: output, stderr: errors }))
    };
    let (inside, ours) = make().map_err(SupervisorError::io("make", "the dyno's pipes"))?;
    Ok((Some(inside), Some(ours)))
}

/// The dyno's user, as the host counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    pub(crate) fn of(spec: &SupervisorSpec) -> Self {
        Self { uid: spec.uid_base + spec.uid, gid: spec.uid_base + spec.gid }
    }
}

pub(crate) enum End {
    Read,
    Write,
}

/// A pipe (read end, write end) of which the dyno gets one end. That belongs to its user, so that `/dev/stdout` can be
/// opened by name; the other never blocks us.
pub(crate) fn pipe(owner: Owner, theirs: End) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (inside, ours) = match theirs {
        End::Read => (&read, &write),
        End::Write => (&write, &read),
    };
    fchown(inside, Some(owner.uid), Some(owner.gid))?;
    set_nonblocking(ours)?;
    Ok((read, write))
}

pub(crate) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// The library has connected and sent by now.
fn receive_descriptor(console: &UnixListener) -> io::Result<OwnedFd> {
    let (socket, _) = console.accept()?;
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message
            && let Some(descriptor) = descriptors.next()
        {
            return Ok(descriptor);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the library sent no terminal"))
}

// === namespaces and folders ===

/// This process is in the dyno's network while this lives. The container's processes inherit it: from inside their
/// user namespace they could not enter one that belongs to the host.
struct InNetwork {
    home: File,
}

impl InNetwork {
    fn enter(netns: &Path) -> Result<Self, SupervisorError> {
        let home = File::open("/proc/self/ns/net").map_err(SupervisorError::io("open", "our network"))?;
        let error = |operation| SupervisorError::io(operation, netns.display());
        let theirs = File::open(netns).map_err(error("open"))?;
        move_into_link_name_space(theirs.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|cause| error("enter")(io::Error::from(cause)))?;
        Ok(Self { home })
    }
}

impl Drop for InNetwork {
    fn drop(&mut self) {
        if let Err(error) = move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network)) {
            // Harmless: we use no network.
            crate::detach::note(&format!("could not leave the dyno's network: {error}"));
        }
    }
}

/// The container's root is a user without rights on the host, and mounts with these paths.
fn check_passable(spec: &SupervisorSpec) -> Result<(), SupervisorError> {
    let others_pass = |path: &Path| path.metadata().is_ok_and(|meta| meta.mode() & 0o001 != 0);
    for target in std::iter::once(&spec.rootfs).chain(spec.binds.iter().map(|bind| &bind.source)) {
        if let Some(closed) = target.ancestors().skip(1).find(|folder| !others_pass(folder)) {
            return Err(SupervisorError::Impassable(closed.to_owned()));
        }
    }
    Ok(())
}

/// The library's own error would not tell what is missing.
fn check_cwd(spec: &SupervisorSpec) -> Result<(), SupervisorError> {
    let inside = spec.rootfs.join(spec.cwd.trim_start_matches('/'));
    match inside.symlink_metadata() {
        Ok(meta) if meta.is_dir() || meta.is_symlink() => Ok(()),
        _ => Err(SupervisorError::Refused(format!("there is no folder {} to start in", spec.cwd))),
    }
}

/// A private folder for the library's configuration and state, removed on failure.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: &Path) -> Result<Self, SupervisorError> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SupervisorError::io("clear", path.display())(error));
            }
            _ => {}
        }
        let scratch = Self(path.to_owned());
        let make = |path: &Path| {
            DirBuilder::new().mode(0o700).create(path).map_err(SupervisorError::io("create", path.display()))
        };
        make(path)?;
        make(&scratch.state())?;
        Ok(scratch)
    }
    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
    fn console(&self) -> PathBuf {
        self.0.join("console.sock")
    }
    fn write_config(&self, config: &serde_json::Value) -> Result<(), SupervisorError> {
        let path = self.0.join("config.json");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|file| serde_json::to_writer(io::BufWriter::new(file), config).map_err(Into::into))
            .map_err(SupervisorError::io("write", path.display()))
    }
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }
}

//! Further processes of the dyno, at its owner's wish: the init's side of `exec` (whose page has the drawing).
//!
//! The init forks them, so they are what the command is: same user, namespaces, control group, limits and seccomp
//! filter, no capabilities, no way to new privileges. They get the dyno's environment, three streams that the supervisor
//! sent or a terminal of the dyno's own, and no other descriptor. Nothing of the host is in reach at any moment.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::{
    exec::{ORDER_BYTES_MAX, Reply, ToInit},
    init::{Init, run_command},
};

/// Where the init keeps its end of the channel.
pub(crate) const CHANNEL: RawFd = 3;
const STREAMS: usize = 3;

/// What runs besides the command.
pub(crate) struct Inside {
    runs: Vec<Run>,
}

struct Run {
    id: u32,
    /// Of the process, and of its group.
    pid: i32,
}

/// What the process reads and writes.
struct Streams {
    theirs: [OwnedFd; STREAMS],
    /// The other end of the terminal, for the supervisor.
    master: Option<OwnedFd>,
}

impl Inside {
    pub(crate) fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Takes one order. What can't be understood was not the supervisor's.
    pub(crate) fn turn(&mut self, init: &Init) {
        let Ok((bytes, streams)) = receive() else { return };
        match serde_json::from_slice(&bytes) {
            Ok(ToInit::Run { id, order }) => {
                let reply = match self.run(init, id, &order, streams) {
                    Ok(master) => (Reply::Started { id }, master),
                    Err(error) => {
                        (Reply::Refused { id, errno: error.raw_os_error().unwrap_or(libc::EINVAL) }, None)
                    }
                };
                send(&reply.0, reply.1.as_ref());
            }
            Ok(ToInit::Signal { id, number }) => {
                self.runs.iter().filter(|run| run.id == id).for_each(|run| run.signal(number));
            }
            Err(_) => {}
        }
        crate::detach::trim_memory();
    }

    /// Whether the process was one of these.
    pub(crate) fn reaped(&mut self, pid: i32, code: i32) -> bool {
        let Some(at) = self.runs.iter().position(|run| run.pid == pid) else { return false };
        let run = self.runs.swap_remove(at);
        send(&Reply::Ended { id: run.id, code }, None);
        true
    }

    /// The dyno ends: shells of people mind no SIGTERM.
    pub(crate) fn signal_all(&self, number: i32) {
        self.runs.iter().for_each(|run| run.signal(number));
    }

    fn run(
        &mut self,
        init: &Init,
        id: u32,
        order: &renga_supervision::ExecOrder,
        streams: Vec<OwnedFd>,
    ) -> io::Result<Option<OwnedFd>> {
        let program = init.with(order).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let Streams { theirs, master } = match order.tty {
            Some(tty) => terminal(tty.columns, tty.rows)?,
            None => {
                let theirs = <[OwnedFd; STREAMS]>::try_from(streams);
                Streams {
                    theirs: theirs.map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?,
                    master: None,
                }
            }
        };
        // SAFETY: this process has one thread; the child runs `begin` alone.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => begin(&program, &theirs),
            pid => {
                self.runs.push(Run { id, pid });
                Ok(master)
            }
        }
    }
}

impl Run {
    /// It has not been waited for, so the number is still its own.
    fn signal(&self, number: i32) {
        // SAFETY: kill takes numbers. Before the child has made its group there is only itself to be met.
        unsafe {
            if libc::kill(-self.pid, number) != 0 {
                libc::kill(self.pid, number);
            }
        }
    }
}

/// The child's side: its streams in place of the init's, and away. Everything else closes with the program's start.
fn begin(program: &Init, streams: &[OwnedFd; STREAMS]) -> ! {
    for (standard, stream) in (0..).zip(streams) {
        // SAFETY: the init's own standard streams are /dev/null, and no stream has a number below the channel's.
        unsafe { libc::dup2(stream.as_raw_fd(), standard) };
    }
    run_command(program)
}

/// A new one of the dyno's own `/dev/pts`, whose user it belongs to.
fn terminal(columns: u16, rows: u16) -> io::Result<Streams> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let peer = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call makes a descriptor that nobody else owns, or fails.
    let slave = unsafe {
        match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, peer) {
            -1 => return Err(io::Error::last_os_error()),
            number => OwnedFd::from_raw_fd(number),
        }
    };
    crate::container::resize(&master, columns, rows)?;
    let theirs = [slave.try_clone()?, slave.try_clone()?, slave];
    Ok(Streams { theirs, master: Some(master) })
}

// === the channel ===

fn channel() -> BorrowedFd<'static> {
    // SAFETY: the init put it there before anything else, and never closes it.
    unsafe { BorrowedFd::borrow_raw(CHANNEL) }
}

fn receive() -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; ORDER_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(channel(), &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    bytes.truncate(received.bytes);
    let mut streams = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            streams.extend(descriptors);
        }
    }
    Ok((bytes, streams))
}

/// A supervisor that does not take it has gone, and takes us along.
fn send(reply: &Reply, master: Option<&OwnedFd>) {
    use std::os::fd::AsFd;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let master = master.map(|master| [master.as_fd()]);
    if let Some(master) = &master {
        control.push(SendAncillaryMessage::ScmRights(master));
    }
    let bytes = reply.encode();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(channel(), &[IoSlice::new(&bytes)], &mut control, flags).ok();
}

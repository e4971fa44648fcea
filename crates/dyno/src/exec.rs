//! Processes that the dyno's owner starts inside the running dyno (`renga ps:exec`, `heroku run:inside`).
//!
//! ```text
//! server ── exec.sock ──> supervisor ── channel: order, streams ──> init ── fork ──> process
//!    order, then frames as on attach.sock  <──── started, its terminal ──┘             │
//!                          <──── ended, its code ─────────────────────────── reaped <──┘
//! ```
//!
//! * The init is inside already, so nothing enters the dyno from outside: no privileged process joins its namespaces,
//!   and no descriptor but the three streams goes in. What comes out are replies of a fixed size and a terminal, which is
//!   looked at before it is used.
//! * A client that goes away hangs up on the process and its group (SIGHUP, three times, then SIGKILL). What has left
//!   the group on purpose stays, as everything does, until the dyno ends.
//! * The dyno's end waits for none of them.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
    time::{Duration, Instant},
};

use renga_model::limits;
use renga_supervision::{DynoDirectory, ExecOrder, InputFrame, OutputFrame, SupervisorSpec, put_data};
use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socketpair,
    },
    process::Signal,
};
use serde::{Deserialize, Serialize};

use crate::{
    attached::{Attached, Wire},
    container::{End, Owner, pipe, set_nonblocking},
    detach::note,
    error::SupervisorError,
    poll::{Asked, Poll, Read, Ready, read_some},
    sockets,
};

/// At one time in one dyno.
const EXECS_MAX: usize = 16;
/// From the connection to the whole order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
/// An order is one frame of the client's, and a few words more.
pub(crate) const ORDER_BYTES_MAX: usize = renga_supervision::FRAME_DATA_BYTES_MAX + 1024;
const CHUNK_BYTES: usize = 4096;
/// As shells answer when a program can't be run.
const CODE_NOT_RUNNABLE: i32 = 126;
const CODE_KILLED: i32 = 137;
/// The device number of `ptmx`: the side of a terminal that a supervisor holds.
const TERMINAL_MASTER: (u32, u32) = (5, 2);

// === between supervisor and init ===

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToInit {
    /// With input, output and errors attached, unless the order says that it wants a terminal.
    Run {
        id: u32,
        order: ExecOrder,
    },
    Signal {
        id: u32,
        number: i32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// With the terminal attached, if there is one.
    Started {
        id: u32,
    },
    Refused {
        id: u32,
        errno: i32,
    },
    Ended {
        id: u32,
        code: i32,
    },
}

const REPLY_BYTES: usize = 9;

impl Reply {
    pub(crate) fn encode(self) -> [u8; REPLY_BYTES] {
        let (kind, id, value) = match self {
            Self::Started { id } => (1, id, 0),
            Self::Refused { id, errno } => (2, id, errno),
            Self::Ended { id, code } => (3, id, code),
        };
        let mut bytes = [kind; REPLY_BYTES];
        bytes[1..5].copy_from_slice(&id.to_le_bytes());
        bytes[5..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let [kind, a, b, c, d, e, f, g, h] = *bytes else { return None };
        let (id, value) = (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
        match kind {
            1 => Some(Self::Started { id }),
            2 => Some(Self::Refused { id, errno: value }),
            3 => Some(Self::Ended { id, code: value }),
            _ => None,
        }
    }
}

/// The supervisor's end, and the init's, which goes into the container.
pub(crate) fn channel() -> Result<(OwnedFd, Arc<OwnedFd>), SupervisorError> {
    let error = SupervisorError::io("make", "the channel to the init");
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(std::io::Error::from)
        .map_err(error)?;
    Ok((ours, Arc::new(theirs)))
}

// === the supervisor's side ===

pub(crate) struct Execs {
    listener: UnixListener,
    channel: OwnedFd,
    owner: Owner,
    next_id: u32,
    newcomers: Vec<Newcomer>,
    pending: Vec<Pending>,
    running: Vec<Running>,
    asked: Option<(Asked, Asked)>,
}

/// Has not said yet what it wants.
struct Newcomer {
    socket: UnixStream,
    from: Vec<u8>,
    until: Instant,
    asked: Option<Asked>,
}

/// The init has been asked.
struct Pending {
    id: u32,
    socket: UnixStream,
    from: Vec<u8>,
    wire: Wire,
}

struct Running {
    id: u32,
    session: Attached,
    ended: bool,
    /// What the client has not been told yet.
    exit: Option<i32>,
    kill_at: Option<Instant>,
}

impl Execs {
    pub(crate) fn listen(spec: &SupervisorSpec, channel: OwnedFd) -> Result<Self, SupervisorError> {
        let path = DynoDirectory::new(&spec.directory).exec();
        Ok(Self {
            listener: sockets::listen(&path, Some(spec.reader_uid))?,
            channel,
            owner: Owner::of(spec),
            next_id: 0,
            newcomers: Vec::new(),
            pending: Vec::new(),
            running: Vec::new(),
            asked: None,
        })
    }

    pub(crate) fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        let Self { listener, channel, newcomers, running, asked, .. } = self;
        *asked = Some((poll.readable(listener), poll.readable(channel)));
        for newcomer in newcomers {
            newcomer.asked = Some(poll.readable(&newcomer.socket));
            poll.until(newcomer.until);
        }
        for run in running {
            if let Some(at) = run.kill_at {
                poll.until(at);
            }
            run.session.ask(poll);
        }
    }

    /// One turn. `open`: the dyno runs and nobody has asked it to end.
    pub(crate) fn turn(&mut self, ready: &Ready, open: bool) {
        let Some((listener, channel)) = self.asked.take() else { return };
        let Self { running, channel: to_init, .. } = self;
        for run in running.iter_mut() {
            run.turn(ready, to_init.as_fd());
        }
        if ready.at(channel) {
            while let Some((reply, terminal)) = receive(&self.channel) {
                self.take_reply(reply, terminal);
            }
        }
        self.running.retain_mut(|run| !run.is_over());
        self.read_newcomers(ready, open);
        if ready.at(listener) {
            self.accept();
        }
    }

    /// The dyno has ended, and with it every process in it.
    pub(crate) fn finish(&mut self) {
        self.newcomers.clear();
        self.pending.clear();
        for mut run in self.running.drain(..) {
            run.end(CODE_KILLED);
            run.session.delivered(&mut run.exit);
        }
    }

    fn count(&self) -> usize {
        self.newcomers.len() + self.pending.len() + self.running.len()
    }

    fn accept(&mut self) {
        let Ok((socket, _)) = self.listener.accept() else { return };
        // One too many is turned away by closing its connection.
        if self.count() < EXECS_MAX && socket.set_nonblocking(true).is_ok() {
            let until = Instant::now() + ORDER_TIMEOUT;
            self.newcomers.push(Newcomer { socket, from: Vec::new(), until, asked: None });
        }
    }

    fn read_newcomers(&mut self, ready: &Ready, open: bool) {
        let now = Instant::now();
        for mut newcomer in std::mem::take(&mut self.newcomers) {
            let is_ready = newcomer.asked.take().is_some_and(|asked| ready.at(asked));
            match newcomer.read(is_ready) {
                Told::Order(order) if open => self.begin(newcomer, *order),
                Told::Nothing if newcomer.until > now => self.newcomers.push(newcomer),
                Told::Order(_) | Told::Nothing | Told::Nonsense => {}
            }
        }
    }

    fn begin(&mut self, newcomer: Newcomer, order: ExecOrder) {
        let Newcomer { socket, from, .. } = newcomer;
        self.next_id += 1;
        let id = self.next_id;
        let mut wire = Wire::default();
        let mut inside = Vec::new();
        if order.tty.is_none() {
            match pipes(self.owner) {
                Ok((theirs, ours)) => (inside, wire) = (theirs, ours),
                Err(error) => return refuse(socket, &error),
            }
        }
        match send(self.channel.as_fd(), &ToInit::Run { id, order }, &inside) {
            Ok(()) => self.pending.push(Pending { id, socket, from, wire }),
            Err(error) => refuse(socket, &error.into()),
        }
    }

    fn take_reply(&mut self, reply: Reply, terminal: Option<OwnedFd>) {
        match reply {
            Reply::Started { id } => {
                let Some(mut pending) = self.take_pending(id) else { return };
                if let Some(terminal) = terminal.filter(is_terminal) {
                    pending.wire = Wire::terminal(terminal);
                }
                let Pending { socket, from, wire, .. } = pending;
                let session = Attached::serving(socket, from, wire);
                self.running.push(Running { id, session, ended: false, exit: None, kill_at: None });
            }
            Reply::Refused { id, errno } => {
                if let Some(pending) = self.take_pending(id) {
                    refuse(pending.socket, &std::io::Error::from_raw_os_error(errno));
                }
            }
            Reply::Ended { id, code } => {
                self.running.iter_mut().filter(|run| run.id == id).for_each(|run| run.end(code));
            }
        }
    }

    fn take_pending(&mut self, id: u32) -> Option<Pending> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        Some(self.pending.swap_remove(at))
    }
}

impl Running {
    fn turn(&mut self, ready: &Ready, channel: BorrowedFd<'_>) {
        let id = self.id;
        let signal = |signal: Signal| {
            let order = ToInit::Signal { id, number: signal.as_raw() };
            if let Err(error) = send(channel, &order, &[]) {
                note(&format!("could not send {signal:?} to a process inside: {error}"));
            }
        };
        let alive = !self.ended;
        self.session.turn(ready, alive.then_some(&signal as &dyn Fn(Signal)));
        if alive && !self.session.has_client() {
            let now = Instant::now();
            let at = *self.kill_at.get_or_insert(now + limits::HANGUP_TIMEOUT);
            if at <= now {
                signal(Signal::KILL);
                self.kill_at = Some(now + limits::HANGUP_TIMEOUT);
            }
        }
    }

    fn end(&mut self, code: i32) {
        self.session.dyno_ended();
        (self.ended, self.exit, self.kill_at) = (true, Some(code), None);
    }

    fn is_over(&mut self) -> bool {
        self.ended && self.session.delivered(&mut self.exit)
    }
}

enum Told {
    Order(Box<ExecOrder>),
    Nothing,
    Nonsense,
}

impl Newcomer {
    fn read(&mut self, is_ready: bool) -> Told {
        if !is_ready {
            return Told::Nothing;
        }
        let mut chunk = [0; CHUNK_BYTES];
        match read_some(&self.socket, &mut chunk) {
            Read::Bytes(bytes) => self.from.extend_from_slice(&chunk[..bytes]),
            Read::Nothing => return Told::Nothing,
            Read::End => return Told::Nonsense,
        }
        match InputFrame::decode(&self.from) {
            Ok(Some((InputFrame::Exec(order), taken))) => {
                self.from.drain(..taken);
                serde_json::from_slice(&order).map_or(Told::Nonsense, |order| Told::Order(Box::new(order)))
            }
            Ok(None) => Told::Nothing,
            Ok(Some(_)) | Err(_) => Told::Nonsense,
        }
    }
}

/// Says why, if the client still listens: the answer is far smaller than a socket's buffer.
fn refuse(socket: UnixStream, error: &std::io::Error) {
    let mut bytes = Vec::new();
    put_data(format!("could not be started: {error}\r\n").as_bytes(), &mut bytes);
    OutputFrame::Exit(CODE_NOT_RUNNABLE).encode(&mut bytes);
    rustix::io::write(&socket, &bytes).ok();
}

/// The process's ends, and ours. Both outputs are one pipe, so that their order is kept.
fn pipes(owner: Owner) -> std::io::Result<(Vec<OwnedFd>, Wire)> {
    let (output, stdout) = pipe(owner, End::Write)?;
    let (stdin_inside, stdin) = pipe(owner, End::Read)?;
    let stderr = stdout.try_clone()?;
    Ok((vec![stdin_inside, stdout, stderr], Wire::pipes(stdin, output)))
}

/// Never anything else that a read could wait for.
fn is_terminal(descriptor: &OwnedFd) -> bool {
    let device = rustix::fs::fstat(descriptor).map(|stat| stat.st_rdev);
    let is =
        device.is_ok_and(|device| (rustix::fs::major(device), rustix::fs::minor(device)) == TERMINAL_MASTER);
    is && set_nonblocking(descriptor).is_ok()
}

// === the channel ===

fn send(channel: BorrowedFd<'_>, order: &ToInit, streams: &[OwnedFd]) -> rustix::io::Result<()> {
    let bytes = serde_json::to_vec(order).expect("an order has a JSON form");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let streams: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
    if !streams.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&streams));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(channel, &[IoSlice::new(&bytes)], &mut control, flags).map(drop)
}

/// One reply that is there.
fn receive(channel: &OwnedFd) -> Option<(Reply, Option<OwnedFd>)> {
    let mut bytes = [0; REPLY_BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received =
        rustix::net::recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags).ok()?;
    let terminal = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Some((Reply::decode(&bytes[..received.bytes])?, terminal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_back_and_nothing_else_does() {
        for reply in [
            Reply::Started { id: 7 },
            Reply::Refused { id: u32::MAX, errno: 11 },
            Reply::Ended { id: 1, code: -1 },
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Reply::decode(&[4, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Reply::decode(&[1; 8]), None);
        assert_eq!(Reply::decode(&[1; 10]), None);
        assert_eq!(Reply::decode(&[]), None);
    }
}

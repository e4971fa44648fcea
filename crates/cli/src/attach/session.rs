//! The attached session: one loop over the socket, the keyboard and the signals.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::{fd::AsFd as _, unix::net::UnixStream},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::ClientConnection;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};

use super::{
    status::StatusLine,
    window::{Meeting, Window},
};
use crate::{errors::Failure, terminal, tls};

const GREETING_BYTES_MAX: usize = 1_024;
const CHUNK_BYTES: usize = 16 * 1024;
/// End of input, as the rendezvous knows it.
const EOF: u8 = 0x04;
const CTRL_C: u8 = 0x03;
/// So many within [`IMPATIENCE`] leave a process that does not listen.
const CTRL_C_MAX: usize = 4;
const IMPATIENCE: Duration = Duration::from_secs(1);
/// Shells add it to the number of the signal.
const EXIT_SIGNAL: i32 = 128;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The command has, with this code.
    Command(u8),
    /// The other side closed the connection and told no code.
    Lost,
    /// We were asked to leave; the code to end with.
    Left(u8),
}

/// A connection whose greeting has been read: the process is there.
pub(super) struct Attached {
    socket: TcpStream,
    tls: ClientConnection,
    status: StatusLine,
    /// What came with the greeting.
    early: Vec<u8>,
    meeting: Meeting,
}

impl Attached {
    pub(super) fn meet(meeting: Meeting) -> io::Result<Self> {
        let config = tls::trusting(meeting.ca.as_deref())?;
        let (mut socket, mut tls) = tls::connect(&meeting.host, meeting.port, &config)?;
        tls.writer().write_all(format!("{}\r\n", meeting.secret).as_bytes())?;
        let mut greeting = Vec::new();
        let early = loop {
            if let Some(end) = greeting.iter().position(|byte| *byte == b'\n') {
                break greeting.split_off(end + 1);
            }
            let mut chunk = [0; GREETING_BYTES_MAX];
            let read = rustls::Stream::new(&mut tls, &mut socket).read(&mut chunk)?;
            greeting.extend_from_slice(&chunk[..read]);
            if read == 0 || greeting.len() > GREETING_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the dyno did not come up"));
            }
        };
        if !greeting.starts_with(b"rendezvous") {
            return Err(io::Error::other("that was no rendezvous"));
        }
        Ok(Self { socket, tls, status: StatusLine::default(), early, meeting })
    }

    /// Until the command, the connection or the user ends it. With `tty`, the terminal is raw meanwhile.
    pub(super) fn run(mut self, tty: bool) -> Result<Ended, Failure> {
        // Before the terminal is raw: a signal in between would leave it so.
        let signals = Signals::new().map_err(Failure::local("watch for signals"))?;
        let raw = tty.then(terminal::Raw::enter).transpose().map_err(Failure::local("use the terminal"))?;
        let ended = self.talk(tty, &signals);
        drop(raw);
        ended
    }

    fn talk(&mut self, tty: bool, signals: &Signals) -> Result<Ended, Failure> {
        let lost = Failure::local("keep the connection to the dyno");
        let early = std::mem::take(&mut self.early);
        if let Some(code) = self.show(&early)? {
            return Ok(Ended::Command(code));
        }
        let window = tty.then(|| Window::new(self.meeting.clone()));
        self.socket.set_nonblocking(true).map_err(lost)?;
        let mut keys = Keys::new(tty);
        loop {
            let ready = self.wait(&keys, signals).map_err(Failure::local("wait for the dyno"))?;
            if let Some(signal) = ready.signals.then(|| signals.ending()).flatten() {
                return Ok(Ended::Left(exit_of(signal)));
            }
            if ready.signals
                && signals.resized()
                && let (Some(window), Some(size)) = (&window, terminal::window_size())
            {
                window.changed(size);
            }
            if ready.socket
                && let Some(ended) = self.receive()?
            {
                return Ok(keys.explain(ended));
            }
            if ready.keys {
                let typed = keys.read().map_err(Failure::local("read your input"))?;
                if keys.impatient() {
                    return Ok(Ended::Left(exit_of(SIGINT)));
                }
                self.tls.writer().write_all(&typed).map_err(Failure::local("send your input"))?;
            }
            if self.send().is_err() {
                // What the process said last may still be there to be read.
                return Ok(keys.explain(self.receive()?.unwrap_or(Ended::Lost)));
            }
        }
    }

    fn wait(&self, keys: &Keys, signals: &Signals) -> io::Result<Ready> {
        let mut wanted = PollFlags::IN;
        if self.tls.wants_write() {
            wanted |= PollFlags::OUT;
        }
        let stdin = io::stdin();
        let mut fds = vec![
            PollFd::new(&self.socket, wanted),
            PollFd::new(&signals.ends, PollFlags::IN),
            PollFd::new(&signals.resizes, PollFlags::IN),
        ];
        // While the connection is behind, no more is taken in.
        if keys.open && !self.tls.wants_write() {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(failed) => return Err(failed.into()),
        }
        let ready = |n: usize| fds.get(n).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { socket: ready(0), signals: ready(1) || ready(2), keys: ready(3) })
    }

    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(failed) => return Err(failed),
            }
        }
        Ok(())
    }

    /// Everything that is there now. Some(..) ends the session.
    fn receive(&mut self) -> Result<Option<Ended>, Failure> {
        loop {
            let read = match self.tls.read_tls(&mut self.socket) {
                Ok(read) => read,
                Err(empty) if empty.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(_) => 0,
            };
            let Ok(state) = self.tls.process_new_packets() else { return self.lost().map(Some) };
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain).map_err(Failure::local("read from the dyno"))?;
            if let Some(code) = self.show(&plain)? {
                return Ok(Some(Ended::Command(code)));
            }
            if read == 0 || state.peer_has_closed() {
                return self.lost().map(Some);
            }
        }
    }

    fn lost(&mut self) -> Result<Ended, Failure> {
        let rest = self.status.rest();
        print(&rest)?;
        Ok(Ended::Lost)
    }

    fn show(&mut self, data: &[u8]) -> Result<Option<u8>, Failure> {
        let found = self.status.push(data);
        print(&found.shown)?;
        Ok(found.code)
    }
}

#[derive(Debug, Default)]
struct Ready {
    socket: bool,
    signals: bool,
    keys: bool,
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        other => other.map_err(Failure::local("write the output")),
    }
}

fn exit_of(signal: i32) -> u8 {
    u8::try_from(EXIT_SIGNAL + signal).unwrap_or(1)
}

// === what the user does ===

struct Keys {
    tty: bool,
    open: bool,
    interrupts: Vec<Instant>,
    interrupted: bool,
}

impl Keys {
    fn new(tty: bool) -> Self {
        Self { tty, open: true, interrupts: Vec::new(), interrupted: false }
    }

    /// What to send; the end of the input is a byte, as the connection stays open for the output.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(Vec::new()),
            // The terminal is gone.
            Err(rustix::io::Errno::IO) => 0,
            Err(failed) => return Err(failed.into()),
        };
        chunk.truncate(read);
        if read == 0 {
            self.open = false;
            return Ok(vec![EOF]);
        }
        if self.tty && chunk == [CTRL_C] {
            self.interrupts.push(Instant::now());
            self.interrupted = true;
        }
        Ok(chunk)
    }

    /// A shell that an interrupt has ended tells no code; the user knows why.
    fn explain(&self, ended: Ended) -> Ended {
        match ended {
            Ended::Lost if self.interrupted => Ended::Left(exit_of(SIGINT)),
            other => other,
        }
    }

    fn impatient(&mut self) -> bool {
        self.interrupts.retain(|at| at.elapsed() < IMPATIENCE);
        self.interrupts.len() >= CTRL_C_MAX
    }
}

/// Signals as bytes that can be waited for.
struct Signals {
    ends: UnixStream,
    resizes: UnixStream,
    received: Vec<(i32, std::sync::Arc<std::sync::atomic::AtomicBool>)>,
    registered: Vec<signal_hook::SigId>,
}

impl Signals {
    /// In raw mode Ctrl-C is a key, and an interrupt from elsewhere is one more reason to put the terminal right.
    fn new() -> io::Result<Self> {
        let (ends, wake) = UnixStream::pair()?;
        let (resizes, resized) = UnixStream::pair()?;
        let (mut received, mut registered) = (Vec::new(), Vec::new());
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            let flag = std::sync::Arc::default();
            registered.push(signal_hook::flag::register(signal, std::sync::Arc::clone(&flag))?);
            registered.push(signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?);
            received.push((signal, flag));
        }
        registered.push(signal_hook::low_level::pipe::register(SIGWINCH, resized)?);
        ends.set_nonblocking(true)?;
        resizes.set_nonblocking(true)?;
        Ok(Self { ends, resizes, received, registered })
    }

    fn ending(&self) -> Option<i32> {
        let came = |(_, flag): &&(i32, std::sync::Arc<std::sync::atomic::AtomicBool>)| {
            flag.load(std::sync::atomic::Ordering::Relaxed)
        };
        self.received.iter().find(came).map(|(signal, _)| *signal)
    }

    /// Whether the window changed since the last call.
    fn resized(&self) -> bool {
        let mut bytes = [0; 64];
        let mut any = false;
        while let Ok(read) = (&self.resizes).read(&mut bytes) {
            if read == 0 {
                break;
            }
            any = true;
        }
        any
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

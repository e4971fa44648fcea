//! Input and output that belong to a client of `attach.sock`, one at a time.
//!
//! ```text
//! Awaited ──client──> Served ──client gone──> Abandoned ──client──> Served
//! ```
//!
//! * Awaited: output waits in the pipe or terminal; the dyno stops writing when that is full.
//! * Served: bytes go both ways; a slow client slows the dyno, and the other way round.
//! * Abandoned: output is thrown away, and every process gets SIGHUP, at once and a few times more. What minds none of
//!   them may go on.

use std::{
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use renga_model::limits;
use renga_supervision::{DynoDirectory, InputFrame, OutputFrame, SupervisorSpec, put_data};
use rustix::{event::PollFlags, process::Signal};

use crate::{
    container::resize,
    detach::note,
    error::SupervisorError,
    poll::{Asked, Poll, Read, Ready, read_some},
    sockets,
};

/// At once, and again after each interval, until the time is over.
const HANGUPS: u64 = limits::HANGUP_TIMEOUT.as_secs() / limits::HANGUP_INTERVAL.as_secs();
/// Read at once, from either side.
const CHUNK_BYTES: usize = 16 * 1024;
/// Input that the dyno has not taken, and output that the client has not: above this, the other side waits.
const PENDING_BYTES_MAX: usize = 64 * 1024;
/// The terminal's end-of-file character (^D), as the line discipline starts out with.
const VEOF: u8 = 4;

#[derive(Debug)]
pub(crate) struct Attached {
    /// None: the client that there is, is the only one ever.
    listener: Option<UnixListener>,
    wire: Wire,
    client: Option<Client>,
    /// Of the next SIGHUP, while abandoned.
    hangup_at: Option<Instant>,
    hangups_left: u64,
    hangup_interval: Duration,
    served_once: bool,
    /// For the dyno's input.
    input: Vec<u8>,
    /// Close the pipe when `input` is empty.
    input_ends: bool,
    chunk: Vec<u8>,
    asked: Places,
}

/// Our ends of the dyno's streams.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    output: Option<OwnedFd>,
}

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    from: Vec<u8>,
    to: Vec<u8>,
}

#[derive(Debug, Default)]
struct Places {
    listener: Option<Asked>,
    client: Option<Asked>,
    terminal: Option<Asked>,
    stdin: Option<Asked>,
    output: Option<Asked>,
}

impl Attached {
    pub(crate) fn listen(spec: &SupervisorSpec) -> Result<Self, SupervisorError> {
        let path = DynoDirectory::new(&spec.directory).attach();
        Ok(Self {
            listener: Some(sockets::listen(&path, Some(spec.reader_uid))?),
            wire: Wire::default(),
            client: None,
            hangup_at: None,
            hangups_left: 0,
            hangup_interval: spec.hangup_interval.unwrap_or(limits::HANGUP_INTERVAL),
            served_once: false,
            input: Vec::new(),
            input_ends: false,
            chunk: vec![0; CHUNK_BYTES],
            asked: Places::default(),
        })
    }

    /// A process inside the dyno, and its client; `from` has come from that already.
    pub(crate) fn serving(socket: UnixStream, from: Vec<u8>, wire: Wire) -> Self {
        let mut session = Self {
            listener: None,
            wire,
            client: Some(Client { socket, from, to: Vec::new() }),
            hangup_at: None,
            hangups_left: 0,
            hangup_interval: limits::HANGUP_INTERVAL,
            served_once: true,
            input: Vec::new(),
            input_ends: false,
            chunk: vec![0; CHUNK_BYTES],
            asked: Places::default(),
        };
        session.obey_all(None);
        session
    }

    pub(crate) fn use_wire(&mut self, wire: Wire) {
        self.wire = wire;
    }

    pub(crate) fn has_client(&self) -> bool {
        self.client.is_some()
    }

    pub(crate) fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        let takes_output = match &self.client {
            Some(client) => client.to.len() < PENDING_BYTES_MAX,
            None => self.served_once,
        };
        let takes_input = self.input.len() < PENDING_BYTES_MAX;
        let flag = |wanted, flag| if wanted { flag } else { PollFlags::empty() };
        let listener = self.listener.as_ref().map(|listener| poll.readable(listener));
        let mut asked = Places { listener, ..Places::default() };
        if let Some(client) = &self.client {
            let flags = flag(takes_input, PollFlags::IN) | flag(!client.to.is_empty(), PollFlags::OUT);
            asked.client = Some(poll.ask(&client.socket, flags));
        }
        // Without interest a descriptor is left out: an end that nobody wants to read would wake us for ever.
        let terminal = flag(takes_output, PollFlags::IN) | flag(!self.input.is_empty(), PollFlags::OUT);
        if !terminal.is_empty() {
            asked.terminal = self.wire.terminal.as_ref().map(|fd| poll.ask(fd, terminal));
        }
        if !self.input.is_empty() {
            asked.stdin = self.wire.stdin.as_ref().map(|fd| poll.ask(fd, PollFlags::OUT));
        }
        if takes_output {
            asked.output = self.wire.output.as_ref().map(|fd| poll.readable(fd));
        }
        if let Some(at) = self.hangup_at {
            poll.until(at);
        }
        self.asked = asked;
    }

    /// One turn. `signal` reaches the processes; none once they have ended.
    pub(crate) fn turn(&mut self, ready: &Ready, signal: Option<&dyn Fn(Signal)>) {
        let asked = std::mem::take(&mut self.asked);
        let is = |asked: Option<Asked>| asked.is_some_and(|asked| ready.at(asked));
        if is(asked.client) {
            self.read_client(signal);
        }
        if is(asked.listener) {
            self.accept();
        }
        if is(asked.terminal) || is(asked.output) {
            self.read_output();
        }
        self.write_input();
        self.write_client();
        if let (Some(signal), Some(at)) = (signal, self.hangup_at)
            && at <= Instant::now()
        {
            signal(Signal::HUP);
            self.hangups_left = self.hangups_left.saturating_sub(1);
            self.hangup_at = (self.hangups_left > 0).then(|| Instant::now() + self.hangup_interval);
        }
    }

    /// After the dyno's end: whether all its output is with the client, or nobody can take it. Appends the exit code
    /// behind the output.
    pub(crate) fn delivered(&mut self, exit: &mut Option<i32>) -> bool {
        if self.client.is_none() {
            return self.served_once;
        }
        self.hangup_at = None;
        while self.wants_output() && self.read_output() {}
        // It was not the client that stopped us: what can't be read by now never comes.
        let dry = self.wants_output();
        let Some(client) = &mut self.client else { return true };
        if dry && let Some(code) = exit.take() {
            OutputFrame::Exit(code).encode(&mut client.to);
        }
        self.write_client();
        let sent = self.client.as_ref().is_none_or(|client| client.to.is_empty());
        sent && exit.is_none()
    }

    /// The dyno has ended: nothing takes input any more.
    pub(crate) fn dyno_ended(&mut self) {
        self.wire.stdin = None;
        self.input = Vec::new();
    }

    fn wants_output(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.to.len() < PENDING_BYTES_MAX)
    }

    // === the client ===

    fn accept(&mut self) {
        let Some(Ok((socket, _))) = self.listener.as_ref().map(UnixListener::accept) else { return };
        // A second client is turned away by closing its connection.
        if self.client.is_some() {
            return;
        }
        if let Err(error) = socket.set_nonblocking(true) {
            note(&format!("could not serve a client: {error}"));
            return;
        }
        self.client = Some(Client { socket, from: Vec::new(), to: Vec::new() });
        self.served_once = true;
        self.hangup_at = None;
    }

    fn client_gone(&mut self) {
        self.client = None;
        self.hangup_at = Some(Instant::now());
        self.hangups_left = HANGUPS;
    }

    fn read_client(&mut self, signal: Option<&dyn Fn(Signal)>) {
        let Some(client) = &mut self.client else { return };
        match read_some(&client.socket, &mut self.chunk) {
            Read::Bytes(bytes) => client.from.extend_from_slice(&self.chunk[..bytes]),
            Read::Nothing => return,
            Read::End => return self.client_gone(),
        }
        self.obey_all(signal);
    }

    /// Every frame that is whole.
    fn obey_all(&mut self, signal: Option<&dyn Fn(Signal)>) {
        let Some(client) = &mut self.client else { return };
        let mut from = std::mem::take(&mut client.from);
        let mut taken = 0;
        loop {
            match InputFrame::decode(&from[taken..]) {
                Ok(Some((frame, bytes))) => {
                    taken += bytes;
                    self.obey(frame, signal);
                }
                Ok(None) => break,
                Err(error) => {
                    note(&format!("the attached client speaks nonsense: {error}"));
                    return self.client_gone();
                }
            }
        }
        from.drain(..taken);
        if let Some(client) = &mut self.client {
            client.from = from;
        }
    }

    fn obey(&mut self, frame: InputFrame, signal: Option<&dyn Fn(Signal)>) {
        match frame {
            InputFrame::Data(data) if !self.input_ends => self.input.extend_from_slice(&data),
            InputFrame::Data(_) => {}
            InputFrame::Eof if self.wire.terminal.is_some() => self.input.push(VEOF),
            InputFrame::Eof => self.input_ends = true,
            InputFrame::Resize { columns, rows } => {
                if let Some(terminal) = &self.wire.terminal
                    && let Err(error) = resize(terminal, columns, rows)
                {
                    note(&format!("could not size the terminal: {error}"));
                }
            }
            InputFrame::Signal(number) => {
                if let (Some(all), Some(signal)) = (signal, sendable(number)) {
                    self.signal(all, signal);
                }
            }
            // Only the first frame on another socket may be one.
            InputFrame::Exec(_) => note("an attached client gave an order, which it may not"),
        }
    }

    /// To the terminal's foreground processes; without a terminal, to all.
    fn signal(&self, all: &dyn Fn(Signal), signal: Signal) {
        let Some(terminal) = &self.wire.terminal else { return all(signal) };
        let sent = rustix::termios::tcgetpgrp(terminal)
            .and_then(|group| rustix::process::kill_process_group(group, signal));
        if let Err(error) = sent {
            note(&format!("could not send {signal:?} to the terminal's processes: {error}"));
        }
    }

    fn write_client(&mut self) {
        let Some(client) = &mut self.client else { return };
        if client.to.is_empty() {
            return;
        }
        match write_some(&client.socket, &mut client.to) {
            Ok(()) => {}
            Err(_) => self.client_gone(),
        }
    }

    // === the dyno ===

    /// Whether there may be more to read at once.
    fn read_output(&mut self) -> bool {
        let source =
            if self.wire.terminal.is_some() { &mut self.wire.terminal } else { &mut self.wire.output };
        let Some(fd) = source else { return false };
        match read_some(fd, &mut self.chunk) {
            Read::Bytes(bytes) => {
                if let Some(client) = &mut self.client {
                    put_data(&self.chunk[..bytes], &mut client.to);
                }
                true
            }
            Read::Nothing => false,
            Read::End => {
                *source = None;
                false
            }
        }
    }

    fn write_input(&mut self) {
        let target = self.wire.terminal.as_ref().or(self.wire.stdin.as_ref());
        let failed = match target {
            Some(fd) if !self.input.is_empty() => write_some(fd, &mut self.input).is_err(),
            Some(_) => false,
            None => true,
        };
        if failed {
            // Nobody reads: the input is thrown away, as a shell would see a closed pipe.
            self.input = Vec::new();
        }
        if failed || (self.input_ends && self.input.is_empty()) {
            self.wire.stdin = None;
        }
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) fn terminal(terminal: OwnedFd) -> Self {
        Self { terminal: Some(terminal), ..Self::default() }
    }
    pub(crate) fn pipes(stdin: OwnedFd, output: OwnedFd) -> Self {
        Self { stdin: Some(stdin), output: Some(output), ..Self::default() }
    }
}

/// Writes what goes without waiting, and keeps the rest.
fn write_some(fd: &impl AsFd, bytes: &mut Vec<u8>) -> rustix::io::Result<()> {
    match rustix::io::write(fd, bytes) {
        Ok(written) => {
            bytes.drain(..written);
            Ok(())
        }
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Signals that a terminal or an operator may send. The rest would only confuse the container's init.
fn sendable(number: i32) -> Option<Signal> {
    let signal = Signal::from_named_raw(number)?;
    let fine = [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
        Signal::KILL,
        Signal::USR1,
        Signal::USR2,
        Signal::TSTP,
        Signal::CONT,
        Signal::WINCH,
    ];
    fine.contains(&signal).then_some(signal)
}

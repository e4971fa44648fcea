//! Bytes both ways between two ends, each in the clear or in TLS.
//!
//! ```text
//! client ──> flow 0 (at most one read) ──> remote         nothing is read for an end that is behind with what it has
//! client <── flow 1 (at most one read) <── remote
//! ```
//!
//! A request is over when the remote end has said everything; a tunnel when both have. An end that closes its half of a
//! tunnel has that passed on; the half of a request is not, since a server would take it for a client that has left.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{Connection, ServerConfig, ServerConnection};

const CHUNK_BYTES: usize = 16 * 1024;
/// Without a byte either way. Streams of the platform say something every minute.
const IDLE_S: i64 = 60 * 60;
/// How long, and how much, is still read of a client that has had its answer: closing at once could take it away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// One end.
pub(super) struct End {
    socket: TcpStream,
    tls: Option<Connection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One request and its answer.
    Request,
    /// Whatever the two have to say to each other.
    Tunnel,
}

impl End {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    pub(super) fn tls(socket: TcpStream, connection: impl Into<Connection>) -> Self {
        Self { socket, tls: Some(connection.into()) }
    }

    /// A server's end; `said` is what the client did not wait with.
    pub(super) fn accept(socket: TcpStream, config: Arc<ServerConfig>, mut said: &[u8]) -> io::Result<Self> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        while !said.is_empty() {
            connection.read_tls(&mut said)?;
            connection.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(Self::tls(socket, connection))
    }

    /// Server and client alike; gives what was said behind the handshake.
    pub(super) fn shake_hands(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut early = Vec::new();
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.flush()?;
            if !self.read_by(deadline, &mut early)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.flush()?;
        Ok(early)
    }

    /// As [`Self::read`], for a socket that blocks.
    pub(super) fn read_by(&mut self, deadline: Instant, into: &mut Vec<u8>) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        self.read(into)
    }

    /// Everything, for a socket that blocks up to its write timeout.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut waiting = bytes.to_vec();
        while !waiting.is_empty() {
            let before = waiting.len();
            self.write(&mut waiting)?;
            self.flush()?;
            if waiting.len() == before || self.is_behind() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Says that this was all, and lets the other side finish what it is saying.
    pub(super) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let mut said = || {
            self.socket.set_nonblocking(false)?;
            self.socket.set_write_timeout(Some(LINGER))?;
            self.flush()?;
            self.socket.shutdown(Shutdown::Write)
        };
        if said().is_err() {
            return;
        }
        let (deadline, mut read) = (Instant::now() + LINGER, Vec::new());
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX && self.read_by(deadline, &mut read).unwrap_or(false) {
            bytes += read.len();
            read.clear();
        }
    }

    /// Whether more may come. Nothing, and more to come, if there is nothing now.
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let mut chunk = [0; CHUNK_BYTES];
            let read = nothing_now(self.socket.read(&mut chunk))?;
            into.extend_from_slice(&chunk[..read.unwrap_or(0)]);
            return Ok(read != Some(0));
        };
        let Some(read) = nothing_now(tls.read_tls(&mut self.socket))? else { return Ok(true) };
        let processed = tls.process_new_packets();
        if let Err(wrong) = processed {
            // It is told why, if it still listens.
            self.flush().ok();
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        match self.take_plaintext(into)? {
            true => Ok(false),
            // It may have been cut off: an end says so itself.
            false if read == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(true),
        }
    }

    /// Whether the other side has said that this was all.
    fn take_plaintext(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let start = into.len();
        into.resize(start + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut into[start..])?;
        Ok(state.peer_has_closed())
    }

    /// Takes from `bytes` what can be sent now.
    fn write(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if bytes.is_empty() || self.is_behind() {
            return Ok(());
        }
        let written = match &mut self.tls {
            Some(tls) => Some(tls.writer().write(bytes)?),
            None => nothing_now(self.socket.write(bytes))?,
        };
        drop(bytes.drain(..written.unwrap_or(0)));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            if nothing_now(tls.write_tls(&mut self.socket))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }
}

/// None for a socket that has nothing, or takes nothing, at the moment.
fn nothing_now(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(bytes) => Ok(Some(bytes)),
        Err(later) if matches!(later.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(failed) => Err(failed),
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    waiting: Vec<u8>,
    /// No more comes, or nobody takes it.
    over: bool,
    /// Nobody takes it.
    refused: bool,
    /// It was cut off: whoever reads must not take it for the end.
    torn: bool,
    passed_on: bool,
}

impl Flow {
    fn is_done(&self) -> bool {
        self.over && self.waiting.is_empty()
    }

    fn read(&mut self, source: &mut End) {
        match source.read(&mut self.waiting) {
            Ok(more) => self.over = !more,
            Err(_) => (self.over, self.torn) = (true, true),
        }
    }

    fn write(&mut self, sink: &mut End, kind: Kind) {
        let mut written = || {
            sink.flush()?;
            sink.write(&mut self.waiting)?;
            sink.flush()
        };
        if written().is_err() {
            self.waiting.clear();
            (self.over, self.refused) = (true, true);
        }
        if self.is_done() && kind == Kind::Tunnel && !self.passed_on {
            self.passed_on = true;
            // It may have gone altogether.
            sink.socket.shutdown(Shutdown::Write).ok();
        }
    }
}

/// Until it is over. `said` is what each end has said already.
pub(super) fn pump(client: End, remote: End, kind: Kind, said: [Vec<u8>; 2]) -> io::Result<()> {
    let mut ends = [client, remote];
    let mut flows = said.map(|waiting| Flow { waiting, ..Flow::default() });
    for (end, flow) in ends.iter_mut().zip(&mut flows) {
        end.socket.set_nonblocking(true)?;
        flow.over = end.take_plaintext(&mut flow.waiting)?;
    }
    loop {
        let [client, remote] = &mut ends;
        flows[0].write(remote, kind);
        flows[1].write(client, kind);
        // A client in TLS says goodbye when it leaves; one in the clear may wait for its answer with its half closed.
        let left = client.tls.is_some() && flows[0].is_done() && !flows[0].refused;
        let over = match kind {
            Kind::Request => left || (flows[1].is_done() && !client.is_behind()),
            Kind::Tunnel => flows[0].is_done() && flows[1].is_done(),
        };
        if over {
            break;
        }
        let Some(ready) = wait(&ends, &flows, kind)? else { break };
        for n in [0, 1] {
            if ready[n] {
                flows[n].read(&mut ends[n]);
            }
        }
    }
    let [client, _] = ends;
    if kind == Kind::Request && flows[1].is_done() && !flows[1].torn {
        client.close();
    }
    Ok(())
}

/// Which ends have something to say; none if nothing happened for too long, or a client has left for good.
fn wait(ends: &[End; 2], flows: &[Flow; 2], kind: Kind) -> io::Result<Option<[bool; 2]>> {
    let wanted = [0, 1].map(|n| {
        let (flow, back, sink) = (&flows[n], &flows[1 - n], &ends[1 - n]);
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, !flow.over && flow.waiting.is_empty() && !sink.is_behind());
        wanted.set(PollFlags::OUT, !back.waiting.is_empty() || ends[n].is_behind());
        wanted
    });
    // An end that nothing is wanted of would still report that it has gone, again and again. A client that has is told
    // from that.
    let watched = [0, 1].map(|n| !wanted[n].is_empty() || (n == 0 && kind == Kind::Request));
    let chosen: Vec<usize> = [0, 1].into_iter().filter(|n| watched[*n]).collect();
    let mut fds: Vec<_> = chosen.iter().map(|n| PollFd::new(&ends[*n].socket, wanted[*n])).collect();
    let idle = Timespec { tv_sec: IDLE_S, tv_nsec: 0 };
    match poll(&mut fds, Some(&idle)) {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Some([false; 2])),
        Err(failed) => return Err(failed.into()),
    }
    let mut ready = [false; 2];
    for (fd, n) in fds.iter().zip(chosen) {
        let seen = fd.revents();
        ready[n] = wanted[n].contains(PollFlags::IN)
            && seen.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        if wanted[n].is_empty() && seen.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(None);
        }
    }
    Ok(Some(ready))
}

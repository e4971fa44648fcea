//! The forwarder: one connection there for each one here, and one request on each, so that heads need no more
//! understanding than their `Host` and `Connection`.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ClientConfig, ClientConnection};

use crate::tls;

/// Connections at one time; more are turned away.
const CONNECTIONS_MAX: usize = 256;
/// `Request-Id` lists of the official command line reach 8 KiB.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// From the connection to a complete head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const CHUNK_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// As the `Host` header has it.
    pub(super) authority: String,
    pub(super) config: Arc<ClientConfig>,
}

/// For ever: the process ends it.
pub(super) fn serve(listener: &TcpListener, target: &Arc<Target>) {
    let open = Arc::new(AtomicUsize::new(0));
    for client in listener.incoming().filter_map(Result::ok) {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (target, open) = (target.clone(), open.clone());
        thread::spawn(move || {
            // A connection that broke concerns its two ends, which see it themselves.
            drop(forward(client, &target));
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn forward(mut client: TcpStream, target: &Target) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(HEAD_TIMEOUT))?;
    let (head, body) = read_head(&mut client)?;
    client.set_read_timeout(None)?;
    let head = rewritten(&head, &target.authority);
    let connected = tls::connect(&target.host, target.port, &target.config);
    let (remote, mut tls) = match connected {
        Ok(connected) => connected,
        Err(failed) => return refuse(&mut client, target, &failed),
    };
    tls.writer().write_all(&head)?;
    tls.writer().write_all(&body)?;
    pump(client, remote, tls)
}

/// The head with the empty line that ends it, and what came behind it.
fn read_head(client: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((bytes, body));
        }
        let read = client.read(&mut chunk)?;
        if read == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no request"));
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// The other side's name, and the end of the connection with the answer.
fn rewritten(head: &[u8], authority: &str) -> Vec<u8> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut fresh = lines.next().unwrap_or_default().to_vec();
    fresh.extend_from_slice(format!("\r\nHost: {authority}\r\nConnection: close\r\n").as_bytes());
    for line in lines.filter(|line| !line.is_empty()) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let ours = [&b"host"[..], b"connection", b"keep-alive", b"proxy-connection"];
        if !ours.iter().any(|our| name.eq_ignore_ascii_case(our)) {
            fresh.extend_from_slice(line);
            fresh.extend_from_slice(b"\r\n");
        }
    }
    fresh.extend_from_slice(b"\r\n");
    fresh
}

/// An answer that the command line prints well.
fn refuse(client: &mut TcpStream, target: &Target, failed: &io::Error) -> io::Result<()> {
    let message = format!("renga connect can't reach {}: {failed}", target.authority);
    let body = serde_json::json!({ "id": "service_unavailable", "message": message }).to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// Bytes both ways until the platform has said everything. Neither side is read while the other is behind.
fn pump(mut client: TcpStream, mut remote: TcpStream, mut tls: ClientConnection) -> io::Result<()> {
    client.set_nonblocking(true)?;
    remote.set_nonblocking(true)?;
    let (mut to_client, mut client_open, mut remote_open) = (Vec::new(), true, true);
    while remote_open || !to_client.is_empty() {
        let wants_write = tls.wants_write();
        let want = |read: bool, write: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read);
            flags.set(PollFlags::OUT, write);
            flags
        };
        let for_client = want(client_open && !wants_write, !to_client.is_empty());
        let for_remote = want(remote_open && to_client.is_empty(), wants_write);
        let mut fds = [PollFd::new(&client, for_client), PollFd::new(&remote, for_remote)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(failed) => return Err(failed.into()),
        }
        let (client_ready, remote_ready) = (fds[0].revents(), fds[1].revents());
        if client_ready.intersects(PollFlags::IN | PollFlags::HUP) && client_open && !wants_write {
            client_open = from_client(&mut client, &mut tls)?;
        } else if client_ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(());
        }
        if remote_ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && to_client.is_empty() {
            remote_open = from_remote(&mut remote, &mut tls, &mut to_client)?;
        }
        if !to_client.is_empty() {
            match client.write(&to_client) {
                Ok(written) => drop(to_client.drain(..written)),
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                Err(gone) => return Err(gone),
            }
        }
        while tls.wants_write() {
            match tls.write_tls(&mut remote) {
                Ok(_) => {}
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => break,
                Err(gone) => return Err(gone),
            }
        }
    }
    Ok(())
}

/// Whether more may come. A client that has said everything may still wait for its answer.
fn from_client(client: &mut TcpStream, tls: &mut ClientConnection) -> io::Result<bool> {
    let mut chunk = [0; CHUNK_BYTES];
    match client.read(&mut chunk) {
        Ok(0) => Ok(false),
        Ok(read) => tls.writer().write_all(&chunk[..read]).map(|()| true),
        Err(empty) if empty.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(gone) => Err(gone),
    }
}

fn from_remote(
    remote: &mut TcpStream,
    tls: &mut ClientConnection,
    to_client: &mut Vec<u8>,
) -> io::Result<bool> {
    let read = match tls.read_tls(remote) {
        Ok(read) => read,
        Err(empty) if empty.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(gone) => return Err(gone),
    };
    let state = tls.process_new_packets().map_err(io::Error::other)?;
    let mut plain = vec![0; state.plaintext_bytes_to_read()];
    tls.reader().read_exact(&mut plain)?;
    to_client.extend(plain);
    Ok(read > 0 && !state.peer_has_closed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_called_by_its_own_name_and_the_connection_ends() {
        let head =
            b"GET /apps HTTP/1.1\r\nhost: localhost:4010\r\nConnection: keep-alive\r\nAccept: x\r\n\r\n";
        let fresh = String::from_utf8(rewritten(head, "paas.example:4443")).unwrap();
        assert_eq!(
            fresh,
            "GET /apps HTTP/1.1\r\nHost: paas.example:4443\r\nConnection: close\r\nAccept: x\r\n\r\n"
        );
    }
}

//! The router's listening sockets on their way from one process to another: they stay open, so nobody who connects
//! meanwhile is refused.
//!
//! Whoever has them puts them into a message on a pair of sockets and makes the other end the receiver's standard
//! input. The message waits there, whatever becomes of the sender. Later the receiver says by the same pair when it
//! begins to leave.

use std::{
    collections::BTreeMap,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context, Result, bail};
use renga_router::Listeners;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send as send_bytes, sendmsg,
    socketpair,
};
use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;

/// The kernel passes at most 253 descriptors in one message.
const SOCKETS_MAX: usize = 252;
/// Sockets of one port: for each thread of the router one.
pub(crate) const SOCKETS_PER_PORT_MAX: usize = SOCKETS_MAX / 2;
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// The receiver accepts no more.
const LEAVING: &[u8] = b"leaving";

/// What comes with the sockets.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Word {
    /// How many of the sockets belong to the HTTP port; they come first. Whoever sends counts them.
    pub(crate) http: usize,
    /// Process ids of roles that the sender has started, if the receiver takes its place.
    pub(crate) roles: BTreeMap<String, i32>,
    /// Of routers that end their last requests.
    #[serde(default)]
    pub(crate) draining: Vec<i32>,
    /// How often a newer program has taken over already.
    pub(crate) takeovers: u64,
}

/// The sockets, on their way.
#[derive(Debug)]
pub(crate) struct Handed {
    /// What the receiver gets as its standard input.
    pub(crate) theirs: OwnedFd,
    /// Where it says that it leaves.
    pub(crate) ours: OwnedFd,
}

pub(crate) fn send(listeners: &Listeners, word: Word) -> Result<Handed> {
    let word = serde_json::to_vec(&Word { http: listeners.http.len(), ..word })?;
    let sockets: Vec<_> = listeners.http.iter().chain(&listeners.tls).map(|socket| socket.as_fd()).collect();
    if sockets.len() > SOCKETS_MAX {
        bail!("{} listening sockets are more than one message can carry", sockets.len());
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("could not make a pair of sockets")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        bail!("the listening sockets do not fit into one message");
    }
    sendmsg(&ours, &[IoSlice::new(&word)], &mut control, SendFlags::empty())
        .context("could not hand the listening sockets over")?;
    Ok(Handed { theirs, ours })
}

/// Says to whoever has sent us the sockets that we accept no more. That nobody may listen is no matter.
pub(crate) fn say_leaving() {
    _ = send_bytes(rustix::stdio::stdin(), LEAVING, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Returns when the receiver says so; never if it ends without a word.
pub(crate) async fn left(ours: OwnedFd) -> Result<()> {
    // Messages on a connection are read as datagrams are.
    let end = std::os::unix::net::UnixDatagram::from(ours);
    end.set_nonblocking(true)?;
    let (end, mut said) = (UnixDatagram::from_std(end)?, [0; LEAVING.len()]);
    loop {
        match end.recv(&mut said).await {
            Ok(0) | Err(_) => return std::future::pending().await,
            Ok(_) if said == LEAVING => return Ok(()),
            Ok(_) => {}
        }
    }
}

/// What was sent to our standard input.
pub(crate) fn receive() -> Result<(Listeners, Word)> {
    receive_from(rustix::stdio::stdin())
}

fn receive_from(end: impl std::os::fd::AsFd) -> Result<(Listeners, Word)> {
    let mut text = vec![0; TEXT_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(end, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .context("no listening sockets came on standard input")?;
    let word: Word = serde_json::from_slice(&text[..got.bytes])
        .context("what came on standard input is no word of ours")?;
    let mut http = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            http.extend(sockets.map(TcpListener::from));
        }
    }
    if word.http == 0 || http.len() <= word.http {
        bail!("{} listening sockets came, and {} of them for HTTP", http.len(), word.http);
    }
    let tls = http.split_off(word.http);
    Ok((Listeners { http, tls }, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_come_through_with_who_waits_in_them() {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = Listeners { http: vec![bind(), bind()], tls: vec![bind()] };
        let address = ours.http[1].local_addr().unwrap();
        let word = Word { roles: [("node".to_owned(), 7)].into(), draining: vec![8], takeovers: 3, http: 0 };
        let end = send(&ours, word).unwrap().theirs;
        let waiting = std::net::TcpStream::connect(address).unwrap();
        drop(ours);
        let (theirs, word) = receive_from(&end).unwrap();
        assert_eq!((theirs.http.len(), theirs.tls.len(), word.roles["node"], word.takeovers), (2, 1, 7, 3));
        assert_eq!(word.draining, [8]);
        let (_, from) = theirs.http[1].accept().unwrap();
        assert_eq!(from, waiting.local_addr().unwrap());
    }

    #[tokio::test]
    async fn who_leaves_is_told_from_who_dies() {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = Listeners { http: vec![bind()], tls: vec![bind()] };
        let leaves = send(&sockets, Word::default()).unwrap();
        // What is not read when it is closed resets the other end.
        receive_from(&leaves.theirs).unwrap();
        send_bytes(&leaves.theirs, LEAVING, SendFlags::empty()).unwrap();
        drop(leaves.theirs);
        left(leaves.ours).await.unwrap();
        let dies = send(&sockets, Word::default()).unwrap();
        receive_from(&dies.theirs).unwrap();
        drop(dies.theirs);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), left(dies.ours)).await;
        assert!(waited.is_err());
    }
}

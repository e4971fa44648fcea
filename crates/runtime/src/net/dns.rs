//! A DNS forwarder on the bridge: dynos ask it, it asks the machine's own resolvers.
//!
//! Dynos can't reach the resolvers themselves (they are often private addresses or on loopback). Questions are passed
//! on as they are, over UDP and TCP; nothing is cached and nothing is parsed but the id. When too many questions are
//! under way, new ones are dropped: resolvers ask again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::error::{Doing, Result};

const QUESTIONS_MAX: usize = 512;
const CONNECTIONS_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 4096;
const ANSWER_BYTES_MAX: usize = 65_535;
const HEADER_BYTES: usize = 12;
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn serve(
    listen: SocketAddr,
    upstreams: Vec<SocketAddr>,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<()> {
    let udp = UdpSocket::bind(listen).await.doing("listen for DNS questions on", listen)?;
    let tcp = TcpListener::bind(listen).await.doing("listen for DNS connections on", listen)?;
    let upstreams: Arc<[SocketAddr]> = upstreams.into();
    tasks.spawn(serve_udp(Arc::new(udp), Arc::clone(&upstreams), tasks.clone(), cancel.clone()));
    tasks.spawn(serve_tcp(tcp, upstreams, tasks.clone(), cancel.clone()));
    Ok(())
}

async fn serve_udp(
    socket: Arc<UdpSocket>,
    upstreams: Arc<[SocketAddr]>,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let received = tokio::select! {
            biased;
            // The node ends; questions under way are lost and asked again.
            () = cancel.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An ICMP error of an earlier answer shows here; the socket itself is well.
        let Ok((length, from)) = received else { continue };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        if length < HEADER_BYTES {
            continue;
        }
        let question = buffer[..length].to_vec();
        let (socket, upstreams) = (Arc::clone(&socket), Arc::clone(&upstreams));
        tasks.spawn(async move {
            let answer = ask_all(&question, &upstreams).await.unwrap_or_else(|| failure(&question));
            // Who does not get the answer asks again.
            socket.send_to(&answer, from).await.ok();
            drop(place);
        });
    }
}

async fn ask_all(question: &[u8], upstreams: &[SocketAddr]) -> Option<Vec<u8>> {
    for upstream in upstreams {
        match timeout(UPSTREAM_TIMEOUT, ask(question, *upstream)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%upstream, %error, "a resolver does not answer"),
            Err(_) => tracing::debug!(%upstream, "a resolver does not answer in time"),
        }
    }
    None
}

/// A socket and thus a port for each question; a connected socket takes answers from its peer alone.
async fn ask(question: &[u8], upstream: SocketAddr) -> std::io::Result<Vec<u8>> {
    let local: SocketAddr =
        if upstream.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(upstream).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= HEADER_BYTES && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// The question itself as an answer with the code SERVFAIL, so that the asker need not wait.
fn failure(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x82;
    answer
}

async fn serve_tcp(
    listener: TcpListener,
    upstreams: Arc<[SocketAddr]>,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else {
            // Out of descriptors, most likely: trying at once would only burn time.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let upstreams = Arc::clone(&upstreams);
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                // Its end, by either side or by time, needs no word.
                _ = timeout(CONNECTION_TIMEOUT, relay(client, &upstreams)) => {}
            }
            drop(place);
        });
    }
}

async fn relay(mut client: TcpStream, upstreams: &[SocketAddr]) {
    for upstream in upstreams {
        if let Ok(Ok(mut server)) = timeout(UPSTREAM_TIMEOUT, TcpStream::connect(upstream)).await {
            if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
                tracing::debug!(%upstream, %error, "a DNS connection broke");
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every question with its own bytes reversed behind the id.
    async fn resolver() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        TaskTracker::new().spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                buffer[2..length].reverse();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn questions_are_passed_on_and_failures_told() {
        let question = b"\x12\x34abcdefghijklmn";
        let dead: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let answer = ask_all(question, &[dead, resolver().await]).await.unwrap();
        assert_eq!(answer, b"\x12\x34nmlkjihgfedcba");
        assert!(ask_all(question, &[dead]).await.is_none());
        assert_eq!(failure(question)[3] & 0x0f, 2);
    }

    #[tokio::test]
    async fn long_answers_go_by_tcp() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(&[7; 9000]).await.unwrap();
        });
        let cancel = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = listener.local_addr().unwrap();
        let dead: SocketAddr = "127.0.0.1:1".parse().unwrap();
        tasks.spawn(serve_tcp(listener, Arc::new([dead, address]), tasks.clone(), cancel.clone()));
        let mut client = TcpStream::connect(front).await.unwrap();
        client.write_all(b"what").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [7; 9000]);
        drop(client);
        cancel.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

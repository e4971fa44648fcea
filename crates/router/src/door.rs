//! A client's connection: accepted, told apart by its first byte, unwrapped from TLS if it is that, served as the HTTP
//! that the handshake agreed on.
//!
//! ```text
//! accept ──(PROXY header)──first byte 0x16──> TLS handshake, certificate by SNI ──┐
//!                    └────any other byte──────────────────────────────────────────┴──> HTTP/1 or HTTP/2 until closed or idle
//! ```
//!
//! On the order to stop the sockets accept what waits in the kernel's queues and close; a connection ends with the
//! answer it is at (`Connection: close`), an idle one after a moment, in which a request that was already on the wire
//! still gets its answer.

use std::{
    io,
    net::IpAddr,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rustls::ProtocolVersion;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{
    buffer::Buffer,
    client_io::{ClientIo, Stream},
    config::Config,
    exchange::Door,
    forwarded::among,
    h1, h2,
    listen::BACKLOG,
    proxy_protocol,
    thread::Thread,
};

/// First byte of a TLS record that carries a handshake. No HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// After an `accept` that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the order to stop, then takes what the kernel has accepted for us already.
pub(crate) async fn accept(thread: Rc<Thread>, listener: TcpListener, places: Arc<Semaphore>) {
    let closing = thread.closing.clone();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let accepted = tokio::select! {
            biased;
            // The order to stop.
            () = closing.cancelled() => break,
            // The next client, once there is a place for it.
            accepted = next => accepted,
        };
        let Some((accepted, place)) = accepted else { break };
        match accepted {
            Ok((stream, peer)) => admit(&thread, stream, peer.ip(), place),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Where a successor accepts from the same queue, that may go on and on.
    for _ in 0..BACKLOG {
        let Ok(place) = places.clone().try_acquire_owned() else { break };
        let Ok(Ok((stream, peer))) = timeout(Duration::ZERO, listener.accept()).await else { break };
        admit(&thread, stream, peer.ip(), place);
    }
}

fn admit(thread: &Rc<Thread>, stream: TcpStream, peer: IpAddr, place: OwnedSemaphorePermit) {
    let (serving, open) = (thread.clone(), Open::new(thread));
    thread.clients.spawn_local(async move {
        let cut = serving.cut.clone();
        // Made in here: captured, it would lie in the task twice.
        cut.run_until_cancelled(connection(serving, stream, peer)).await;
        drop((open, place));
    });
}

/// A client's connection in the counts.
struct Open(Rc<Thread>);

impl Open {
    fn new(thread: &Rc<Thread>) -> Self {
        thread.counts().clients.come();
        Self(thread.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts().clients.gone();
    }
}

async fn connection(thread: Rc<Thread>, mut stream: TcpStream, peer: IpAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not switch off delays to a client");
    }
    let limits = &thread.shared.config.limits;
    let greeting = Box::pin(greet(&thread.shared.config, &mut stream, peer));
    let Ok(Ok((peer, first))) = timeout(limits.header_read_timeout, greeting).await else { return };
    let from_proxy = among(&thread.shared.config.trusted_proxies, peer);
    let mut http2 = false;
    let (stream, tls) = if first == TLS_HANDSHAKE {
        // What is needed for a moment only must not lie in every idle connection.
        let shaken = Box::pin(timeout(limits.handshake_timeout, handshake(&thread, stream))).await;
        thread.counts().handshake(matches!(shaken, Ok(Some(_))));
        match shaken {
            Ok(Some(stream)) => {
                let version = tls_version(&stream);
                http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Stream::Tls(Box::new(stream)), Some(version))
            }
            _ => return,
        }
    } else {
        (Stream::Plain(stream), None)
    };
    let stalled = Arc::new(AtomicBool::new(false));
    let peer = peer.to_canonical().to_string();
    let io = ClientIo::new(stream, limits.idle_timeout, stalled.clone());
    converse(thread, io, Rc::new(Door { peer, from_proxy, tls, stalled }), http2).await;
}

/// Who the client is, and its first byte.
async fn greet(config: &Config, stream: &mut TcpStream, peer: IpAddr) -> io::Result<(IpAddr, u8)> {
    let named = match among(&config.proxy_protocol, peer) {
        true => proxy_protocol::take(stream).await?,
        false => None,
    };
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok((named.unwrap_or(peer), first[0])),
    }
}

async fn handshake(thread: &Thread, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.ok()?;
    let name = hello.client_hello().server_name().map(str::to_ascii_lowercase);
    let table = thread.table();
    let known = name.as_deref().and_then(|name| table.certificate(name));
    let app = name.as_deref().and_then(|name| table.find(name)).map(|app| &table.apps[app]);
    let http2 = app.is_none_or(|app| !app.row.flags.no_http2);
    let served = thread.shared.certificates.find(name.as_deref(), known).await?;
    match hello.into_stream(served.config(http2)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

fn tls_version(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "tls1.2",
        Some(ProtocolVersion::TLSv1_3) => "tls1.3",
        _ => "unknown",
    }
}

/// `http2`: agreed on in the handshake. A client that knows us may begin with it unasked.
async fn converse(thread: Rc<Thread>, io: ClientIo, door: Rc<Door>, http2: bool) {
    let begun = match http2 {
        true => Some((io, Buffer::default())),
        false => h1::serve(thread.clone(), io, door.clone()).await,
    };
    if let Some((io, prefix)) = begun {
        Box::pin(h2::serve(thread, h2::Prefixed::new(prefix, io), door)).await;
    }
}

//! The API's listeners: one router on plain HTTP (loopback) and on TLS. HTTP/1.1 only: that is what the clients speak.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// From the connection to a complete request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way may go on this long after the order to stop; builds go on without their readers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at one time on one listener.
const CONNECTIONS_MAX: usize = 2_000;
/// Request heads (`Request-Id` lists of the official CLI reach 8 KiB).
const HEAD_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("could not listen on {address} for the {what}; is another platform running? (port 0 picks a free one)")
    })
}

/// Serves until `stop`, then lets requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    app: axum::Router,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("never closed");
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, as a rule: the connections that are open will end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let (app, tls, watcher) = (app.clone(), tls.clone(), graceful.watcher());
        tasks.spawn(async move {
            match tls {
                None => talk(stream, app, watcher).await,
                Some(config) => {
                    if let Some(stream) = shake_hands(stream, config).await {
                        talk(stream, app, watcher).await;
                    }
                }
            }
            drop(slot);
        });
    }
    drop(listener);
    tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.ok();
}

async fn shake_hands(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.ok()?.ok()
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: axum::Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("an API connection ended: {error}");
    }
}

//! Metrics over HTTP, on an address of the operator's that clients of apps do not reach.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::text::render;
use crate::thread::Shared;

const CONNECTIONS_MAX: usize = 16;
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// For a question and its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A predecessor that ends its last requests still has the address.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// Answers until the order to stop. An address that cannot be had is told once, and tried again: traffic does not wait
/// for its metrics.
pub(crate) async fn serve(address: SocketAddr, shared: Arc<Shared>, stop: CancellationToken) {
    stop.run_until_cancelled(answer_all(address, shared)).await;
}

async fn answer_all(address: SocketAddr, shared: Arc<Shared>) {
    let listener = bind(address).await;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics at http://{address}/metrics");
        _ = shared.metrics_address.set(address);
    }
    // They are dropped with this task.
    let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
    let _ends = cut.clone().drop_guard();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if tasks.len() < CONNECTIONS_MAX => {
                let (shared, cut) = (shared.clone(), cut.clone());
                tasks.spawn(async move {
                    let answered = timeout(ANSWER_TIMEOUT, answer(stream, &shared));
                    cut.run_until_cancelled(answered).await;
                });
            }
            // Whoever asks so often asks again.
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection for metrics");
                tokio::time::sleep(BIND_PAUSE).await;
            }
        }
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "could not listen on {address} for metrics; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
}

/// One question to a connection.
async fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match head.split(|byte| *byte == b' ').take(2).collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics"] => ("200 OK", render(shared)),
        _ => ("404 Not Found", "There is GET /metrics here, and nothing else.\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

//! Both ends of the certificate socket: one question, one answer, as often as the router likes on one connection.

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;
use renga_model::Secret;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::frame::{self, CERTIFICATE_BYTES_MAX};

/// A certificate with its chain, and its key, both PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    pub chain_pem: String,
    pub key_pem: Secret,
}

/// The server's side: has, or makes, a certificate for a host name.
#[async_trait]
pub trait Issuer: Send + Sync + 'static {
    /// An error is told to the router, which says it in its own log; it must hold no secret.
    async fn issue(&self, name: &str) -> Result<Issued, String>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Issued(Issued),
    Refused(String),
}

/// Answers routers until the token is cancelled. Who may connect is the matter of the socket's owner and mode.
pub async fn serve(listener: UnixListener, issuer: Arc<dyn Issuer>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // The server stops.
            () = shutdown.cancelled() => break,
            // A router connects.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let answering = answer(stream, issuer.clone());
                let shutdown = shutdown.clone();
                tasks.spawn(async move {
                    if let Some(Err(error)) = shutdown.run_until_cancelled(answering).await {
                        tracing::debug!(%error, "a router's question for certificates broke off");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a router's question for certificates");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn answer(mut stream: UnixStream, issuer: Arc<dyn Issuer>) -> io::Result<()> {
    while let Some(bytes) = frame::read_bytes(&mut stream, CERTIFICATE_BYTES_MAX).await? {
        let question: Question = serde_json::from_slice(&bytes)?;
        let reply = match issuer.issue(&question.name).await {
            Ok(issued) => Reply::Issued(issued),
            Err(reason) => Reply::Refused(reason),
        };
        frame::write(&mut stream, &reply, CERTIFICATE_BYTES_MAX).await?;
    }
    Ok(())
}

/// The router's side.
pub(super) async fn ask(socket: &Path, name: &str) -> io::Result<Issued> {
    let mut stream = UnixStream::connect(socket).await?;
    frame::write(&mut stream, &Question { name: name.to_owned() }, CERTIFICATE_BYTES_MAX).await?;
    match frame::read(&mut stream, CERTIFICATE_BYTES_MAX).await? {
        Reply::Issued(issued) => Ok(issued),
        Reply::Refused(reason) => Err(io::Error::other(reason)),
    }
}

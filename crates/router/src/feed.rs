//! The server's end of the control socket.

use std::{io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use renga_model::{RouteChange, RouteTable};
use renga_ports::{Published, RouteFeed, RouteFeedError, Traffic};
use tokio::{net::UnixStream, sync::Mutex};

use crate::{
    control::{Ask, Reply, TRAFFIC_WAIT_MAX},
    frame::{self, TABLE_BYTES_MAX},
};

/// A router that does not answer in this time counts as away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes to the router behind a control socket. Publishing a generation that the router has, again and again, is
/// cheap: only the generation travels, and the requests in flight come back. So is a change of the table that it has.
#[derive(Debug)]
pub struct UnixRouteFeed {
    socket: PathBuf,
    link: Mutex<Link>,
    /// For the question that waits for its answer.
    watch: Mutex<Link>,
}

#[derive(Debug, Default)]
struct Link {
    stream: Option<UnixStream>,
    /// What the router said it routes by.
    acknowledged: Option<u64>,
}

impl UnixRouteFeed {
    /// `socket` is `DATA_DIR/router/control.sock`; the router need not be there yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), link: Mutex::default(), watch: Mutex::default() }
    }

    async fn ask(&self, link: &mut Link, ask: &Ask<'_>, time: Duration) -> Result<Reply, RouteFeedError> {
        let reused = link.stream.is_some();
        match tokio::time::timeout(time, self.converse(link, ask)).await {
            Ok(Ok(reply)) => Ok(reply),
            // The router was started anew since the last time; every question may be asked twice.
            Ok(Err(_)) if reused => match tokio::time::timeout(time, self.converse(link, ask)).await {
                Ok(result) => result.map_err(RouteFeedError::Away),
                Err(_) => Err(away(io::ErrorKind::TimedOut)),
            },
            Ok(Err(error)) => Err(RouteFeedError::Away(error)),
            Err(_) => Err(away(io::ErrorKind::TimedOut)),
        }
    }

    /// The connection is out of the link while in use, so that one that broke off in the middle is not used again.
    async fn converse(&self, link: &mut Link, ask: &Ask<'_>) -> io::Result<Reply> {
        let mut stream = match link.stream.take() {
            Some(stream) => stream,
            None => UnixStream::connect(&self.socket).await?,
        };
        frame::write(&mut stream, ask, TABLE_BYTES_MAX).await?;
        let reply = frame::read(&mut stream, TABLE_BYTES_MAX).await?;
        link.stream = Some(stream);
        Ok(reply)
    }
}

#[async_trait]
impl RouteFeed for UnixRouteFeed {
    async fn publish(&self, table: &RouteTable) -> Result<Published, RouteFeedError> {
        self.publish_change(table, &RouteChange::default()).await
    }

    async fn publish_change(
        &self,
        table: &RouteTable,
        change: &RouteChange,
    ) -> Result<Published, RouteFeedError> {
        let mut link = self.link.lock().await;
        let leads_on = change.from > 0 && change.to == table.generation;
        let mut ask = match link.acknowledged {
            Some(known) if known == table.generation => Ask::InFlight { generation: table.generation },
            Some(known) if leads_on && known == change.from => Ask::Change(change),
            _ => Ask::Publish(table),
        };
        loop {
            match self.ask(&mut link, &ask, ANSWER_TIMEOUT).await? {
                Reply::Routing { generation, in_flight } => {
                    link.acknowledged = Some(generation);
                    return Ok(Published { generation, in_flight });
                }
                Reply::Stale { seen } => return Err(RouteFeedError::Stale { seen }),
                // It lost the table with its memory.
                Reply::Behind { .. } if !matches!(ask, Ask::Publish(_)) => ask = Ask::Publish(table),
                Reply::Refused(reason) => return Err(RouteFeedError::Away(io::Error::other(reason))),
                _ => return Err(away(io::ErrorKind::InvalidData)),
            }
        }
    }

    async fn traffic(&self, wait: Duration) -> Result<Traffic, RouteFeedError> {
        let wait = wait.min(TRAFFIC_WAIT_MAX);
        let ask = Ask::Traffic { wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) };
        let mut watch = self.watch.lock().await;
        match self.ask(&mut watch, &ask, wait + ANSWER_TIMEOUT).await? {
            Reply::Traffic { waiting, idle_ms } => {
                let idle = idle_ms.into_iter().map(|(app, ms)| (app, Duration::from_millis(ms)));
                Ok(Traffic { waiting, idle: idle.collect() })
            }
            Reply::Refused(reason) => Err(RouteFeedError::Away(io::Error::other(reason))),
            _ => Err(away(io::ErrorKind::InvalidData)),
        }
    }
}

fn away(kind: io::ErrorKind) -> RouteFeedError {
    RouteFeedError::Away(kind.into())
}

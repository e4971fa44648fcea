//! The order to stop.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpStream;

use crate::rig::{Backend, Rig, config, patient_limits};

/// Answers once `told` says so.
async fn waiting(
    told: tokio::sync::watch::Receiver<bool>,
    seen: tokio::sync::mpsc::UnboundedSender<()>,
) -> Backend {
    Backend::start(move |mut client| {
        let (mut told, seen) = (told.clone(), seen.clone());
        async move {
            client.head().await;
            seen.send(()).unwrap();
            if told.wait_for(|told| *told).await.is_ok() {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn requests_under_way_end_and_nothing_new_begins() {
    let mut rig = Rig::start().await;
    let (say, told) = tokio::sync::watch::channel(false);
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let backend = waiting(told, seen).await;
    rig.serve(&[backend.address]).await;
    let mut idle = rig.client().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n").await;
    assert_eq!(idle.reply().await.status, 404);
    let mut busy = rig.client().await;
    busy.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    saw.recv().await.unwrap();
    let (router, address) = (rig.take_router(), rig.addresses.http);
    let stopping = tokio::spawn(router.stop());
    // The idle connection ends, the port refuses, and the request goes on.
    assert_eq!(idle.rest().await, "");
    assert!(TcpStream::connect(address).await.is_err());
    say.send(true).unwrap();
    let reply = busy.reply().await;
    assert_eq!((reply.body.as_str(), reply.header("connection")), ("done", vec!["close"]));
    stopping.await.unwrap().unwrap();
    assert!(rig.line().await.contains("at=info "));
}

#[tokio::test]
async fn what_outlasts_the_drain_is_cut_and_told() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut config = config(&directory, patient_limits());
    config.drain_timeout = Duration::from_millis(100);
    let mut rig = Rig::from(directory, config).await;
    let (_say, told) = tokio::sync::watch::channel(false);
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let backend = waiting(told, seen).await;
    rig.serve(&[backend.address]).await;
    let mut busy = rig.client().await;
    busy.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    saw.recv().await.unwrap();
    rig.take_router().stop().await.unwrap();
    assert_eq!(busy.rest().await, "");
    let line = rig.line().await;
    assert!(line.starts_with("at=error code=H24 desc=\"Forced close\" "), "{line}");
    assert!(line.contains(" dyno=web.1 connect=Nms service=Nms status= bytes=0 "), "{line}");
}

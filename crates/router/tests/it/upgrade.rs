//! Connections that leave HTTP.

use std::time::Duration;

use crate::rig::{Backend, Peer, Rig, header};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Accepts the upgrade, checks that it was asked as a server expects it, and sends every byte back.
async fn echo(mut client: Peer<TcpStream>) {
    let head = client.head().await.unwrap();
    assert_eq!((header(&head, "connection"), header(&head, "upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(header(&head, "sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    // The first words come right behind the head.
    client
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ")
        .await;
    let (mut from, mut to) = client.stream.split();
    let _ended = tokio::io::copy(&mut from, &mut to).await;
}

#[tokio::test]
async fn bytes_flow_both_ways_until_one_side_ends() {
    let (mut rig, dyno) = (Rig::start().await, Backend::start(echo).await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(ASK).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((header(&head, "connection"), header(&head, "upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(client.exactly(6).await, "hello ");
    for _ in 0..8 {
        client.send("ping").await;
        assert_eq!(client.exactly(4).await, "ping");
        // Longer in all than the idle window.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(rig.feed_in_flight().await, 1);
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    let line = rig.line().await;
    assert!(line.starts_with("at=info method=GET path=\"/chat\" "), "{line}");
    assert!(line.contains(" dyno=web.1 connect=Nms service=Nms status=101 bytes=38 "), "{line}");
    assert_eq!(rig.feed_in_flight().await, 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_silent_pipe_is_closed() {
    let (mut rig, dyno) = (Rig::hasty().await, Backend::start(echo).await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(ASK).await;
    client.head().await.unwrap();
    assert_eq!(client.rest().await, "hello ");
    let line = rig.line().await;
    assert!(line.starts_with("at=error code=H15 desc=\"Idle connection\" "), "{line}");
}

#[tokio::test]
async fn a_dyno_may_decline() {
    let (mut rig, dyno) =
        (Rig::start().await, Backend::says("HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno").await);
    rig.serve(&[dyno.address]).await;
    let reply = rig.ask(ASK).await;
    assert_eq!((reply.status, reply.body.as_str()), (400, "no"));
}

#[tokio::test]
async fn a_dyno_may_not_switch_unasked() {
    let (mut rig, dyno) = (
        Rig::start().await,
        Backend::says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await,
    );
    rig.serve(&[dyno.address]).await;
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.starts_with("at=error code=H17 "));
}

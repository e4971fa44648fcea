//! What stands in front of us: load balancers that pass TCP on, and proxies that speak HTTP.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpStream;

use crate::rig::{Backend, Rig, config, header, patient_limits};

const LOCAL: &str = "127.0.0.0/8";

async fn behind(proxy_protocol: &[&str], trusted: &[&str]) -> (Rig, Backend) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut config = config(&directory, patient_limits());
    let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    (config.proxy_protocol, config.trusted_proxies) = (parsed(proxy_protocol), parsed(trusted));
    config.limits.header_read_timeout = Duration::from_millis(300);
    let (mut rig, dyno) = (Rig::from(directory, config).await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    (rig, dyno)
}

fn version_2(client: [u8; 4]) -> Vec<u8> {
    let addresses = [&client[..], &[127, 0, 0, 1, 0x12, 0x34, 0, 80]].concat();
    // What else it says of the connection (here: nothing, in three bytes) is passed over.
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f", &addresses[..], &[4, 0, 0]].concat()
}

#[tokio::test]
async fn a_proxy_header_names_the_client() {
    let (mut rig, _dyno) = behind(&[LOCAL], &[]).await;
    let request = "GET / HTTP/1.1\r\nHost: app.localhost\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    for (greeting, client) in [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 1234 80\r\n".to_vec(), "2001:db8::7"),
        (version_2([192, 0, 2, 9]), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut peer = rig.client().await;
        // In two pieces, of which the first ends within the header.
        peer.send_bytes(&greeting[..11]).await;
        tokio::task::yield_now().await;
        peer.send_bytes(&[&greeting[11..], request.as_bytes()].concat()).await;
        let reply = peer.reply().await;
        assert_eq!(reply.status, 200);
        assert_eq!(header(&reply.body, "x-forwarded-for"), [format!("1.2.3.4, {client}")]);
        assert!(rig.line().await.contains(&format!(" fwd=\"1.2.3.4, {client}\" ")));
        // It stands once, before all requests of the connection.
        peer.send(request).await;
        assert_eq!(header(&peer.reply().await.body, "x-forwarded-for"), [format!("1.2.3.4, {client}")]);
        rig.line().await;
    }
}

#[tokio::test]
async fn without_its_header_a_load_balancer_gets_nothing() {
    let (rig, _dyno) = behind(&[LOCAL], &[]).await;
    for greeting in ["GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n", "PROXY TCP4 1.2.3.4", "PROXY\r\n", ""] {
        let mut peer = rig.client().await;
        peer.send(greeting).await;
        assert_eq!(peer.rest().await, "", "{greeting:?}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_strangers_proxy_header_is_no_request() {
    let (rig, _dyno) = behind(&["192.0.2.0/24"], &["192.0.2.0/24"]).await;
    let mut peer = rig.client().await;
    peer.send("PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\nGET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    let answer = peer.rest().await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(rig.get("/").await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    // Of the load balancer's connections only those that come from the trusted CDN.
    let (mut rig, _dyno) = behind(&[LOCAL], &["198.51.100.0/24"]).await;
    let request = "GET / HTTP/1.1\r\nHost: app.localhost\r\nX-Forwarded-For: 1.2.3.4, 198.51.100.9\r\n\
                   X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n\r\n";
    for (from, told) in [
        ("198.51.100.1", ["1.2.3.4", "https", "8443"]),
        ("203.0.113.1", ["1.2.3.4, 198.51.100.9, 203.0.113.1", "http", "80"]),
    ] {
        let mut peer = rig.client().await;
        peer.send(&format!("PROXY TCP4 {from} 127.0.0.1 1234 80\r\n{request}")).await;
        let reply = peer.reply().await;
        let seen = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"];
        assert_eq!(seen.map(|name| header(&reply.body, name).join(" | ")), told.map(str::to_owned));
        assert!(rig.line().await.contains(&format!(" fwd=\"{}\" ", told[0])));
    }
}

/// TLS begins behind the header.
#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let (rig, _dyno) = behind(&[LOCAL], &[]).await;
    let mut peer = crate::rig::Peer::new(TcpStream::connect(rig.addresses.tls).await.unwrap());
    peer.send("PROXY UNKNOWN\r\n").await;
    assert_eq!(peer.rest().await, "");
    rig.stop().await;
}

//! Where one thing ends and the next begins: upgrades, answers without bodies, protocols in the middle of a connection,
//! ends that are none. What is on the wire behind such an edge must never be taken for something else.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::rig::{Backend, Rig, header};

const UPGRADE: &str = "Host: app.localhost\r\nConnection: upgrade\r\nUpgrade: raw\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";

/// The request's body is HTTP, what follows is not: a dyno that switches before it has the body mixes both up.
#[tokio::test]
async fn a_dyno_switches_behind_the_request_and_not_within_it() {
    let mut rig = Rig::hasty().await;
    let polite = Backend::start(|mut client| async move {
        let Some(head) = client.head().await else { return };
        let body = client.body(&head, false).await;
        client.send(SWITCHING).await;
        client.send(&format!("[{body}]")).await;
        let said = client.exactly(4).await;
        client.send(&said).await;
    })
    .await;
    rig.serve(&[polite.address]).await;
    for (framing, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        let mut client = rig.client().await;
        client.send(&format!("POST / HTTP/1.1\r\n{UPGRADE}{framing}\r\n{body}ping")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 101 "), "{framing}");
        assert_eq!(client.rest().await, "[hello]ping", "{framing}");
        rig.line().await;
    }
    let hasty = Backend::says_and_waits(SWITCHING).await;
    rig.serve(&[hasty.address]).await;
    let mut client = rig.client().await;
    client.send(&format!("POST / HTTP/1.1\r\n{UPGRADE}Content-Length: 5\r\n\r\nhe")).await;
    assert_eq!(client.reply().await.status, 503);
    assert!(rig.line().await.starts_with("at=error code=H17 "));
}

#[tokio::test]
async fn a_switch_says_to_what() {
    let mut rig = Rig::start().await;
    let dyno = Backend::says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n").await;
    rig.serve(&[dyno.address]).await;
    assert_eq!(rig.ask(&format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n")).await.status, 503);
    assert!(rig.line().await.starts_with("at=error code=H17 "));
}

#[tokio::test]
async fn what_follows_an_upgrade_that_was_declined_is_the_next_request() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client
        .send(&format!("GET /1 HTTP/1.1\r\n{UPGRADE}\r\nGET /2 HTTP/1.1\r\nHost: app.localhost\r\n\r\n"))
        .await;
    let (first, second) = (client.reply().await, client.reply().await);
    assert!(first.body.starts_with("GET /1 HTTP/1.1\r\n") && !first.body.contains("/2"), "{}", first.body);
    assert!(second.body.starts_with("GET /2 HTTP/1.1\r\n"), "{}", second.body);
    assert_eq!(header(&second.body, "upgrade"), [""; 0]);
}

/// A body where none may be is nobody's answer.
#[tokio::test]
async fn bodies_behind_answers_that_have_none_reach_nobody() {
    let mut rig = Rig::start().await;
    for (method, status) in [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")] {
        let dyno = Backend::start(move |mut client| async move {
            while let Some(head) = client.head().await {
                let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
                let length = forged.len();
                match head.starts_with("GET /good ") {
                    true => client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").await,
                    false => {
                        client
                            .send(&format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{forged}"))
                            .await
                    }
                }
            }
        })
        .await;
        rig.serve(&[dyno.address]).await;
        let mut client = rig.client().await;
        for _ in 0..8 {
            client.send(&format!("{method} /bad HTTP/1.1\r\nHost: app.localhost\r\n\r\n")).await;
            assert_eq!(client.reply_to("HEAD").await.status.to_string(), status[..3]);
            client.send("GET /good HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
            assert_eq!(client.reply().await.body, "good", "{status}");
        }
    }
}

/// Where such an answer ends, two readers may disagree: its connection carries no other.
#[tokio::test]
async fn answers_with_two_ends_end_their_connection() {
    let mut rig = Rig::start().await;
    for (answer, connections) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n", 3),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            3,
        ),
    ] {
        let dyno = Backend::start(move |mut client| async move {
            while client.head().await.is_some() {
                client.send(answer).await;
            }
        })
        .await;
        rig.serve(&[dyno.address]).await;
        let mut client = rig.client().await;
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
            let reply = client.reply().await;
            assert_eq!((&*reply.body, reply.header("content-length")), ("ok", vec![]));
        }
        assert_eq!(dyno.connections(), connections, "{answer}");
    }
}

/// HTTP/2 begins a connection or does not take place: what a proxy in front takes for a request stays one.
#[tokio::test]
async fn http2_does_not_begin_behind_a_request() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.reply().await.status, 505);
    assert_eq!(client.rest().await, "");
}

/// The body of a request that is refused is not looked at, least of all as a request.
#[tokio::test]
async fn bodies_of_refused_requests_are_no_requests() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    for (host, extra, status) in
        [("nobody.localhost", "", 404), ("app.localhost", "Expect: a-lot\r\n", 417), ("a b", "", 400)]
    {
        let mut client = rig.client().await;
        let length = inner.len();
        client
            .send(&format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\n{extra}Content-Length: {length}\r\n\r\n{inner}"
            ))
            .await;
        assert_eq!(client.reply().await.status, status);
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.rest().await, "", "{host}");
    }
    assert_eq!(dyno.connections(), 0);
    // Without a body there is no doubt: the connection goes on.
    let mut client = rig.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\nGET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
        .await;
    assert_eq!((client.reply().await.status, client.reply().await.status), (404, 200));
}

/// Half of a request, and the end of the stream in TLS' words, in TCP's, or by a reset: never a whole request.
#[tokio::test]
async fn ends_within_a_body_are_no_ends_of_it() {
    let authority = crate::tls::Authority::new();
    let (mut rig, _serving) = crate::tls::rig(&authority).await;
    let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
    let dyno = Backend::start(move |mut client| {
        let seen = seen.clone();
        async move {
            client.head().await;
            let _gone = seen.send(client.rest().await);
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    for (framing, part) in [("Content-Length: 5", "hel"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")] {
        let request = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\n{framing}\r\n\r\n{part}");
        for way in 0..4 {
            let plain = || TcpStream::connect(rig.addresses.http);
            if way < 2 {
                let mut stream =
                    crate::tls::connect_with(&authority, rig.addresses.tls, "app.localhost", &[])
                        .await
                        .unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                if way == 0 {
                    stream.shutdown().await.unwrap();
                }
            } else {
                let mut stream = plain().await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                if way == 3 {
                    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
                }
            }
            let line = rig.line().await;
            assert!(line.starts_with("sock=client at=warning code=H27 "), "{framing}, {way}: {line}");
            // A reset may come before the dyno was asked.
            let body = tokio::time::timeout(std::time::Duration::from_secs(1), told.recv()).await;
            let body = body.ok().flatten().unwrap_or_default();
            assert!(!body.ends_with("0\r\n\r\n") && !body.ends_with("hello"), "{framing}, {way}: {body:?}");
        }
    }
}

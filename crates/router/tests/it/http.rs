//! Requests and answers that go well: heads, bodies, connections.

use std::{collections::BTreeSet, time::Duration};

use crate::rig::{Backend, Rig, header, steady};

#[tokio::test]
async fn the_dyno_sees_the_headers_of_a_heroku_router() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let reply = rig
        .ask(
            "GET /a?b=%20c HTTP/1.1\r\nHost: App.localhost.:8080\r\nX-Forwarded-For: 1.2.3.4\r\n\
             X-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 70\r\n\
             X-Forwarded-Host: kept.example\r\nX-Request-Id: 0123456789abcdefghij\r\nVia: 1.0 early\r\n\
             Connection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Hop: 1\r\nX-App: stays\r\n\
             Proxy-Authorization: x\r\n\r\n",
        )
        .await;
    assert_eq!(reply.status, 200);
    let seen = |name| header(&reply.body, name).join(" | ");
    assert!(reply.body.starts_with("GET /a?b=%20c HTTP/1.1\r\n"), "{}", reply.body);
    assert_eq!(seen("host"), "App.localhost.:8080");
    assert_eq!(seen("x-forwarded-for"), "1.2.3.4, 5.6.7.8, 127.0.0.1");
    assert_eq!((seen("x-forwarded-proto"), seen("x-forwarded-port")), ("http".into(), "80".into()));
    assert_eq!(seen("x-forwarded-host"), "kept.example");
    assert_eq!(seen("x-request-id"), "0123456789abcdefghij");
    assert_eq!(seen("via"), "1.0 early | 1.1 renga-router");
    assert_eq!(seen("x-app"), "stays");
    assert_eq!(seen("x-request-start").len(), 13);
    for number in ["connect-time", "total-route-time", "x-request-start"] {
        assert!(seen(number).parse::<u64>().is_ok(), "{number}");
    }
    for gone in ["connection", "keep-alive", "te", "x-hop", "proxy-authorization", "transfer-encoding"] {
        assert_eq!(seen(gone), "", "{gone}");
    }
    assert_eq!((reply.header("via"), reply.header("server")), (vec!["1.1 renga-router"], vec!["renga"]));
    let line = rig.raw_line().await;
    assert!(line.contains(" request_id=0123456789abcdefghij "), "{line}");
    assert_eq!(
        steady(&line),
        format!(
            "at=info method=GET path=\"/a?b=%20c\" host=app.localhost request_id=ID \
             fwd=\"1.2.3.4, 5.6.7.8, 127.0.0.1\" dyno=web.1 connect=Nms service=Nms status=200 bytes={} \
             protocol=http1.1 tls=false tls_version=unknown",
            reply.body.len()
        )
    );
    rig.stop().await;
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        let reply = client.reply().await;
        ids.insert(header(&reply.body, "x-request-id").join(""));
        client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nabc").await;
        assert!(client.reply().await.body.ends_with("abc"));
    }
    assert_eq!(dyno.connections(), 1);
    assert_eq!(ids.len(), 20);
    assert!(ids.iter().all(|id| id.parse::<uuid::Uuid>().is_ok()));
}

#[tokio::test]
async fn a_connection_that_the_dyno_closed_meanwhile_costs_no_request() {
    // Each connection carries one request and is closed behind its answer, unannounced.
    let dyno = Backend::start(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    for _ in 0..50 {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
    }
    for _ in 0..50 {
        assert!(rig.line().await.starts_with("at=info "));
    }
}

#[tokio::test]
async fn a_dyno_that_closes_on_the_next_request_gets_it_again_on_a_fresh_connection() {
    // Keeps the connection open, but takes the second request on it as the moment to close.
    let dyno = Backend::start(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        client.head().await;
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
    }
    // What must not be repeated is not.
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(client.reply().await.status, 503);
    for _ in 0..3 {
        rig.line().await;
    }
    assert!(rig.line().await.contains("code=H13 "));
}

#[tokio::test]
async fn answers_stream_frame_by_frame() {
    let (say, heard) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let heard = std::sync::Arc::new(tokio::sync::Mutex::new(heard));
    let dyno = Backend::start(move |mut client| {
        let heard = heard.clone();
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            while let Some(word) = heard.lock().await.recv().await {
                client.send(&format!("{:x}\r\n{word}\r\n", word.len())).await;
            }
            client.send("0\r\n\r\n").await;
        }
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(header(&head, "transfer-encoding"), ["chunked"]);
    for word in ["one", "two", "three"] {
        say.send(word).unwrap();
        // It arrives before the next one is said.
        client.until(word).await.unwrap();
    }
    drop(say);
    client.until("0\r\n\r\n").await.unwrap();
    assert!(rig.line().await.contains(" status=200 bytes=11 "));
}

#[tokio::test]
async fn requests_stream_while_they_are_sent() {
    let dyno = Backend::start(|mut client| async move {
        let head = client.head().await.unwrap();
        assert_eq!(header(&head, "transfer-encoding"), ["chunked"]);
        // Answers with the first chunk before the second one was sent.
        let chunk = client.until("first\r\n").await.unwrap();
        client.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{chunk}", chunk.len())).await;
        client.until("0\r\n\r\n").await;
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    // A length beside the chunks loses.
    client
        .send("GET / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    assert_eq!(client.reply().await.body, "5\r\nfirst\r\n");
    client.send("0\r\n\r\n").await;
}

#[tokio::test]
async fn expect_continue_is_answered_here_and_other_expectations_refused() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hi").await;
    let reply = client.reply().await;
    assert!(reply.body.ends_with("hi") && header(&reply.body, "expect").is_empty(), "{}", reply.body);
    // Lines of two connections may come in any order: this one is read first.
    assert!(rig.line().await.contains("status=200"));
    let reply = rig.ask("GET / HTTP/1.1\r\nHost: app.localhost\r\nExpect: tea\r\n\r\n").await;
    assert_eq!(reply.status, 417);
    assert_eq!(
        rig.line().await,
        "at=error code=H26 desc=\"Request Error\" cause=\"unsupported expect header value\" method=GET \
         path=\"/\" host=app.localhost request_id=ID fwd=\"127.0.0.1\" dyno= connect= service= status=417 \
         bytes= protocol=http1.1 tls=false tls_version=unknown"
    );
}

#[tokio::test]
async fn heads_outside_the_limits_are_refused() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let long = "a".repeat(9_000);
    let many: String = (0..1_001).map(|n| format!("x{n}: 1\r\n")).collect();
    let fits: String = (0..990).map(|n| format!("x{n}: 1\r\n")).collect();
    let good = format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{fits}\r\n");
    assert_eq!(rig.ask(&good).await.status, 200);
    for (bad, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: app.localhost\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: app.localhost\r\nx: {long}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{}: 1\r\n\r\n", "x".repeat(1_001)), 400),
        (format!("{} / HTTP/1.1\r\nHost: app.localhost\r\n\r\n", "M".repeat(128)), 400),
        (format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{many}\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.0\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: app.localhost\r\nHost: b\r\n\r\n".into(), 400),
        ("GET  / HTTP/1.1\r\nHost: app.localhost\r\n\r\n".into(), 400),
        ("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 15,24\r\n\r\n".into(), 400),
        (
            "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(),
            400,
        ),
        ("CONNECT app.localhost:80 HTTP/1.1\r\nHost: app.localhost\r\n\r\n".into(), 400),
    ] {
        let reply = rig.ask(&bad).await;
        assert_eq!(reply.status, status, "{}", &bad[..bad.len().min(60)]);
    }
    assert_eq!(dyno.connections(), 1);
}

#[tokio::test]
async fn old_clients_bodiless_answers_and_absolute_targets() {
    let (mut rig, mirror) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[mirror.address]).await;
    let reply = rig.ask("GET http://app.localhost/x HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert!(reply.body.starts_with("GET /x HTTP/1.1\r\n"), "{}", reply.body);
    assert_eq!(header(&reply.body, "host"), ["app.localhost"]);
    let mut client = rig.client().await;
    client.send("HEAD / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let reply = client.reply_to("HEAD").await;
    assert_eq!(reply.status, 200);

    let chunked =
        Backend::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    rig.serve(&[chunked.address]).await;
    let reply = rig.ask("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    assert_eq!((reply.header("transfer-encoding").len(), reply.body.as_str()), (0, "hi"));

    let empty = Backend::says("HTTP/1.1 204 No Content\r\nServer: mine\r\n\r\n").await;
    rig.serve(&[empty.address]).await;
    let reply = rig.get("/").await;
    assert_eq!((reply.status, reply.header("server")), (204, vec!["mine"]));

    let to_the_end = Backend::says("HTTP/1.0 200 OK\r\n\r\nall of it").await;
    rig.serve(&[to_the_end.address]).await;
    assert_eq!(rig.get("/").await.body, "all of it");
}

#[tokio::test]
async fn every_dyno_gets_its_share() {
    let (mut rig, one, two) = (Rig::start().await, Backend::mirror().await, Backend::mirror().await);
    rig.serve(&[one.address, two.address]).await;
    let mut names = BTreeSet::new();
    for _ in 0..64 {
        assert_eq!(rig.get("/").await.status, 200);
        let line = rig.line().await;
        names.insert(line.split(' ').find(|word| word.starts_with("dyno=")).unwrap().to_owned());
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["dyno=web.1", "dyno=web.2"]);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let mut limits = crate::rig::short_limits();
    limits.header_read_timeout = Duration::from_millis(100);
    let rig = Rig::with(limits).await;
    let mut silent = rig.client().await;
    assert_eq!(silent.rest().await, "");
    let mut slow = rig.client().await;
    slow.send("GET / HTTP/1.1\r\nHost: app.loc").await;
    assert_eq!(slow.rest().await, "");
    let mut idle = rig.client().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n").await;
    assert_eq!(idle.reply().await.status, 404);
    assert_eq!(idle.rest().await, "");
}

#[tokio::test]
async fn more_clients_than_places_wait_for_one() {
    let mut limits = crate::rig::short_limits();
    limits.connections_max = 2;
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut config = crate::rig::config(&directory, limits);
    config.threads = 1;
    let mut rig = Rig::from(directory, config).await;
    let dyno = Backend::mirror().await;
    rig.serve(&[dyno.address]).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = rig.client().await;
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
        clients.push(client);
    }
    let mut waiting = rig.client().await;
    waiting.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let readable = tokio::time::timeout(Duration::from_millis(100), waiting.stream.readable()).await;
    assert!(readable.is_err(), "served beyond the limit");
    clients.pop();
    assert_eq!(waiting.reply().await.status, 200);
}

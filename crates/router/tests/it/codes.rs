//! Every H-code that a router of one machine can come to, with its status and its line.

use std::time::Duration;

use renga_model::WebState;
use renga_router::Limits;
use tokio::net::{TcpSocket, TcpStream};

use crate::rig::{Backend, Rig, app, dyno, patient_limits, refusing, short_limits};

const REQUEST: &str = "method=GET path=\"/\" host=app.localhost request_id=ID fwd=\"127.0.0.1\"";
const PROTOCOL: &str = "protocol=http1.1 tls=false tls_version=unknown";

/// `start` up to the description, then the request, then `end` up to the bytes.
async fn assert_line(rig: &mut Rig, start: &str, end: &str) {
    assert_eq!(rig.line().await, format!("{start} {REQUEST} {end} {PROTOCOL}"));
}

const NO_DYNO: &str = "dyno= connect= service=";
const DYNO: &str = "dyno=web.1 connect=Nms service=Nms";

#[tokio::test]
async fn no_such_app_has_a_page_and_no_line() {
    let mut rig = Rig::start().await;
    rig.publish(app(WebState::Blank, vec![])).await;
    let reply = rig.ask("GET / HTTP/1.1\r\nHost: other.localhost\r\n\r\n").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("<title>No such app</title>"));
    rig.stop().await;
}

#[tokio::test]
async fn apps_without_dynos_say_why() {
    let mut rig = Rig::hasty().await;
    for (web, status, start) in [
        (WebState::Crashed, 503, "at=error code=H10 desc=\"App crashed\""),
        (WebState::NoWeb, 503, "at=error code=H14 desc=\"No web processes running\""),
        (WebState::Blank, 502, "at=info code=H81 desc=\"Blank app\""),
        (WebState::Booting, 503, "at=error code=H20 desc=\"App boot timeout\""),
    ] {
        rig.publish(app(web, vec![])).await;
        assert_eq!(rig.get("/").await.status, status);
        assert_line(&mut rig, start, &format!("{NO_DYNO} status={status} bytes=")).await;
    }
    let mut closed = app(WebState::Up, vec![]);
    closed.maintenance = true;
    rig.publish(closed).await;
    let reply = rig.get("/").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("<title>Offline for maintenance</title>"));
    let start = "at=info code=H80 desc=\"Maintenance mode\"";
    assert_line(&mut rig, start, &format!("{NO_DYNO} status=503 bytes=")).await;
}

#[tokio::test]
async fn pages_of_the_app_are_framed() {
    let mut rig = Rig::start().await;
    let mut crashed = app(WebState::Crashed, vec![]);
    crashed.error_page_url = Some("https://pages.example/error?a=1&b=2".into());
    crashed.maintenance_page_url = Some("https://pages.example/closed".into());
    rig.publish(crashed.clone()).await;
    assert!(rig.get("/").await.body.contains("<iframe src=\"https://pages.example/error?a=1&amp;b=2\""));
    crashed.maintenance = true;
    rig.publish(crashed).await;
    assert!(rig.get("/").await.body.contains("<iframe src=\"https://pages.example/closed\""));
}

#[tokio::test]
async fn a_request_is_held_until_a_dyno_is_up() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.publish(app(WebState::Booting, vec![])).await;
    let mut client = rig.client().await;
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_silent(&client.stream).await;
    rig.serve(&[backend.address]).await;
    assert!(client.reply().await.body.ends_with("hi"));
    assert!(rig.line().await.starts_with("at=info method=POST "));
}

/// Nothing can be read for a moment: a held request has no other mark.
async fn assert_silent(stream: &TcpStream) {
    let readable = tokio::time::timeout(Duration::from_millis(100), stream.readable()).await;
    assert!(readable.is_err(), "an answer came too early");
}

#[tokio::test]
async fn h11_when_too_many_are_in_flight() {
    let limits = Limits { in_flight_per_dyno: 1, ..patient_limits() };
    let mut rig = Rig::with(limits).await;
    let (say, told) = tokio::sync::watch::channel(false);
    let backend = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            client.head().await;
            told.wait_for(|told| *told).await.unwrap();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    rig.serve(&[backend.address]).await;
    let mut first = rig.client().await;
    first.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    while backend.connections() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.get("/").await.status, 503);
    let start = "at=error code=H11 desc=\"Backlog too deep\"";
    assert_line(&mut rig, start, &format!("{NO_DYNO} status=503 bytes=")).await;
    say.send(true).unwrap();
    assert_eq!(first.reply().await.status, 200);
    assert_eq!(rig.get("/").await.status, 200);
}

#[tokio::test]
async fn h12_when_the_first_byte_is_late() {
    let (mut rig, backend) = (Rig::hasty().await, Backend::says_and_waits("").await);
    rig.serve(&[backend.address]).await;
    let reply = rig.get("/").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("<title>Application error</title>"));
    let line = rig.raw_line().await;
    let service = line.split(' ').find_map(|word| word.strip_prefix("service=")?.strip_suffix("ms"));
    assert!((300..3_000).contains(&service.unwrap().parse::<u32>().unwrap()), "{line}");
    assert!(line.starts_with("at=error code=H12 desc=\"Request timeout\" method=GET "), "{line}");
    assert!(line.contains(" status=503 bytes=0 "), "{line}");
}

#[tokio::test]
async fn dynos_that_answer_badly() {
    let mut rig = Rig::start().await;
    let h25 = |what| format!("at=error code=H25 desc=\"HTTP restriction: oversized {what}\"");
    let cookie = format!("HTTP/1.1 200 OK\r\nSet-Cookie: a={}\r\n\r\n", "x".repeat(8_192)).leak();
    let line = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(600 * 1024)).leak();
    let status = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(8_192)).leak();
    let head =
        format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("X: {}\r\n", "x".repeat(9_000)).repeat(200)).leak();
    for (answer, status, start) in [
        ("", 503, "at=error code=H13 desc=\"Connection closed without response\"".to_owned()),
        ("what?\r\n\r\n", 503, "at=error code=H17 desc=\"Poorly formatted HTTP response\"".into()),
        ("HTTP/1.1 2xx OK\r\n\r\n", 503, "at=error code=H17 desc=\"Poorly formatted HTTP response\"".into()),
        (
            "HTTP/1.1 200 OK\r\nContent-Le",
            503,
            "sock=backend at=error code=H18 desc=\"Server Request Interrupted\"".into(),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n",
            503,
            "at=error code=H17 desc=\"Poorly formatted HTTP response\"".into(),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n",
            502,
            "at=error code=H25 desc=\"HTTP restriction: invalid content length\"".into(),
        ),
        (status, 502, h25("status line")),
        (cookie, 502, h25("cookie")),
        (line, 502, h25("header")),
        (head, 502, h25("header")),
    ] {
        let backend = Backend::says_and_waits(answer).await;
        let closing = Backend::says(answer).await;
        rig.serve(&[if answer.len() < 40 { closing.address } else { backend.address }]).await;
        assert_eq!(rig.get("/").await.status, status, "{start}");
        assert_line(&mut rig, &start, &format!("{DYNO} status={status} bytes=0")).await;
    }
}

#[tokio::test]
async fn answers_that_stop_in_the_middle() {
    const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
    let mut rig = Rig::hasty().await;
    let closes = Backend::says(PART).await;
    rig.serve(&[closes.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await, "only this");
    let start = "sock=backend at=error code=H18 desc=\"Server Request Interrupted\"";
    assert_line(&mut rig, start, &format!("{DYNO} status=503 bytes=9")).await;

    let stalls = Backend::says_and_waits(PART).await;
    rig.serve(&[stalls.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.rest().await, "only this");
    let start = "at=error code=H15 desc=\"Idle connection\"";
    assert_line(&mut rig, start, &format!("{DYNO} status=503 bytes=9")).await;

    // Half a head, then silence: the first byte was in time.
    let begins = Backend::says_and_waits("HTTP/1.1 200 OK\r\nConte").await;
    rig.serve(&[begins.address]).await;
    assert_eq!(rig.get("/").await.status, 503);
    assert_line(&mut rig, start, &format!("{DYNO} status=503 bytes=0")).await;
}

#[tokio::test]
async fn slow_dripping_answers_and_uploads_go_on_beyond_every_window() {
    let backend = Backend::start(|mut client| async move {
        let head = client.head().await.unwrap();
        client.body(&head, false).await;
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            client.send("1\r\nx\r\n").await;
        }
        client.send("0\r\n\r\n").await;
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[backend.address]).await;
    let mut client = rig.client().await;
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 8\r\n\r\n").await;
    for _ in 0..8 {
        // The upload alone takes longer than the first-byte window.
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send("u").await;
    }
    assert_eq!(client.reply().await.body, "xxxxxxxx");
    assert!(rig.line().await.contains("at=info "));
}

#[tokio::test]
async fn dynos_that_do_not_accept_are_passed_over() {
    let (mut rig, good) = (Rig::start().await, Backend::mirror().await);
    let (_port, refusing) = refusing();
    rig.serve(&[refusing, refusing, good.address]).await;
    for _ in 0..20 {
        assert_eq!(rig.get("/").await.status, 200);
        assert!(rig.line().await.contains(" dyno=web.3 "));
    }
    rig.serve(&[refusing]).await;
    // Its quarantine under its other name may still run.
    assert_eq!(rig.get("/").await.status, 503);
    let start = "at=error code=H21 desc=\"Backend connection refused\"";
    assert_line(&mut rig, start, "dyno=web.1 connect=Nms service= status=503 bytes=").await;
}

#[tokio::test]
async fn h19_when_the_dyno_does_not_take_the_connection() {
    // A full accept queue: the kernel drops further SYNs.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        filling.push(stream);
    }
    let mut rig = Rig::hasty().await;
    rig.serve(&[address]).await;
    assert_eq!(rig.get("/").await.status, 503);
    let start = "at=error code=H19 desc=\"Backend connection timeout\"";
    assert_line(&mut rig, start, "dyno=web.1 connect=Nms service= status=503 bytes=").await;
}

/// Ours: an address that no socket can be connected to, for it does not say on which link it is.
#[tokio::test]
async fn h99_when_the_fault_is_the_platforms() {
    let mut rig = Rig::start().await;
    rig.serve(&["[fe80::1]:80".parse().unwrap()]).await;
    assert_eq!(rig.get("/").await.status, 503);
    let start = "at=error code=H99 desc=\"Platform error\"";
    assert_line(&mut rig, start, "dyno=web.1 connect=Nms service= status=503 bytes=").await;
}

/// Of a dyno that takes no connection, and of ten such.
#[tokio::test]
async fn a_request_tries_ten_dynos_at_most() {
    let mut rig = Rig::with(Limits { quarantine: Duration::from_secs(60), ..patient_limits() }).await;
    let (_port, refusing) = refusing();
    rig.serve(&[refusing; 12]).await;
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains(" code=H21 "));
    let socket = rig.directory.path().join("control.sock");
    assert_eq!(renga_router::status_of(&socket).await.unwrap().dynos_quarantined, 10);
}

/// What Heroku lets pass, passes.
#[tokio::test]
async fn answers_at_their_limits_pass() {
    let mut rig = Rig::start().await;
    let reason = "x".repeat(8_192 - "HTTP/1.1 200 ".len());
    let (line, cookie) = ("x".repeat(512 * 1024 - "x: ".len()), "x".repeat(8_192));
    let answer =
        format!("HTTP/1.1 200 {reason}\r\nX: {line}\r\nSet-Cookie: {cookie}\r\nContent-Length: 2\r\n\r\nok");
    let dyno = Backend::says(answer.leak()).await;
    rig.serve(&[dyno.address]).await;
    let reply = rig.get("/").await;
    assert_eq!((reply.status, &*reply.body), (200, "ok"));
    assert_eq!((reply.header("x")[0].len(), reply.header("set-cookie")[0].len()), (line.len(), cookie.len()));
}

#[tokio::test]
async fn h34_when_all_dynos_stay_quarantined() {
    let mut limits = short_limits();
    limits.quarantine = Duration::from_secs(60);
    let mut rig = Rig::with(limits).await;
    let (_port, refusing) = refusing();
    rig.serve(&[refusing]).await;
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains("code=H21 "));
    assert_eq!(rig.get("/").await.status, 503);
    let start = "at=error code=H34 desc=\"All up dynos are quarantined\"";
    assert_line(&mut rig, start, &format!("{NO_DYNO} status=503 bytes=")).await;
}

#[tokio::test]
async fn h27_when_the_client_leaves() {
    let mut rig = Rig::start().await;
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::start(move |mut client| {
        let seen = seen.clone();
        async move {
            client.head().await;
            seen.send("request").unwrap();
            client.rest().await;
            seen.send("end").unwrap();
        }
    })
    .await;
    rig.serve(&[backend.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    assert_eq!(saw.recv().await, Some("request"));
    drop(client);
    let start = "sock=client at=warning code=H27 desc=\"Client Request Interrupted\"";
    assert_line(&mut rig, start, &format!("{DYNO} status=499 bytes=0")).await;
    assert_eq!(saw.recv().await, Some("end"));

    // In the middle of its own body.
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(saw.recv().await, Some("request"));
    drop(client);
    assert_line(&mut rig, start, &format!("{DYNO} status=499 bytes=0")).await;

    // While it is held for a dyno.
    rig.publish(app(WebState::Booting, vec![])).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    assert_silent(&client.stream).await;
    drop(client);
    assert_line(&mut rig, start, &format!("{NO_DYNO} status=499 bytes=")).await;
}

#[tokio::test]
async fn h28_when_the_client_stalls() {
    let mut rig = Rig::hasty().await;
    let backend = Backend::mirror().await;
    rig.serve(&[backend.address]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 10\r\n\r\nabc").await;
    client.rest().await;
    let start = "at=warning code=H28 desc=\"Client Connection Idle\"";
    assert_line(&mut rig, start, &format!("{DYNO} status=499 bytes=0")).await;

    // It does not read what it asked for.
    let endless = Backend::start(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let block = vec![b'x'; 64 * 1024];
        while tokio::io::AsyncWriteExt::write_all(&mut client.stream, &block).await.is_ok() {}
    })
    .await;
    rig.publish(app(WebState::Up, vec![dyno(2, endless.address)])).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let line = rig.line().await;
    assert!(line.starts_with("at=warning code=H28 ") && line.contains(" dyno=web.2 "), "{line}");
}

#[tokio::test]
async fn bad_chunks_are_the_clients_fault() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let reply =
        rig.ask("GET / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    assert_eq!(reply.status, 400);
    let start = "at=error code=H26 desc=\"Request Error\" cause=\"bad chunk\"";
    assert_line(&mut rig, start, &format!("{DYNO} status=400 bytes=0")).await;
}

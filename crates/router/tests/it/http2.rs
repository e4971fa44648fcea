//! Clients that speak HTTP/2, by agreement or by knowing us; dynos never notice.

use std::time::Duration;

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Request, Response};
use renga_model::{RouteFlags, WebState};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    rig::{Backend, DEADLINE, Rig, app, dyno, header, short_limits},
    tls::{Authority, connect_with},
};

/// A client's connection; its frames move in a task of their own.
async fn client(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    send
}

async fn plain(rig: &Rig) -> SendRequest<Bytes> {
    client(TcpStream::connect(rig.addresses.http).await.unwrap()).await
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://app.localhost{path}")).body(()).unwrap()
}

async fn send(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    ends: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    client.clone().ready().await.unwrap().send_request(request, ends).unwrap()
}

async fn read(mut body: RecvStream) -> Result<String, h2::Error> {
    let mut text = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len()).unwrap();
        text.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(text).unwrap())
}

async fn answer(response: ResponseFuture) -> (Response<()>, String) {
    let (parts, body) = tokio::time::timeout(DEADLINE, response).await.unwrap().unwrap().into_parts();
    (Response::from_parts(parts, ()), read(body).await.unwrap())
}

#[tokio::test]
async fn the_dyno_sees_http1_with_the_headers_of_a_heroku_router() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    let mut request = get("/a?b=%20c");
    request.headers_mut().append("cookie", "a=1".parse().unwrap());
    request.headers_mut().append("cookie", "b=2".parse().unwrap());
    request.headers_mut().append("x-app", "stays".parse().unwrap());
    let (response, _) = send(&client, request, true).await;
    let (response, body) = answer(response).await;
    assert_eq!(
        (response.status(), response.headers()["via"].to_str().unwrap()),
        (200.try_into().unwrap(), "1.1 renga-router")
    );
    assert!(body.starts_with("GET /a?b=%20c HTTP/1.1\r\n"), "{body}");
    let seen = |name| header(&body, name).join(" | ");
    assert_eq!((seen("host"), seen("cookie")), ("app.localhost".into(), "a=1; b=2".into()));
    assert_eq!((seen("via"), seen("x-app")), ("2.0 renga-router".into(), "stays".into()));
    assert_eq!((seen("transfer-encoding"), seen("content-length")), (String::new(), String::new()));
    let line = rig.line().await;
    assert!(
        line.contains(" path=\"/a?b=%20c\" host=app.localhost ") && line.contains(" protocol=http2.0 "),
        "{line}"
    );
    rig.stop().await;
}

/// No line limits what comes in no lines: the limits are the same all the same.
#[tokio::test]
async fn heads_outside_the_limits_of_http1_are_refused() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    let (with, fill) = (
        |path: &str, fields: &[(&str, usize)]| {
            let mut request = get(path);
            for (name, length) in fields {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().append(name, "x".repeat(*length).parse().unwrap());
            }
            request
        },
        "a".repeat(8_192 - "GET / HTTP/1.1".len()),
    );
    // The host counts, as it does in HTTP/1.
    let (many, more) = (vec![("x", 1); 999], vec![("x", 1); 1_000]);
    for (good, request) in [
        (true, with(&format!("/{fill}"), &[("x", 8_189), ("cookie", 4_091), ("cookie", 4_091)])),
        (true, with("/", &many)),
        (false, with(&format!("/{fill}a"), &[])),
        (false, with("/", &[("x", 8_190)])),
        (false, with("/", &[("cookie", 4_091), ("cookie", 4_092)])),
        (false, with("/", &more)),
        (false, with("/", &[(&*"n".repeat(1_001), 1)])),
    ] {
        let (response, _) = send(&client, request, true).await;
        assert_eq!(answer(response).await.0.status(), if good { 200 } else { 400 });
    }
}

#[tokio::test]
async fn bodies_go_up_with_and_without_a_length() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    let block = Bytes::from(vec![b'x'; 300_000]);
    for length in [None, Some(300_000)] {
        let mut request = Request::post("http://app.localhost/").body(()).unwrap();
        if let Some(length) = length {
            request.headers_mut().insert("content-length", http::HeaderValue::from(length));
        }
        let (response, mut body) = send(&client, request, false).await;
        // More than a window: it opens as the dyno reads.
        body.send_data(block.clone(), true).unwrap();
        let (_, seen) = answer(response).await;
        let expected = if length.is_some() { "content-length" } else { "transfer-encoding" };
        assert_eq!(header(&seen, expected).len(), 1, "{}", &seen[..300]);
        assert_eq!(seen.bytes().rev().take_while(|byte| *byte == b'x').count(), 300_000);
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_and_none_waits_for_another() {
    let (say, told) = tokio::sync::watch::channel(false);
    let backend = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            while let Some(head) = client.head().await {
                if head.starts_with("GET /slow ") {
                    told.wait_for(|told| *told).await.unwrap();
                }
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut rig = Rig::start().await;
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    let (slow, _) = send(&client, get("/slow"), true).await;
    let mut quick = Vec::new();
    for _ in 0..64 {
        quick.push(send(&client, get("/"), true).await.0);
    }
    for response in quick {
        assert_eq!(answer(response).await.1, "ok");
    }
    say.send(true).unwrap();
    assert_eq!(answer(slow).await.1, "ok");
}

#[tokio::test]
async fn heads_without_bodies_early_hints_and_pages() {
    let (mut rig, backend) = (
        Rig::start().await,
        Backend::says("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n").await,
    );
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    let request = Request::head("http://app.localhost/").body(()).unwrap();
    let (response, body) = answer(send(&client, request, true).await.0).await;
    assert_eq!((response.headers()["content-length"].to_str().unwrap(), body.as_str()), ("9", ""));
    assert!(!response.headers().contains_key("connection"));
    let stranger = Request::get("http://nobody.localhost/").body(()).unwrap();
    let (response, body) = answer(send(&client, stranger, true).await.0).await;
    assert_eq!(response.status(), 404);
    assert!(body.contains("<title>No such app</title>"));
    rig.publish(app(WebState::Crashed, vec![])).await;
    let (response, body) = answer(send(&client, get("/"), true).await.0).await;
    assert_eq!(response.status(), 503);
    assert!(body.contains("<title>Application error</title>"));
}

#[tokio::test]
async fn whom_a_request_names_twice_must_be_the_same() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    for (host, status) in [("app.localhost", 200), ("other.localhost", 400)] {
        let mut request = get("/");
        request.headers_mut().insert("host", host.parse().unwrap());
        let (response, _) = answer(send(&client, request, true).await.0).await;
        assert_eq!(response.status().as_u16(), status, "{host}");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_the_connection_lives() {
    let (mut rig, backend) =
        (Rig::start().await, Backend::says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").await);
    rig.serve(&[backend.address]).await;
    let client = plain(&rig).await;
    for _ in 0..2 {
        let whole = async {
            let response = send(&client, get("/"), true).await.0.await?;
            read(response.into_body()).await
        };
        let error = whole.await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        let line = rig.line().await;
        assert!(line.starts_with("sock=backend at=error code=H18 "), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_resets_or_does_not_read_is_told_apart() {
    let endless = Backend::start(|mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let block = vec![b'x'; 64 * 1024];
        while client.stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let mut rig = Rig::hasty().await;
    rig.serve(&[endless.address]).await;
    let client = plain(&rig).await;
    // Its window is never opened again: the dyno is not read beyond it.
    let response = send(&client, get("/"), true).await.0.await.unwrap();
    let line = rig.line().await;
    assert!(line.starts_with("at=warning code=H28 "), "{line}");
    drop(response);
    let (response, mut body) = send(&client, get("/"), false).await;
    assert_eq!(response.await.unwrap().status(), 200);
    body.send_reset(Reason::CANCEL);
    let line = rig.line().await;
    assert!(line.starts_with("sock=client at=warning code=H27 "), "{line}");
}

#[tokio::test]
async fn the_handshake_agrees_on_http2_unless_the_app_wants_none() {
    let (authority, backend) = (Authority::new(), Backend::mirror().await);
    let (mut rig, _serving) = crate::tls::rig(&authority).await;
    rig.serve(&[backend.address]).await;
    let offers = ["h2", "http/1.1"];
    let stream = connect_with(&authority, rig.addresses.tls, "app.localhost", &offers).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = client(stream).await;
    let request = Request::get("https://app.localhost/").body(()).unwrap();
    let (_, body) = answer(send(&client, request, true).await.0).await;
    assert_eq!(header(&body, "x-forwarded-proto"), ["https"]);
    assert!(rig.line().await.ends_with(" protocol=http2.0 tls=true tls_version=tls1.3"));
    let mut without = app(WebState::Up, vec![dyno(1, backend.address)]);
    without.flags = RouteFlags { no_http2: true, ..RouteFlags::default() };
    rig.publish(without).await;
    let stream = connect_with(&authority, rig.addresses.tls, "app.localhost", &offers).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn idle_connections_and_the_order_to_stop_end_in_peace() {
    let mut limits = short_limits();
    limits.header_read_timeout = Duration::from_millis(100);
    let (mut rig, backend) = (Rig::with(limits).await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let idle = plain(&rig).await;
    answer(send(&idle, get("/"), true).await.0).await;
    // Told to go away, it takes no further request.
    let refused = async {
        loop {
            let Ok(mut ready) = idle.clone().ready().await else { return };
            let Ok((response, _)) = ready.send_request(get("/"), true) else { return };
            if response.await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    let (say, told) = tokio::sync::watch::channel(false);
    let slow = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            client.head().await;
            told.wait_for(|told| *told).await.unwrap();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await;
    rig.serve(&[slow.address]).await;
    let busy = plain(&rig).await;
    let (response, _) = send(&busy, get("/"), true).await;
    while slow.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(rig.take_router().stop());
    tokio::time::sleep(Duration::from_millis(60)).await;
    say.send(true).unwrap();
    assert_eq!(answer(response).await.1, "done");
    stopping.await.unwrap().unwrap();
}

//! Ends of connections that say something: a last word, a departure, an answer that was cut; and how many writes it
//! takes to say it.

use std::time::Duration;

use renga_model::WebState;
use renga_router::Limits;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::rig::{Backend, DEADLINE, Peer, Rig, app, patient_limits};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const H27: &str = "sock=client at=warning code=H27 desc=\"Client Request Interrupted\" ";

/// Reads a head and a body, and answers when it is told to.
async fn waiting(answer: &'static str) -> (watch::Sender<bool>, Backend) {
    let (say, told) = watch::channel(false);
    let dyno = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            while let Some(head) = client.head().await {
                client.body(&head, false).await;
                told.wait_for(|told| *told).await.unwrap();
                client.send(answer).await;
                if !answer.contains("Content-Length") && !answer.contains("chunked") {
                    return;
                }
            }
        }
    })
    .await;
    (say, dyno)
}

// === a last word ===

/// The end of the client's sending has been seen: the beginning of an answer shows it.
async fn noticed(client: &mut Peer<impl AsyncRead + AsyncWrite + Unpin>) {
    assert_eq!(client.exactly(1).await, "H");
}

/// All that comes, what has been read of it included.
async fn rest(mut client: Peer<impl AsyncRead + AsyncWrite + Unpin>) -> String {
    format!("H{}", client.rest().await)
}

#[tokio::test]
async fn a_request_that_was_sent_whole_is_answered() {
    let mut rig = Rig::start().await;
    for (request, answer, end) in [
        (GET, OK, "\r\n\r\nok"),
        (
            "GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nto the end",
            "\r\n\r\nto the end",
        ),
        (
            "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        (
            GET,
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (GET, "what?\r\n\r\n", "</html>\n"),
    ] {
        let (say, dyno) = waiting(answer).await;
        rig.serve(&[dyno.address]).await;
        let mut client = rig.client().await;
        client.send(request).await;
        client.stream.shutdown().await.unwrap();
        noticed(&mut client).await;
        say.send(true).unwrap();
        let rest = rest(client).await;
        let status = if answer == "what?\r\n\r\n" { 503 } else { 200 };
        let heads = rest.matches("HTTP/1.1 ").count();
        assert_eq!(heads, 1 + usize::from(answer.contains("103")), "{rest}");
        assert!(rest.contains(&format!("{status} ")) && rest.ends_with(end), "{answer:?}: {rest:?}");
        assert!(rig.line().await.contains(&format!(" status={status} ")));
    }
}

#[tokio::test]
async fn requests_in_advance_are_answered_behind_the_last_word() {
    let mut rig = Rig::start().await;
    let (say, dyno) = waiting(OK).await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(&GET.repeat(3)).await;
    client.stream.shutdown().await.unwrap();
    noticed(&mut client).await;
    say.send(true).unwrap();
    let rest = rest(client).await;
    assert_eq!(
        (rest.matches("HTTP/1.1 200 OK").count(), rest.matches("\r\n\r\nok").count()),
        (3, 3),
        "{rest}"
    );
}

#[tokio::test]
async fn who_has_said_its_last_word_is_held_until_a_dyno_is_up() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    for (framing, body) in
        [("Content-Length: 2", "hi"), ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n")]
    {
        rig.publish(app(WebState::Booting, vec![])).await;
        let mut client = rig.client().await;
        // What it expects it does not wait for: it would come into the middle of an answer.
        let expects = "Expect: 100-continue\r\n";
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: app.localhost\r\n{expects}{framing}\r\n\r\n{body}"))
            .await;
        client.stream.shutdown().await.unwrap();
        noticed(&mut client).await;
        rig.serve(&[dyno.address]).await;
        let rest = rest(client).await;
        assert!(
            rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.contains("\r\nPOST / HTTP/1.1\r\n"),
            "{rest}"
        );
        assert!(rig.line().await.contains(" status=200 "));
    }
    // Not whole: there is nothing to wait for.
    rig.publish(app(WebState::Booting, vec![])).await;
    let mut client = rig.client().await;
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9\r\n\r\nhi").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    assert!(rig.line().await.starts_with(H27));
}

/// It listens at first, and leaves then: it has been asked, and is asked again.
#[tokio::test]
async fn who_leaves_behind_its_last_word_is_missed() {
    let mut rig = Rig::start().await;
    let (_say, dyno) = waiting(OK).await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    client.stream.shutdown().await.unwrap();
    noticed(&mut client).await;
    drop(client);
    assert!(rig.line().await.starts_with(H27));
}

/// Nor does the change to another protocol say its beginning twice.
#[tokio::test]
async fn a_switch_comes_behind_a_last_word_too() {
    let mut rig = Rig::start().await;
    let (say, told) = watch::channel(false);
    let dyno = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            client.head().await;
            told.wait_for(|told| *told).await.unwrap();
            client
                .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
                .await;
            // The client's end arrives, and our words still do.
            let said = client.rest().await;
            client.send(&format!("[{said}]")).await;
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nhello";
    client.send(upgrade).await;
    client.stream.shutdown().await.unwrap();
    noticed(&mut client).await;
    say.send(true).unwrap();
    let rest = rest(client).await;
    assert!(rest.starts_with("HTTP/1.1 101 ") && rest.ends_with("\r\n\r\n[hello]"), "{rest}");
    assert!(rig.line().await.contains(" status=101 "));
}

#[tokio::test]
async fn a_last_word_within_tls_is_one() {
    let authority = crate::tls::Authority::new();
    let (mut rig, _serving) = crate::tls::rig(&authority).await;
    let dyno = Backend::start(|mut client| async move {
        client.head().await;
        // Not before the client's end is known to the router; it is not asked for more than a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send(OK).await;
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let stream = crate::tls::connect_with(&authority, rig.addresses.tls, "app.localhost", &[]).await.unwrap();
    let mut client = Peer::new(stream);
    client.send(GET).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.rest().await.ends_with("\r\n\r\nok"));
    assert!(rig.line().await.contains(" status=200 "));
}

// === departures ===

/// The dyno's connection ends with the client's, although nothing is on its way.
#[tokio::test]
async fn who_leaves_an_answer_that_pauses_is_missed() {
    let limits = Limits { idle_timeout: DEADLINE * 6, ..patient_limits() };
    let mut rig = Rig::with(limits).await;
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let dyno = Backend::start(move |mut client| {
        let seen = seen.clone();
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
            client.rest().await;
            seen.send(()).unwrap();
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    client.until("one\r\n").await.unwrap();
    drop(client);
    timeout(DEADLINE, saw.recv()).await.expect("the dyno's connection goes on");
    assert!(rig.line().await.starts_with(H27));
}

/// Nobody can tell at once whether it still listens, so it is found out by what is sent to it.
#[tokio::test]
async fn an_answer_under_way_goes_on_behind_a_last_word() {
    let mut rig = Rig::start().await;
    let (say, told) = watch::channel(false);
    let dyno = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            client.head().await;
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
            told.wait_for(|told| *told).await.unwrap();
            client.send("3\r\ntwo\r\n0\r\n\r\n").await;
            client.rest().await;
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    client.until("one\r\n").await.unwrap();
    client.stream.shutdown().await.unwrap();
    // Time enough for the router to see it, and much less than the pause that it takes for a departure.
    tokio::time::sleep(Duration::from_millis(50)).await;
    say.send(true).unwrap();
    assert_eq!(client.rest().await, "3\r\ntwo\r\n0\r\n\r\n");
    assert!(rig.line().await.contains("at=info "));
}

// === answers that are cut ===

/// To a client of before chunks, the end of the connection is the end of the answer: only a reset tells it apart.
#[tokio::test]
async fn an_answer_without_a_length_that_breaks_off_ends_in_a_reset() {
    let mut rig = Rig::hasty().await;
    for (answer, whole) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\npart", true),
    ] {
        let dyno = Backend::start(move |mut client| async move {
            client.head().await;
            client.send(answer).await;
            if !whole {
                // Broken off when the client has this part: a reset takes away what it has not read.
                client.rest().await;
            }
        })
        .await;
        rig.serve(&[dyno.address]).await;
        let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        let end = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an end");
        assert!(bytes.ends_with(b"\r\n\r\npart"), "{}", String::from_utf8_lossy(&bytes));
        let kind = end.as_ref().err().map(std::io::Error::kind);
        assert_eq!(kind, (!whole).then_some(std::io::ErrorKind::ConnectionReset), "{answer:?}");
        rig.line().await;
    }
}

/// An answer that is taken back takes nothing else with it: half of an early hint is in the client's hands.
#[tokio::test]
async fn an_answer_that_is_taken_back_cuts_nothing_before_it() {
    let mut rig = Rig::start().await;
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(500_000));
    // More than the sockets on the way take.
    let answer = hint.repeat(14) + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n";
    let answer: &'static str = answer.leak();
    let dyno = Backend::says(answer).await;
    rig.serve(&[dyno.address]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut client = Peer::new(socket.connect(rig.addresses.http).await.unwrap());
    client.send(GET).await;
    // The answer has been judged, and nothing has been read.
    let line = rig.line().await;
    assert!(line.starts_with("at=error code=H17 "), "{line}");
    let rest = client.rest().await;
    let hints = rest.matches("HTTP/1.1 103 ").count();
    assert!((1..14).contains(&hints), "{hints}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), hints, "{}", &rest[rest.len().saturating_sub(2_000)..]);
}

// === writes ===

/// Each of them as one byte.
const CHUNKS: usize = 2_000;

/// What one read brings goes out in one write: whoever is at the other end finds it all at once.
#[tokio::test]
async fn small_chunks_do_not_cost_a_write_each() {
    let mut rig = Rig::start().await;
    let chunks = || "1\r\nx\r\n".repeat(CHUNKS) + "0\r\n\r\n";
    let dyno = Backend::start(move |mut client| async move {
        let mut bytes = vec![0; 64 * 1024];
        let count = client.stream.read(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        let whole = text.ends_with("\r\n0\r\n\r\n");
        let head = format!("HTTP/1.1 200 OK\r\nX-Whole: {whole}\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(&(head + &chunks())).await;
        client.rest().await;
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all((head.to_owned() + &chunks()).as_bytes()).await.unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let read = timeout(DEADLINE, stream.read(&mut bytes)).await;
    let count = read.expect("an answer in time").unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]);
    assert!(text.contains("X-Whole: true\r\n"), "the request came in parts");
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the answer came in parts: {count} bytes at first");
    assert_eq!(text.matches("\r\nx\r\n").count(), CHUNKS);
}

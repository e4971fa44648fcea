//! What is said of the router in so many words, and belongs to no other file here.

use std::time::{Duration, Instant};

use renga_model::WebState;
use renga_router::Limits;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::rig::{Backend, DEADLINE, Rig, app, dyno, patient_limits, refusing};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

/// Heroku's figures, where Heroku has them.
#[test]
fn the_limits_are_herokus() {
    let limits = Limits::default();
    let seconds = Duration::from_secs;
    assert_eq!((limits.in_flight_per_dyno, limits.connect_attempts_max), (200, 10));
    assert_eq!((limits.connect_timeout, limits.quarantine), (seconds(5), seconds(5)));
    assert_eq!((limits.first_byte_timeout, limits.idle_timeout), (seconds(30), seconds(55)));
    assert_eq!((limits.hold_timeout, limits.header_read_timeout), (seconds(75), seconds(60)));
    assert_eq!(limits.pool_idle_timeout, seconds(90));
    assert_eq!((limits.request_line_bytes_max, limits.header_line_bytes_max), (8_192, 8_192));
    assert_eq!((limits.header_name_bytes_max, limits.header_count_max), (1_000, 1_000));
    assert_eq!((limits.method_bytes_max, limits.status_line_bytes_max), (127, 8_192));
    assert_eq!((limits.response_header_line_bytes_max, limits.cookie_bytes_max), (512 * 1_024, 8_192));
}

/// H11 counts for each dyno that is up, not for each app.
#[tokio::test]
async fn two_dynos_take_twice_as_many_requests_at_a_time() {
    let mut rig = Rig::with(Limits { in_flight_per_dyno: 2, ..patient_limits() }).await;
    let (say, told) = watch::channel(false);
    let waiting = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            client.head().await;
            told.wait_for(|told| *told).await.unwrap();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    })
    .await;
    rig.serve(&[waiting.address, waiting.address]).await;
    let mut clients = Vec::new();
    for count in 1..=4 {
        let mut client = rig.client().await;
        client.send(GET).await;
        while waiting.connections() < count {
            tokio::task::yield_now().await;
        }
        clients.push(client);
    }
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains(" code=H11 "));
    say.send(true).unwrap();
    for mut client in clients {
        assert_eq!(client.reply().await.status, 200);
    }
}

/// A request that finds all dynos quarantined waits until one no longer is.
#[tokio::test]
async fn a_quarantine_has_an_end() {
    let mut rig = Rig::with(Limits { quarantine: Duration::from_millis(300), ..patient_limits() }).await;
    let (socket, address) = refusing();
    rig.serve(&[address]).await;
    let begun = Instant::now();
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains(" code=H21 "));
    let dyno = Backend::at(socket.listen(8).unwrap(), |mut client| async move {
        client.head().await;
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    });
    assert_eq!(rig.get("/").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(dyno.connections(), 1);
    assert!(rig.line().await.contains(" dyno=web.1 "));
}

/// What is of the dyno's connection stays there, and so does what comes behind its body.
#[tokio::test]
async fn of_an_answer_its_connection_and_its_trailers_do_not_pass() {
    let mut rig = Rig::start().await;
    let dyno = Backend::says(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n\
         Proxy-Connection: keep-alive\r\nTE: x\r\nTrailer: X-Sum\r\nUpgrade: h2c\r\nX-Hop: 1\r\nX-App: stays\r\n\
         Via: 1.1 its-own\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\n",
    )
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    let last = "GET / HTTP/1.1\r\nHost: app.localhost\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n";
    client.send(last).await;
    let answer = client.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut names: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(':')).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            ("Connection", " close"),
            ("Server", " renga"),
            ("Transfer-Encoding", " chunked"),
            ("Via", " 1.1 its-own"),
            ("Via", " 1.1 renga-router"),
            ("X-App", " stays"),
        ]
    );
    assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
}

/// `HEAD` asks for heads, of the router's own answers too.
#[tokio::test]
async fn pages_for_head_have_no_body() {
    let mut rig = Rig::start().await;
    rig.publish(app(WebState::Crashed, vec![])).await;
    let mut client = rig.client().await;
    for (host, status) in [("nobody.localhost", 404), ("app.localhost", 503), ("nobody.localhost", 404)] {
        client.send(&format!("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let reply = client.reply_to("HEAD").await;
        assert_eq!((reply.status, reply.header("content-length").len()), (status, 1));
    }
}

/// Crowds of every kind leave no connection behind, on either side.
#[tokio::test]
async fn who_has_gone_holds_no_connection() {
    let mut rig = Rig::start().await;
    let silent = Backend::start(|mut client| async move {
        client.rest().await;
    })
    .await;
    rig.publish(app(WebState::Up, vec![dyno(1, silent.address)])).await;
    let socket = rig.directory.path().join("control.sock");
    let mut kinds = JoinSet::new();
    for kind in ["", "GET", GET, "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9\r\n\r\nhalf"] {
        for _ in 0..20 {
            let mut client = rig.client().await;
            kinds.spawn(async move {
                client.send(kind).await;
                client
            });
        }
    }
    let clients = kinds.join_all().await;
    let status = async |fits: &dyn Fn(&renga_router::Status) -> bool| {
        let seen = async {
            loop {
                let status = renga_router::status_of(&socket).await.unwrap();
                if fits(&status) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, seen).await
    };
    status(&|status| (status.clients, status.in_flight) == (80, 40)).await.expect("all are there");
    drop(clients);
    status(&|status| (status.clients, status.in_flight, status.idle_to_dynos) == (0, 0, 0))
        .await
        .expect("something is left of them");
}

//! What an app can switch of its traffic.

use std::collections::BTreeSet;

use renga_model::{RouteFlags, WebState};

use crate::rig::{Backend, Reply, Rig, app, dyno, header};

async fn serve(rig: &mut Rig, flags: RouteFlags, dynos: &[&Backend]) {
    let dynos = dynos.iter().zip(1..).map(|(backend, number)| dyno(number, backend.address)).collect();
    let mut app = app(WebState::Up, dynos);
    app.flags = flags;
    rig.publish(app).await;
}

fn dyno_of(line: &str) -> String {
    line.split(' ').find_map(|word| word.strip_prefix("dyno=")).unwrap().to_owned()
}

/// Name and value of the one cookie of an answer.
fn cookie(reply: &Reply) -> String {
    let cookies = reply.header("set-cookie");
    assert_eq!(cookies.len(), 1, "{}", reply.head);
    cookies[0].split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn affinity_brings_a_client_back_to_its_dyno_while_it_is_there() {
    let (mut rig, one, two) = (Rig::start().await, Backend::mirror().await, Backend::mirror().await);
    let on = RouteFlags { session_affinity: true, ..RouteFlags::default() };
    serve(&mut rig, on, &[&one, &two]).await;
    let first = rig.get("/").await;
    let (cookie, home) = (cookie(&first), dyno_of(&rig.line().await));
    let attributes = first.header("set-cookie")[0];
    assert!(cookie.starts_with("heroku-session-affinity="), "{cookie}");
    assert!(attributes.ends_with("; Max-Age=86400; Domain=app.localhost; Path=/; HttpOnly"), "{attributes}");
    let ask = format!("GET / HTTP/1.1\r\nHost: app.localhost\r\nCookie: a=b; {cookie}\r\n\r\n");
    for _ in 0..16 {
        let reply = rig.ask(&ask).await;
        assert_eq!(reply.header("set-cookie"), [""; 0]);
        assert_eq!(dyno_of(&rig.line().await), home);
    }
    // The other one alone is left: a client is sent there, and told so.
    let left = if home == "web.1" { dyno(2, two.address) } else { dyno(1, one.address) };
    let name = left.name.to_string();
    let mut alone = app(WebState::Up, vec![left]);
    alone.flags = on;
    rig.publish(alone).await;
    let reply = rig.ask(&ask).await;
    assert_ne!(self::cookie(&reply), cookie);
    assert_eq!(dyno_of(&rig.line().await), name);
    // Switched off, the cookie means nothing.
    serve(&mut rig, RouteFlags::default(), &[&one, &two]).await;
    let mut names = BTreeSet::new();
    for _ in 0..64 {
        assert_eq!(rig.ask(&ask).await.header("set-cookie"), [""; 0]);
        names.insert(dyno_of(&rig.line().await));
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn plain_http_is_sent_to_https_with_its_path_and_port() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    let on = RouteFlags { https_redirect: true, ..RouteFlags::default() };
    serve(&mut rig, on, &[&backend]).await;
    for (host, location) in [
        ("app.localhost", "https://app.localhost/a?b=c"),
        ("app.localhost:80", "https://app.localhost/a?b=c"),
        ("App.localhost:8080", "https://App.localhost:8080/a?b=c"),
    ] {
        let reply = rig.ask(&format!("GET /a?b=c HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!((reply.status, reply.header("location")), (301, vec![location]));
    }
    let line = rig.line().await;
    assert!(line.starts_with("at=info method=GET ") && line.contains(" dyno= connect= service= status=301 "));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn without_keep_alive_every_request_has_a_connection_of_its_own() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    let off = RouteFlags { no_keep_alive_to_dyno: true, ..RouteFlags::default() };
    serve(&mut rig, off, &[&backend]).await;
    let mut client = rig.client().await;
    for requests in 1..=3 {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        assert_eq!(header(&client.reply().await.body, "connection"), ["close"]);
        assert_eq!(backend.connections(), requests);
    }
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: app.localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";

#[tokio::test]
async fn end_to_end_the_dyno_says_whether_to_continue() {
    let mut rig = Rig::start().await;
    let on = RouteFlags { end_to_end_continue: true, ..RouteFlags::default() };
    let backend = Backend::start(|mut client| async move {
        let head = client.head().await.unwrap();
        assert_eq!(header(&head, "expect"), ["100-continue"]);
        client.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.exactly(2).await, "hi");
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nthey").await;
    })
    .await;
    serve(&mut rig, on, &[&backend]).await;
    let mut client = rig.client().await;
    client.send(EXPECTING).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 100 Continue\r\n"), "{head}");
    client.send("hi").await;
    assert_eq!(client.reply().await.body, "they");

    // It may refuse without having read anything; and it must not say it twice.
    let refuses = Backend::says("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    serve(&mut rig, on, &[&refuses]).await;
    let reply = rig.ask(EXPECTING).await;
    assert_eq!((reply.status, reply.body.as_str()), (413, "no"));
    let twice = Backend::says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
    serve(&mut rig, on, &[&twice]).await;
    let mut client = rig.client().await;
    client.send(EXPECTING).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    assert_eq!(client.reply().await.status, 503);
    // Lines of several connections may come in any order.
    let lines = [rig.line().await, rig.line().await, rig.line().await].join("\n");
    for code in ["status=200", "status=413", "code=H17"] {
        assert!(lines.contains(code), "{lines}");
    }
}

#[tokio::test]
async fn early_hints_go_through_and_a_dynos_continue_does_not() {
    let (mut rig, backend) = (
        Rig::start().await,
        Backend::says(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
             HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        )
        .await,
    );
    serve(&mut rig, RouteFlags::default(), &[&backend]).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let hints = client.head().await.unwrap();
    assert!(hints.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n"), "{hints}");
    assert_eq!(client.reply().await.body, "ok");
    // To a client of before there was any such thing: the answer alone.
    assert_eq!(rig.ask("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await.body, "ok");
}

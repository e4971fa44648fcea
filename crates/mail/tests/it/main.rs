//! Against a mail server of few words.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

use renga_mail::{Config, Encryption, SmtpMail};
use renga_model::Secret;
use renga_ports::{Letter, Mail as _};

/// Takes one letter, or refuses every recipient with `refusal`, and tells what it was told.
fn sink(refusal: Option<&'static str>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || talk(&listener.accept().unwrap().0, refusal)))
}

fn talk(stream: &TcpStream, refusal: Option<&str>) -> Vec<String> {
    let (mut lines, mut out) = (BufReader::new(stream).lines(), stream);
    let mut seen = Vec::new();
    out.write_all(b"220 sink\r\n").unwrap();
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-sink\r\n250 AUTH PLAIN",
            "AUTH" => "235 welcome",
            "RCPT" => refusal.unwrap_or("250 good"),
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 good",
        };
        out.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
        let (data, quit) = (line == "DATA", line == "QUIT");
        seen.push(line);
        if data {
            let body = lines.by_ref().map_while(Result::ok).take_while(|line| line != ".");
            seen.extend(body.collect::<Vec<_>>());
            out.write_all(b"250 taken\r\n").unwrap();
        }
        if quit {
            break;
        }
    }
    seen
}

fn config(port: u16, encryption: Encryption) -> Config {
    Config {
        host: "127.0.0.1".into(),
        port,
        encryption,
        from: Config::from("Renga <renga@example.com>").unwrap(),
        login: Some(("renga".into(), Secret::new("hunter2"))),
        ca_pem: None,
    }
}

fn letter() -> Letter {
    Letter {
        to: "ada@example.com".into(),
        subject: "Grüße".into(),
        text: Secret::new("Open this link:\n\nhttp://localhost:4000/x\n"),
    }
}

#[tokio::test]
async fn a_letter_arrives() {
    let (port, sink) = sink(None);
    SmtpMail::new(&config(port, Encryption::None)).unwrap().send(&letter()).await.unwrap();
    let seen = sink.join().unwrap();
    let has = |text: &str| assert!(seen.iter().any(|line| line.contains(text)), "{text}: {seen:#?}");
    has("AUTH PLAIN");
    has("MAIL FROM:<renga@example.com>");
    has("RCPT TO:<ada@example.com>");
    has("To: ada@example.com");
    has("http://localhost:4000/x");
}

#[tokio::test]
async fn a_refusal_says_whether_to_come_again() {
    for (answer, permanent) in [("550 no such user", true), ("451 come later", false)] {
        let (port, sink) = sink(Some(answer));
        let error =
            SmtpMail::new(&config(port, Encryption::None)).unwrap().send(&letter()).await.unwrap_err();
        drop(sink.join());
        assert_eq!(error.permanent, permanent, "{error}");
        assert!(error.cause.contains(&answer[4..]), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_is_wanted() {
    let (port, sink) = sink(None);
    let error =
        SmtpMail::new(&config(port, Encryption::StartTls)).unwrap().send(&letter()).await.unwrap_err();
    let seen = sink.join().unwrap();
    assert!(seen.iter().all(|line| line.starts_with("EHLO") || line.starts_with("QUIT")), "{seen:?} {error}");
}

#[tokio::test]
async fn an_absent_server_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = SmtpMail::new(&config(port, Encryption::None)).unwrap().send(&letter()).await.unwrap_err();
    assert!(!error.permanent && error.to_string().contains(&port.to_string()), "{error}");
}

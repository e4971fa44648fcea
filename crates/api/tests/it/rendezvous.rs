//! The rendezvous, spoken to byte by byte over TLS.

use std::sync::Arc;

use renga_api::{Rendezvous, RendezvousTimes, serve_rendezvous};
use renga_model::Refusal;
use renga_ports::{AttachInput, AttachOutput};
use renga_testkit::AttachedEnd;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::harness::Platform;

pub(crate) struct Meeting {
    pub(crate) platform: Platform,
    /// The listener's certificate, for clients to trust.
    pub(crate) certificate_pem: String,
    port: u16,
    connector: TlsConnector,
}

impl Meeting {
    pub(crate) fn start() -> Self {
        Self::start_with(RendezvousTimes::default())
    }

    fn start_with(times: RendezvousTimes) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let platform = Platform::start_with_rendezvous(port);
        platform.app("demo-app");
        let rendezvous = Rendezvous {
            engine: platform.engine.clone(),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            times,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        platform
            .tokio
            .spawn(async { serve_rendezvous(TcpListener::from_std(listener).unwrap(), rendezvous).await });
        let connector = TlsConnector::from(Arc::new(client));
        Self { platform, certificate_pem: made.cert.pem(), port, connector }
    }

    /// A one-off dyno whose process is the test, and its secret.
    fn one_off(&self, no_tty: bool) -> (AttachedEnd, String) {
        let body = json!({ "command": "cat", "attach": true, "force_no_tty": no_tty });
        let dyno = self.platform.post("/apps/demo-app/dynos", body).good();
        let end = self.platform.runtime.offer(dyno["id"].as_str().unwrap().parse().unwrap());
        let url = dyno["attach_url"].as_str().unwrap();
        (end, url.rsplit('/').next().unwrap().to_owned())
    }

    /// The only one there is.
    fn dyno(&self) -> renga_model::DynoId {
        let dynos = self.platform.get("/apps/demo-app/dynos").good();
        dynos[0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Once, and soon.
    fn hears_of_the_hangup(&self) {
        let app = self.platform.get("/apps/demo-app").good()["id"].as_str().unwrap().parse().unwrap();
        let told = async || {
            let lines = self.platform.log(app).await;
            lines
                .iter()
                .filter(|line| line.ends_with("Client connection closed. Sending SIGHUP to all processes"))
                .count()
        };
        self.platform.run(async {
            let wait = async {
                while told().await == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(10), wait)
                .await
                .expect("the log tells of it");
        });
        assert_eq!(self.platform.run(told()), 1);
    }

    async fn connect(&self, line: &str) -> TlsStream<TcpStream> {
        self.connect_saying(&format!("{line}\r\n")).await
    }

    async fn connect_saying(&self, text: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut stream = self.connector.connect(name, stream).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }
}

/// One record, as clients that look at what comes piece by piece see it.
async fn record(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let bytes = stream.fill_buf().await.unwrap().to_vec();
    stream.consume(bytes.len());
    bytes
}

#[test]
fn bytes_go_both_ways_behind_the_greeting() {
    let meeting = Meeting::start();
    let (mut process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        let mut client = meeting.connect(&secret).await;
        assert_eq!(record(&mut client).await, b"rendezvous\r\n");
        client.write_all(b"hello\n").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Data("hello\n".into())));
        // 0x04 in the middle is data, at the end it is the end.
        client.write_all(b"a\x04b\n\x04").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Data("a\u{4}b\n".into())));
        assert_eq!(process.input.recv().await, Some(AttachInput::Eof));
        process.output.send(AttachOutput::Data("out\n".into())).await.unwrap();
        assert_eq!(record(&mut client).await, b"out\n");
        process.output.send(AttachOutput::Exit(0)).await.unwrap();
        assert_eq!(record(&mut client).await, b"", "the end of the process ends the session");
    });
}

#[test]
fn a_process_inside_a_dyno_has_its_client_and_the_log_says_who_ran_what() {
    let meeting = Meeting::start();
    let platform = &meeting.platform;
    let body = json!({ "command": "sleep 1000" });
    let name = platform.post("/apps/demo-app/dynos", body).good()["name"].as_str().unwrap().to_owned();
    let (dyno, path) = (meeting.dyno(), format!("/apps/demo-app/dynos/{name}"));
    let ask = |body| platform.post(&path, body);
    let (status, _, message) = ask(json!({ "command": "ls" })).refusal();
    assert_eq!((status, message.contains("does not run now")), (422, true), "{message}");
    let begin = platform.engine.store.write(move |tx| {
        tx.dyno_move(dyno, 0, renga_model::DynoEvent::Start, jiff::Timestamp::UNIX_EPOCH)
            .map_err(Refusal::from)
    });
    platform.run(begin).unwrap();

    for (wrong, told) in [
        (json!({ "command": " " }), "must not be empty"),
        (json!({ "command": "a\u{0}b" }), "NUL"),
        (json!({ "command": "x".repeat(20_000) }), "at most 16 KB"),
        (json!({ "command": "ls", "env": { "A B": "1" } }), ""),
    ] {
        let (status, _, message) = ask(wrong).refusal();
        assert_eq!((status, message.contains(told)), (422, true), "{message}");
    }
    let mut process = platform.runtime.offer(dyno);
    let env = json!({ "TERM": "xterm", "COLUMNS": 132, "LINES": 40 });
    let shown = ask(json!({ "command": "ls \n heroku[web.1]: forged", "env": env })).good();
    assert_eq!(shown["name"], name.as_str());
    let secret = shown["attach_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let exec = platform.runtime.execs().pop().unwrap();
    assert_eq!(exec.tty.map(|tty| (tty.columns, tty.rows)), Some((132, 40)));
    assert_eq!(exec.argv[4], "ls \n heroku[web.1]: forged");
    platform.run(async {
        let mut client = meeting.connect(&secret).await;
        assert_eq!(record(&mut client).await, b"rendezvous\r\n");
        client.write_all(b"x").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Data("x".into())));
        let mut second = meeting.connect(&secret).await;
        assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0, "the secret opens once");
        let mut window = meeting.connect(&format!("{secret}/window")).await;
        assert_eq!(record(&mut window).await, b"window\r\n");
        process.output.send(AttachOutput::Exit(3)).await.unwrap();
        assert_eq!(record(&mut client).await, b"");
    });
    let mut process = platform.runtime.offer(dyno);
    ask(json!({ "command": "ls" })).good();
    platform.clock.advance(jiff::SignedDuration::from_secs(31));
    assert!(platform.engine.exec_by_secret("anything").is_none());
    platform.run(async { assert_eq!(process.input.recv().await, None, "nobody came: hung up on") });

    let app = platform.get("/apps/demo-app").good()["id"].as_str().unwrap().parse().unwrap();
    let log = platform.run(platform.log(app)).join("\n");
    let run = "Starting process with command `ls \\n heroku[web.1]: forged` inside the running dyno by user dev@example.com";
    for line in [run, "Process inside the running dyno exited with status 3"] {
        assert!(log.contains(&format!("heroku[{name}]: {line}")), "{log}");
    }
}

#[test]
fn the_exit_status_line_is_one_record() {
    let meeting = Meeting::start();
    let (process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        let mut client = meeting.connect(&secret).await;
        record(&mut client).await;
        let line = "\u{FFFF} heroku-command-exit-status: 7\n";
        let whole = format!("some output\n{line}");
        for piece in whole.as_bytes().chunks(5) {
            process.output.send(AttachOutput::Data(piece.to_vec().into())).await.unwrap();
        }
        process.output.send(AttachOutput::Exit(7)).await.unwrap();
        let mut records = Vec::new();
        loop {
            match record(&mut client).await {
                end if end.is_empty() => break,
                bytes => records.push(bytes),
            }
        }
        assert_eq!(records.last().unwrap(), line.as_bytes());
        assert_eq!(records.concat(), whole.as_bytes());
    });
}

#[test]
fn with_a_terminal_0x04_is_a_key_and_the_window_can_change() {
    let meeting = Meeting::start();
    let (mut process, secret) = meeting.one_off(false);
    meeting.platform.run(async {
        let mut client = meeting.connect(&secret).await;
        record(&mut client).await;
        client.write_all(b"\x04").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Data("\u{4}".into())));
        let mut window = meeting.connect(&format!("{secret}/window")).await;
        assert_eq!(record(&mut window).await, b"window\r\n");
        window.write_all(b"132 40\n").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Resize { columns: 132, rows: 40 }));
        drop(client);
        assert_eq!(process.input.recv().await, None, "a client that goes away hangs up, window or not");
    });
    meeting.hears_of_the_hangup();
}

#[test]
fn a_session_in_which_nothing_is_said_is_closed() {
    let idle = std::time::Duration::from_millis(80);
    let meeting = Meeting::start_with(RendezvousTimes { idle, ..RendezvousTimes::default() });
    let (mut process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        let mut client = meeting.connect(&secret).await;
        record(&mut client).await;
        // Either direction keeps it open.
        for _ in 0..6 {
            tokio::time::sleep(idle / 2).await;
            process.output.send(AttachOutput::Data("tick\n".into())).await.unwrap();
            assert_eq!(record(&mut client).await, b"tick\n");
            client.write_all(b"tock\n").await.unwrap();
            assert_eq!(process.input.recv().await, Some(AttachInput::Data("tock\n".into())));
        }
        assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed");
        assert_eq!(process.input.recv().await, None, "and hung up on");
    });
    meeting.hears_of_the_hangup();
}

#[test]
fn a_secret_needs_no_end_of_line() {
    let meeting = Meeting::start();
    let (mut process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        let mut client = meeting.connect_saying(&secret).await;
        assert_eq!(record(&mut client).await, b"rendezvous\r\n");
        client.write_all(b"first\n").await.unwrap();
        assert_eq!(process.input.recv().await, Some(AttachInput::Data("first\n".into())));
    });
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let hello = std::time::Duration::from_millis(50);
    let meeting = Meeting::start_with(RendezvousTimes { hello, ..RendezvousTimes::default() });
    let (_process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        // One never begins with TLS, one stops within the secret, one sends nonsense, one resets.
        let mut silent = TcpStream::connect(("127.0.0.1", meeting.port)).await.unwrap();
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
        let mut half = meeting.connect_saying(&secret[..20]).await;
        assert_eq!(half.read(&mut [0; 8]).await.unwrap_or(0), 0);
        let mut nonsense = TcpStream::connect(("127.0.0.1", meeting.port)).await.unwrap();
        nonsense.write_all(&[0xff; 200]).await.unwrap();
        let mut rest = Vec::new();
        nonsense.read_to_end(&mut rest).await.unwrap_or_default();
        assert!(rest.len() < 20, "an alert at most");
        // None of them has used the secret up.
        let mut client = meeting.connect(&secret).await;
        assert_eq!(record(&mut client).await, b"rendezvous\r\n");
    });
}

#[test]
fn a_secret_opens_once_even_after_a_cut() {
    let meeting = Meeting::start();
    let (mut process, secret) = meeting.one_off(true);
    let dyno = meeting.dyno();
    meeting.platform.run(async {
        let mut client = meeting.connect(&secret).await;
        record(&mut client).await;
        socket2::SockRef::from(client.get_ref().0).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(process.input.recv().await, None);
        let _next = meeting.platform.runtime.offer(dyno);
        let mut again = meeting.connect(&secret).await;
        assert_eq!(again.read(&mut [0; 8]).await.unwrap_or(0), 0, "turned away");
    });
    meeting.hears_of_the_hangup();
}

#[test]
fn strangers_and_second_clients_are_turned_away() {
    let meeting = Meeting::start();
    let (process, secret) = meeting.one_off(true);
    meeting.platform.run(async {
        for wrong in ["", "nonsense", &"0".repeat(64), "x/window", &format!("{secret}/other")] {
            let mut stranger = meeting.connect(wrong).await;
            assert_eq!(stranger.read(&mut [0; 8]).await.unwrap_or(0), 0, "{wrong}");
        }
        let mut long = meeting.connect(&"x".repeat(2_000)).await;
        assert_eq!(long.read(&mut [0; 8]).await.unwrap_or(0), 0);
        let mut client = meeting.connect(&secret).await;
        assert_eq!(record(&mut client).await, b"rendezvous\r\n");
        let mut second = meeting.connect(&secret).await;
        assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0);
        process.output.send(AttachOutput::Data("still here".into())).await.unwrap();
        assert_eq!(record(&mut client).await, b"still here");
    });
}

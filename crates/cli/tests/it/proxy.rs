//! `connect --proxy`: whom it answers for, what it lets pass, and that bytes stream.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Stdio,
    sync::{Arc, mpsc},
    thread,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::harness::{Authority, DEADLINE, Guarded, TlsStream, accept_tls, read_line, renga};

/// A platform behind TLS, the proxy before it, and what a client needs to use that.
struct World {
    port: u16,
    trust: Arc<ClientConfig>,
    exports: String,
    _proxy: Guarded,
    _home: tempfile::TempDir,
}

impl World {
    /// Each connection to the platform is given to `serve`.
    fn new(serve: impl Fn(TlsStream) + Send + Sync + 'static) -> Self {
        let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
        let url = format!("https://localhost:{}", listen(&authority, serve));
        let token = home.path().join("token");
        fs::write(&token, "T\n").unwrap();
        let args = [
            "connect",
            &url,
            "--proxy",
            "--port",
            "0",
            "--fingerprint",
            &authority.fingerprint,
            "--token-file",
        ];
        let mut command = renga(&args);
        command.arg(&token).env("HOME", home.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut proxy = Guarded(command.spawn().unwrap());
        let mut lines = BufReader::new(proxy.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut exports = String::new();
        // The last of what is taken away is the last line.
        while !exports.ends_with("unset RENGA_DATA_DIR\n") {
            exports += &(lines.next().expect("it ended early") + "\n");
        }
        let value = |name: &str| {
            let line = exports.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.unwrap().trim_matches('\'').to_owned()
        };
        let port = value("HTTPS_PROXY").rsplit(':').next().unwrap().parse().unwrap();
        let trust = trusting(&value("NODE_EXTRA_CA_CERTS"));
        Self { port, trust, exports, _proxy: proxy, _home: home }
    }

    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Up to the empty line behind the proxy's answer, which is given, too.
    fn connect(&self, authority: &str) -> (TcpStream, String) {
        let mut stream = self.raw();
        stream
            .write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes())
            .unwrap();
        let status = read_line(&mut stream);
        while !read_line(&mut stream).is_empty() {}
        (stream, status)
    }

    fn tls(&self, host: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let (stream, status) = self.connect(&format!("{host}:443"));
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let name = ServerName::try_from(host.to_owned()).unwrap();
        StreamOwned::new(ClientConnection::new(self.trust.clone(), name).unwrap(), stream)
    }
}

fn listen(authority: &Authority, serve: impl Fn(TlsStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, serve) = (authority.config.clone(), Arc::new(serve));
    thread::spawn(move || {
        loop {
            let (stream, serve) = (accept_tls(&listener, &config), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn trusting(file: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap);
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// Lines up to the empty one; none if the other side had nothing to say.
fn read_head(stream: &mut impl std::io::Read) -> Option<Vec<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().lines().map(str::to_owned).collect())
}

fn finish(mut stream: TlsStream) {
    stream.conn.send_close_notify();
    stream.flush().ok();
}

#[test]
fn herokus_names_lead_to_the_platform_with_its_own_token_only() {
    let (heads, asked) = mpsc::channel();
    let world = World::new(move |mut stream| {
        let Some(head) = read_head(&mut stream) else { return };
        heads.send(head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
        finish(stream);
    });
    let ask = |host: &str, credentials: &str| {
        let mut tls = world.tls(host);
        let request = format!("GET /apps HTTP/1.1\r\nHost: {host}\r\nAuthorization: {credentials}\r\n\r\n");
        tls.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // The clean end of TLS is part of what is looked at.
        tls.read_to_string(&mut answer).unwrap();
        answer
    };
    for host in ["api.heroku.com", "git.heroku.com", "api.data.heroku.com", "api.metrics.herokai.com"] {
        assert!(ask(host, "Bearer HRKU-real").starts_with("HTTP/1.1 401 Unauthorized\r\n"));
        assert!(ask(host, "Bearer T").ends_with("\r\n\r\nok"));
        let head = asked.recv_timeout(DEADLINE).unwrap();
        assert!(head.iter().any(|line| line.starts_with("Host: localhost:")), "{head:?}");
        assert!(!head.concat().contains("heroku") && !head.concat().contains("HRKU"), "{head:?}");
    }
    for name in ["HEROKU_HOST", "HEROKU_DATA_HOST", "HEROKU_HEADERS"] {
        assert!(world.exports.contains(&format!("unset {name}\n")), "{}", world.exports);
    }
    let (_, status) = world.connect("backboard.heroku.com:443");
    assert!(status.starts_with("HTTP/1.1 403"), "{status}");
}

#[test]
fn bodies_stream_both_ways_as_they_come() {
    let world = World::new(|mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        // Each line is answered before the next one comes.
        for _ in 0..3 {
            let line = read_line(&mut stream);
            stream.write_all(format!("heard {line}\n").as_bytes()).unwrap();
        }
        // More than every buffer on the way, sent before anybody reads.
        stream.write_all(&vec![b'x'; 8_000_000]).unwrap();
        finish(stream);
    });
    let mut tls = world.tls("api.heroku.com");
    tls.write_all(b"POST /logs HTTP/1.1\r\nHost: api.heroku.com\r\n\r\n").unwrap();
    let head = read_head(&mut tls).unwrap();
    assert_eq!(head[0], "HTTP/1.1 200 OK");
    for line in ["one", "two", "three"] {
        tls.write_all(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(read_line(&mut tls), format!("heard {line}"));
    }
    let mut rest = Vec::new();
    tls.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 8_000_000);
}

#[test]
fn an_answer_to_an_unread_body_arrives() {
    let world = World::new(|mut stream| {
        if read_head(&mut stream).is_some() {
            stream
                .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
            finish(stream);
        }
    });
    let mut tls = world.tls("api.heroku.com");
    tls.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 200000\r\n\r\n").unwrap();
    tls.write_all(&vec![b'x'; 200_000]).ok();
    assert_eq!(read_head(&mut tls).unwrap()[0], "HTTP/1.1 413 Too Large");
}

#[test]
fn an_answer_that_was_cut_off_does_not_look_whole() {
    let world = World::new(|mut stream| {
        if read_head(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of i").unwrap();
            stream.sock.shutdown(Shutdown::Both).ok();
        }
    });
    let mut tls = world.tls("api.heroku.com");
    tls.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let failed = tls.read_to_end(&mut answer).unwrap_err();
    assert_eq!(failed.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(answer.ends_with(b"half of i"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_client_that_leaves_is_not_waited_for() {
    let (left, leaving) = mpsc::channel();
    let world = World::new(move |mut stream| {
        if read_head(&mut stream).is_some() {
            // Nothing is said, and nothing comes, until the client has gone.
            left.send(stream.read(&mut [0]).unwrap_or(0)).unwrap();
        }
    });
    let mut tls = world.tls("api.heroku.com");
    tls.write_all(b"GET /stream HTTP/1.1\r\n\r\n").unwrap();
    tls.flush().unwrap();
    drop(tls);
    assert_eq!(leaving.recv_timeout(DEADLINE).unwrap(), 0);
}

#[test]
fn what_is_not_herokus_passes_as_it_is() {
    let world = World::new(|mut stream| drop(read_head(&mut stream)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One half is closed while the other is still needed.
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            stream.write_all(heard.to_uppercase().as_bytes()).unwrap();
        }
    });
    let (mut stream, status) = world.connect(&address.to_string());
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    let said = "no tls at all ".repeat(100_000);
    stream.write_all(said.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, said.to_uppercase());
}

#[test]
fn whatever_comes_to_the_port_is_answered() {
    let world = World::new(|mut stream| drop(read_head(&mut stream)));
    let long = format!("CONNECT api.heroku.com:443 HTTP/1.1\r\nX: {}", "x".repeat(100_000));
    for (sent, status) in [
        ("\x16\x03\x01\x02\x00", "400 Bad Request"),
        ("CONNECT x HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (&long, "431 Request Header Fields Too Large"),
    ] {
        let mut stream = world.raw();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("renga connect"), "{answer}");
    }
}

#[test]
fn a_client_need_not_wait_before_its_handshake() {
    let world = World::new(|mut stream| {
        if read_head(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            finish(stream);
        }
    });
    let name = ServerName::try_from("api.heroku.com").unwrap();
    let mut connection = ClientConnection::new(world.trust.clone(), name).unwrap();
    let mut sent = b"CONNECT api.heroku.com:443 HTTP/1.1\r\n\r\n".to_vec();
    connection.write_tls(&mut sent).unwrap();
    let mut stream = world.raw();
    stream.write_all(&sent).unwrap();
    assert!(read_line(&mut stream).starts_with("HTTP/1.1 200"));
    assert_eq!(read_line(&mut stream), "");
    let mut tls = StreamOwned::new(connection, stream);
    tls.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut tls).unwrap()[0], "HTTP/1.1 204 No Content");
}

//! `connect`: the forwarder, and whom it believes.

use std::{
    io::{BufReader, Write as _},
    net::TcpListener,
    thread,
};

use crate::harness::{Authority, accept_tls, app, read_request, renga, text};

/// A platform behind TLS; gives its address.
fn remote(authority: &Authority) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let (config, host) = (authority.config.clone(), address.clone());
    thread::spawn(move || {
        loop {
            let stream = accept_tls(&listener, &config);
            let host = host.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let Some(request) = read_request(&mut reader) else { return };
                assert_eq!(request.headers["host"], host);
                assert_eq!(request.headers["authorization"], "Bearer K");
                let body = app("times").to_string();
                let stream = reader.get_mut();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
        }
    });
    address
}

#[test]
fn a_pinned_platform_is_reached_by_the_name_of_this_machine() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
    let address = remote(&authority);
    let url = format!("https://{address}");
    let pinned = format!("sha256 Fingerprint={}", authority.fingerprint);
    let client = renga(&[]).get_program().to_str().unwrap().to_owned();
    let through = |script: &str| {
        let args =
            ["connect", &url, "--port", "0", "--fingerprint", &pinned, "--", "sh", "-c", script, &client];
        renga(&args).env("HOME", home.path()).env("RENGA_DATA_DIR", "/another").output().unwrap()
    };
    let output = through("echo $HEROKU_GIT_HOST ${RENGA_DATA_DIR-unset}; \"$0\" apps; exit 4");
    assert_eq!(text(&output.stdout), format!("{address} unset\n"));
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output.stderr);
    assert!(said.contains("You are not signed in to the platform at http://localhost:"), "{said}");
    let output = through("HEROKU_API_KEY=K \"$0\" maintenance -a times && cat \"$NODE_EXTRA_CA_CERTS\"");
    // Written anew from what came over the wire.
    let compact = |pem: &str| pem.split_whitespace().collect::<String>();
    let shown = text(&output.stdout);
    let (answer, pem) = shown.split_once('\n').expect("an answer and a certificate");
    assert_eq!((answer, compact(pem)), ("off", compact(&authority.pem)));
}

#[test]
fn an_unknown_ca_is_shown_and_not_believed() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().unwrap());
    let url = format!("https://{}", remote(&authority));
    let found = &authority.fingerprint;
    let output = renga(&["connect", &url, "--", "true"]).env("HOME", home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("--fingerprint {found}")), "{}", text(&output.stderr));
    let other = "ab".repeat(32);
    let output = renga(&["connect", &url, "--fingerprint", &other, "--", "true"])
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing was sent"), "{}", text(&output.stderr));
    for wrong in ["http://localhost:1", "localhost", "https://"] {
        assert_eq!(renga(&["connect", wrong]).output().unwrap().status.code(), Some(64), "{wrong}");
    }
}

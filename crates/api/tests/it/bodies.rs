//! Bodies that nobody sends on purpose: always a refusal that a person can read, never a failure of ours.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use http::Method;
use renga_api::endpoint_rows;
use renga_model::limits;
use serde_json::json;

use crate::harness::Platform;

#[test]
fn bad_bodies_are_refused_by_every_endpoint() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve")]);
    let deep = "[".repeat(50_000);
    let bodies: Vec<&[u8]> = vec![
        b"{",
        b"nope",
        b"\"text\"",
        b"5",
        b"null",
        b"[[]]",
        b"{\"unheard_of\": 1}",
        b"{\"name\": {}}",
        b"{\"updates\": 5}",
        b"{\"updates\": [5]}",
        b"{\"updates\": [{\"type\": 1}]}",
        b"{\"command\": []}",
        b"{\"source_blob\": []}",
        b"{\"source_blob\": {\"url\": 1}}",
        b"\xff\xfe",
        b"{\"\\u0000\": \"\\u0000\"}",
        deep.as_bytes(),
    ];
    let writes = [Method::POST, Method::PUT, Method::PATCH];
    for row in endpoint_rows().iter().filter(|row| writes.contains(&row.method) && row.platform) {
        let path = row.path.replace("{app}", "demo-app").replace("{type}", "web").replace("{dyno}", "web.1");
        let path = path.replace("{feature}", "preboot").replace(['{', '}'], "");
        for body in &bodies {
            let reply = platform.send(row.method.clone(), &path, &[], Some(body));
            assert!(!reply.status.is_server_error(), "{} {path} {body:?}: {}", row.method, reply.text);
            if reply.status.is_client_error() {
                let (_, id, message) = reply.refusal();
                assert!(
                    ["bad_request", "invalid_params", "not_found", "conflict"].contains(&id.as_str()),
                    "{id}"
                );
                assert!(!message.is_empty());
            }
        }
    }
}

#[test]
fn the_member_that_is_wrong_is_named() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve")]);
    let cases = [
        (Method::POST, "/apps", json!({ "nmae": "x" }), 422, "nmae"),
        (Method::POST, "/apps", json!({ "name": 7 }), 422, "name"),
        (Method::PATCH, "/apps/demo-app", json!({ "maintenance": "yes" }), 422, "maintenance"),
        (Method::PATCH, "/apps/demo-app/config-vars", json!({ "A": { "b": 1 } }), 422, "A"),
        (Method::PATCH, "/apps/demo-app/config-vars", json!({ "1A": "x" }), 422, "Config var name"),
        (
            Method::PATCH,
            "/apps/demo-app/formation",
            json!({ "updates": [{ "quantity": 1 }] }),
            422,
            "updates[0].type",
        ),
        (
            Method::PATCH,
            "/apps/demo-app/formation",
            json!({ "updates": [{ "type": "web", "quantity": {} }] }),
            422,
            "updates[0].quantity",
        ),
        (
            Method::PATCH,
            "/apps/demo-app/formation",
            json!({ "updates": [{ "type": "web", "quantity": "many" }] }),
            422,
            "many",
        ),
        (Method::POST, "/apps/demo-app/dynos", json!({}), 422, "command"),
        (Method::POST, "/apps/demo-app/builds", json!({ "source_blob": {} }), 422, "source_blob"),
        (Method::PATCH, "/apps/demo-app/features/preboot", json!({}), 422, "enabled"),
    ];
    for (method, path, body, expected, named) in cases {
        let (status, _, message) =
            platform.send(method, path, &[], Some(body.to_string().as_bytes())).refusal();
        assert_eq!(status, expected, "{path} {body}");
        assert!(message.contains(named), "{path} {body}: {message}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let platform = Platform::start();
    let address = platform.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    // A gigabyte is announced and not a byte of it sent: the answer must not wait for it.
    let head = format!(
        "POST /apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Accept: application/vnd.heroku+json; version=3\r\nContent-Length: {}\r\n\r\n",
        platform.token,
        1 << 30
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let big = vec![b' '; limits::API_BODY_BYTES_MAX + 1];
    let mut chunked = TcpStream::connect(address).unwrap();
    let head = head.replace(&format!("Content-Length: {}", 1 << 30), "Transfer-Encoding: chunked");
    chunked.write_all(head.as_bytes()).unwrap();
    chunked.write_all(format!("{:x}\r\n", big.len()).as_bytes()).unwrap();
    // The server may stop to read before all is written.
    drop(chunked.write_all(&big));
    let mut answer = [0; 64];
    let read = chunked.read(&mut answer).unwrap_or(0);
    assert!(read == 0 || answer.starts_with(b"HTTP/1.1 413"), "{:?}", &answer[..read]);
}

//! Log sessions: backlog, tail, and what happens when the connection breaks.

use std::{
    io::Read as _,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use crate::harness::{Answer, Guarded, Platform, app, ok, refused, text, until};

fn session(platform_port: &str) -> Answer {
    ok(&json!({
        "created_at": "2026-01-01T00:00:00Z", "id": app("x")["id"], "updated_at": "2026-01-01T00:00:00Z",
        "logplex_url": format!("http://{platform_port}/logs/sessions/S"),
    }))
}

fn events(text: &str) -> Answer {
    Answer { status: 200, headers: vec![("content-type", "text/event-stream".into())], body: text.into() }
}

#[test]
fn the_backlog_is_shown_and_that_is_all() {
    let platform = Platform::new(|request| match request.method.as_str() {
        "POST" => session(&request.headers["host"]),
        _ => events(": hello\n\nid: 1\ndata: t app[web.1]: one\n\nid: 2\ndata: t heroku[router]: two\n\n"),
    });
    let output = platform.run(&["logs", "-a", "times", "-n", "7", "--dyno", "web.1", "--source", "app"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "t app[web.1]: one\nt heroku[router]: two\n");
    let requests = platform.requests();
    let body = &requests[0].body;
    assert_eq!(
        (&body["lines"], &body["dyno"], &body["source"], &body["tail"]),
        (&json!(7), &json!("web.1"), &json!("app"), &json!(false))
    );
    assert_eq!(requests[1].headers["accept"], "text/event-stream");
    assert!(!requests[1].headers.contains_key("authorization"), "the URL is the key");
}

#[test]
fn a_tail_goes_on_behind_the_last_line() {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    let platform = Platform::new(|request| {
        if request.method == "POST" {
            return session(&request.headers["host"]);
        }
        match OPENED.fetch_add(1, Ordering::SeqCst) {
            0 => events("id: 41\ndata: one\n\nid: 42\ndata: two\n\nid: 43\ndata: cut off"),
            1 => events("id: 43\ndata: three\n\n"),
            _ => refused(404, "not_found", "gone"),
        }
    });
    let output = platform.run(&["logs", "-a", "times", "--tail"]);
    assert_eq!(text(&output.stdout), "one\ntwo\nthree\n");
    let resumed: Vec<_> =
        platform.requests().iter().map(|request| request.headers.get("last-event-id").cloned()).collect();
    assert_eq!(resumed, [None, None, Some("42".into()), Some("43".into())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Log stream timed out."));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command() {
    let platform = Platform::new(|request| match request.method.as_str() {
        "POST" => session(&request.headers["host"]),
        _ => events(&(0..100_000).map(|n| format!("id: {n}\ndata: line {n}\n\n")).collect::<String>()),
    });
    let mut child = platform.renga(&["logs", "-a", "times", "--tail"]);
    let mut child = Guarded(child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut first = [0; 7];
    child.0.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let status = until("the command ends", || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

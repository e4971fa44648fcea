//! Log sessions, outputs and uploads: URLs that are their own key.

use std::io::{BufRead, BufReader, Read};

use http::Method;
use renga_model::{AppId, LogLine, LogSource};
use renga_ports::Logs;
use serde_json::{Value, json};

use crate::harness::Platform;

const EVENTS: (&str, &str) = ("accept", "text/event-stream");
const NOBODY: (&str, &str) = ("authorization", "");

fn write(platform: &Platform, app: AppId, ps: &str, text: &str) {
    let line =
        LogLine { at: platform.engine.now(), source: LogSource::App, ps: ps.into(), text: text.into() };
    platform.logs.write(app, line);
}

fn session(platform: &Platform, body: Value) -> String {
    let session = platform.post("/apps/demo-app/log-sessions", body).good();
    session["logplex_url"].as_str().unwrap().to_owned()
}

#[test]
fn a_session_gives_the_backlog_and_ends() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    for n in 0..5 {
        write(&platform, app, "web.1", &format!("line {n}"));
        write(&platform, app, "worker.1", "other");
    }
    let url = session(&platform, json!({ "dyno": "web", "source": "app", "lines": 2, "tail": false }));
    let events = platform.send(Method::GET, &url, &[EVENTS, NOBODY], None);
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    let data: Vec<&str> = events.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(
        data,
        [
            "2026-01-01T00:00:00.000000+00:00 app[web.1]: line 3",
            "2026-01-01T00:00:00.000000+00:00 app[web.1]: line 4",
        ]
    );
    assert!(events.text.lines().filter(|line| line.starts_with("id: ")).count() == 2);
    let plain = platform.send(Method::GET, &url, &[("accept", "*/*"), NOBODY], None);
    assert_eq!(plain.text.lines().collect::<Vec<_>>(), data);
}

#[test]
fn a_tail_goes_on_and_is_resumed_behind_the_last_event() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    write(&platform, app, "web.1", "first");
    let url = session(&platform, json!({ "tail": true, "dyno_name": "web.1" }));
    let read = |last: Option<&str>| {
        let mut headers = vec![EVENTS, NOBODY];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let response = platform.open(Method::GET, &url, &headers, None);
        assert_eq!(response.status(), 200);
        BufReader::new(response.into_body().into_reader()).lines().map(Result::unwrap)
    };
    let mut events = read(None).filter(|line| !line.is_empty());
    let id = events.next().unwrap();
    assert!(events.next().unwrap().ends_with("first"));
    write(&platform, app, "web.1", "second");
    events.next();
    assert!(events.next().unwrap().ends_with("second"));
    drop(events);
    let resumed = read(id.strip_prefix("id: ")).find(|line| line.starts_with("data: ")).unwrap();
    assert!(resumed.ends_with("second"), "{resumed}");
}

#[test]
fn a_session_is_opened_by_its_own_url_only() {
    let platform = Platform::start();
    platform.app("demo-app");
    let url = session(&platform, json!({}));
    let get = |url: &str| platform.send(Method::GET, url, &[EVENTS, NOBODY], None).status;
    assert_eq!(get(&url), 200);
    let mut forged = url.clone();
    forged.replace_range(
        url.len() - 3..url.len() - 2,
        if url.as_bytes()[url.len() - 3] == b'A' { "B" } else { "A" },
    );
    assert_eq!(get(&forged), 404);
    assert_eq!(get("/logs/sessions/nonsense"), 404);
    platform.clock.advance(jiff::SignedDuration::from_hours(25));
    assert_eq!(get(&url), 404, "old sessions are over");
    let gone = session(&platform, json!({}));
    platform.delete("/apps/demo-app").good();
    assert_eq!(get(&gone), 404, "so are those of an app that was destroyed");
}

#[test]
fn an_output_has_many_readers_while_it_grows_and_after() {
    let platform = Platform::start();
    platform.app("demo-app");
    let build =
        platform.post("/apps/demo-app/builds", json!({ "source_blob": { "url": "https://x/y.tgz" } })).good();
    let (id, url) = (build["id"].as_str().unwrap(), build["output_stream_url"].as_str().unwrap());
    let get = || platform.send(Method::GET, url, &[NOBODY], None);
    assert_eq!(platform.send(Method::GET, &format!("{url}x"), &[NOBODY], None).status, 404);
    platform.run(platform.logs.output_append(id, 1, "-----> Building\n")).unwrap();
    let mut live = platform.open(Method::GET, url, &[NOBODY], None).into_body().into_reader();
    let mut first = [0; 16];
    live.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"-----> Building\n");
    platform.run(platform.logs.output_append(id, 2, "Done\n")).unwrap();
    platform.run(platform.logs.output_finish(id)).unwrap();
    let mut rest = String::new();
    live.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "Done\n");
    assert_eq!(get().text, "-----> Building\nDone\n");
}

#[test]
fn a_source_is_uploaded_whole_and_read_back() {
    let platform = Platform::start();
    let source = platform.post("/sources", json!({})).good();
    let put = source["source_blob"]["put_url"].as_str().unwrap();
    let get = source["source_blob"]["get_url"].as_str().unwrap();
    assert_eq!(platform.send(Method::GET, get, &[NOBODY], None).status, 404);
    let tarball = vec![7_u8; 3 << 20];
    assert_eq!(platform.send(Method::PUT, put, &[NOBODY], Some(&tarball)).status, 200);
    let mut back = Vec::new();
    platform
        .open(Method::GET, get, &[NOBODY], None)
        .into_body()
        .into_reader()
        .read_to_end(&mut back)
        .unwrap();
    assert!(back == tarball);
    let file = platform
        .run(renga_engine::operations::sources::uploaded_file(&platform.engine, get))
        .unwrap()
        .unwrap();
    assert_eq!(std::fs::read(&file).unwrap().len(), tarball.len());
    let others = platform
        .run(renga_engine::operations::sources::uploaded_file(&platform.engine, "https://x/y"))
        .unwrap();
    assert_eq!(others, None);
    let forged = format!("{}0", &put[..put.len() - 1]);
    let forged = if forged == put { format!("{}1", &put[..put.len() - 1]) } else { forged };
    assert_eq!(platform.send(Method::PUT, &forged, &[NOBODY], Some(b"x")).status, 404);
    let leftovers = std::fs::read_dir(platform.folder.path()).unwrap().flatten();
    assert_eq!(leftovers.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count(), 0);
}

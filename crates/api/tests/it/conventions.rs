//! What holds for every request: versions, ids, ranges, ETags, limits.

use std::io::Read;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::json;

use crate::harness::Platform;

#[test]
fn version_3_must_be_accepted_in_any_variant() {
    let platform = Platform::start();
    for good in [
        "application/vnd.heroku+json; version=3",
        "application/vnd.heroku+json;version=3",
        "application/vnd.heroku+json; version=3.sdk",
        "text/html, application/vnd.heroku+json; version=3.docker-releases",
    ] {
        assert_eq!(platform.send(Method::GET, "/account", &[("accept", good)], None).status, 200, "{good}");
    }
    for bad in [
        "*/*",
        "application/json",
        "application/vnd.heroku+json; version=2",
        "application/vnd.heroku+json; version=30",
    ] {
        let (status, id, _) = platform.send(Method::GET, "/account", &[("accept", bad)], None).refusal();
        assert_eq!((status, id.as_str()), (406, "not_acceptable"), "{bad}");
    }
}

#[test]
fn the_three_spellings_of_a_token_are_understood() {
    let platform = Platform::start();
    for pair in [
        format!(":{}", platform.token),
        format!("dev@example.com:{}", platform.token),
        format!("any:{}", platform.token),
    ] {
        let basic = format!("Basic {}", STANDARD.encode(pair));
        let account = platform.send(Method::GET, "/account", &[("authorization", &basic)], None).good();
        assert_eq!(account["email"], "dev@example.com");
    }
    assert_eq!(platform.get("/users/~").good()["email"], "dev@example.com");
    assert_eq!(platform.get("/users/dev%40example.com").good()["email"], "dev@example.com");
    assert_eq!(platform.get("/users/other%40example.com").status, 404);
}

#[test]
fn request_ids_come_back_first_of_many() {
    let platform = Platform::start();
    let ids: Vec<String> = (0..200).map(|n| format!("6f0bd0a4-8f6e-4a0e-9d0f-0000000{n:05}")).collect();
    let header = ids.join(",");
    assert!(header.len() > 7_000);
    let reply = platform.send(Method::GET, "/account", &[("request-id", &header)], None);
    assert_eq!(reply.header("request-id"), Some(ids[0].as_str()));
    for bad in ["a b", "<script>", &"x".repeat(300)] {
        let reply = platform.send(Method::GET, "/account", &[("request-id", bad)], None);
        assert!(reply.header("request-id").unwrap().parse::<uuid::Uuid>().is_ok(), "{bad}");
    }
    assert!(
        platform.get("/nothing").header("request-id").is_none() || platform.get("/nothing").status == 404
    );
}

#[test]
fn unchanged_answers_are_304() {
    let platform = Platform::start();
    platform.app("demo-app");
    let etag = platform.get("/apps/demo-app").header("etag").unwrap().to_owned();
    let again = platform.send(Method::GET, "/apps/demo-app", &[("if-none-match", &etag)], None);
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
    platform.patch("/apps/demo-app", json!({ "maintenance": true })).good();
    let changed =
        platform.send(Method::GET, "/apps/demo-app", &[("if-none-match", &format!("W/{etag}, \"x\""))], None);
    assert_eq!(changed.status, 200);
}

#[test]
fn a_list_that_is_kept_shows_every_change_at_once() {
    let platform = Platform::start();
    platform.app("first");
    let jane = platform.person("jane@example.com");
    let names = |reply: crate::harness::Reply| {
        let list = reply.good();
        list.as_array().unwrap().iter().map(|app| app["name"].to_string()).collect::<Vec<_>>().join(" ")
    };
    for path in ["/apps", "/users/~/apps"] {
        assert_eq!(names(platform.get(path)), "\"first\"");
        let etag = platform.get(path).header("etag").unwrap().to_owned();
        let again = platform.send(Method::GET, path, &[("if-none-match", &etag)], None);
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
        // Another caller, another range: other answers.
        assert_eq!(names(jane.get(path)), "");
        let none = platform.send(Method::GET, path, &[("range", "name ]first..")], None);
        assert_eq!(names(none), "");
        platform.patch("/apps/first", json!({ "maintenance": true })).good();
        assert_eq!(platform.get(path).json()[0]["maintenance"], true);
        platform.patch("/apps/first", json!({ "maintenance": false })).good();
        assert_eq!(platform.get(path).json()[0]["maintenance"], false);
    }
    let token = platform.get("/apps").header("ratelimit-remaining").unwrap().to_owned();
    assert_ne!(platform.get("/apps").header("ratelimit-remaining").unwrap(), token);
    platform.delete("/apps/first").good();
    assert_eq!(names(platform.get("/apps")), "");
}

#[test]
fn the_pool_of_requests_is_told_and_kept() {
    let platform = Platform::start();
    let left =
        |reply: &crate::harness::Reply| reply.header("ratelimit-remaining").unwrap().parse::<u32>().unwrap();
    let first = left(&platform.get("/account"));
    assert_eq!(left(&platform.get("/account")), first - 1);
    let free = platform.get("/account/rate-limits");
    assert_eq!((left(&free), free.json()["remaining"].as_u64()), (first - 1, Some(u64::from(first - 1))));
}

#[test]
fn lists_are_paged_to_their_end() {
    let platform = Platform::start();
    for name in ["app-a", "app-b", "app-c", "app-d", "app-e"] {
        platform.app(name);
    }
    let (mut names, mut range) = (Vec::new(), Some("name ..; max=2".to_owned()));
    while let Some(header) = range {
        let reply = platform.send(Method::GET, "/apps", &[("range", &header)], None);
        range = reply.header("next-range").map(str::to_owned);
        assert_eq!(reply.status, if range.is_some() { 206 } else { 200 });
        names.extend(
            reply.json().as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(names, ["app-a", "app-b", "app-c", "app-d", "app-e"]);
    let (status, id, _) = platform.send(Method::GET, "/apps", &[("range", "colour ..")], None).refusal();
    assert_eq!((status, id.as_str()), (416, "requested_range_not_satisfiable"));
    // The last page of domains must be 200, or the official client asks for ever.
    let domains = platform.send(Method::GET, "/apps/app-a/domains", &[("range", "id ..; max=1000;")], None);
    assert_eq!((domains.status.as_u16(), domains.header("next-range")), (200, None));
    // An empty header comes with one of the official client's requests.
    let body = br#"{"updates":[]}"#;
    let reply =
        platform.send(Method::PUT, "/apps/app-a/buildpack-installations", &[("range", " ")], Some(body));
    assert_eq!(reply.status, 200);
}

#[test]
fn a_long_ledger_is_paged_in_both_directions() {
    let platform = Platform::start();
    platform.app("demo-app");
    for n in 0..9 {
        platform.patch("/apps/demo-app/config-vars", json!({ "N": n.to_string() })).good();
    }
    let walk = |first: &str| {
        let (mut seen, mut range) = (Vec::new(), Some(first.to_owned()));
        while let Some(header) = range {
            let reply = platform.send(Method::GET, "/apps/demo-app/releases", &[("range", &header)], None);
            range = reply.header("next-range").map(str::to_owned);
            seen.extend(reply.json().as_array().unwrap().iter().map(|r| r["version"].as_u64().unwrap()));
        }
        seen
    };
    assert_eq!(walk("version ..; max=4"), (1..=11).collect::<Vec<_>>());
    assert_eq!(walk("version ..; max=4, order=desc"), (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(walk("version 3..5"), [3, 4, 5]);
    let latest = platform.send(
        Method::GET,
        "/apps/demo-app/releases",
        &[("range", "version ..; order=desc,max=1")],
        None,
    );
    assert_eq!(latest.json()[0]["version"], 11);
}

#[test]
fn long_answers_are_compressed_for_those_who_take_it() {
    let platform = Platform::start();
    let ask = |encoding: &str| {
        let mut response = platform.open(Method::GET, "/dyno-sizes", &[("accept-encoding", encoding)], None);
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
        (response.headers().get("content-encoding").is_some(), bytes)
    };
    let (plain, text) = ask("identity");
    assert!(!plain && text.starts_with(b"[{"));
    for wanted in ["gzip", "deflate, GZIP;q=0.5, br"] {
        let (compressed, bytes) = ask(wanted);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(compressed && bytes.len() < text.len() / 2 && unpacked == text, "{wanted}");
    }
    assert!(!ask("gzip;q=0").0 && !ask("br").0);
    // Short ones gain nothing.
    let short = platform.send(Method::GET, "/account/rate-limits", &[("accept-encoding", "gzip")], None);
    assert_eq!(short.header("content-encoding"), None);
}

#[test]
fn the_schema_is_served_to_everybody() {
    let platform = Platform::start();
    let reply = platform.send(Method::GET, "/schema", &[("authorization", ""), ("accept", "*/*")], None);
    assert_eq!(reply.json()["definitions"]["app"]["title"], "Heroku Platform API - App");
    let etag = reply.header("etag").unwrap().to_owned();
    let again = platform.send(Method::GET, "/schema", &[("if-none-match", &etag)], None);
    assert_eq!(again.status, 304);
}

//! Custom domains and certificates: what is refused, and what comes of the rest.

use renga_model::TokenScope;
use serde_json::{Value, json};

use crate::{
    harness::Platform,
    walk::domains::{certificate, upload},
};

fn add(platform: &Platform, app: &str, hostname: &str) -> (u16, String) {
    let reply =
        platform.post(&format!("/apps/{app}/domains"), json!({ "hostname": hostname, "sni_endpoint": null }));
    match reply.status.as_u16() {
        201 => (201, reply.json()["hostname"].as_str().unwrap().to_owned()),
        _ => (reply.refusal().0, reply.refusal().2),
    }
}

#[test]
fn a_name_stands_on_one_app_only() {
    let platform = Platform::start();
    platform.app("first-app");
    platform.app("other-app");
    assert_eq!(add(&platform, "first-app", "WWW.Example.com"), (201, "www.example.com".into()));
    let (status, message) = add(&platform, "first-app", "www.example.com");
    assert_eq!((status, message.as_str()), (422, "www.example.com is already added to this app."));
    let (status, message) = add(&platform, "other-app", "www.example.com");
    assert_eq!((status, message.as_str()), (422, "www.example.com is currently in use by another app."));
    // Gone with the app, at once.
    platform.delete("/apps/first-app").good();
    assert_eq!(add(&platform, "other-app", "www.example.com").0, 201);
    platform.delete("/apps/other-app/domains/www.example.com").good();
    assert_eq!(platform.get("/apps/other-app/domains/www.example.com").status, 404);
    assert_eq!(platform.delete("/apps/other-app/domains/www.example.com").status, 404);
}

#[test]
fn names_that_cannot_be_had_are_refused() {
    let platform = Platform::start();
    platform.app("demo-app");
    for bad in [
        "",
        "example",
        "http://example.com",
        "a b.com",
        "1.2.3.4",
        "x.localhost",
        "demo-app.localhost",
        "*.*.com",
    ] {
        assert_eq!(add(&platform, "demo-app", bad).0, 422, "{bad}");
    }
    for good in ["example.com", "*.example.com", "deep.down.example.com"] {
        assert_eq!(add(&platform, "demo-app", good).0, 201, "{good}");
    }
    assert_eq!(platform.delete("/apps/demo-app/domains/demo-app.localhost").status, 403);
    assert_eq!(
        platform.patch("/apps/demo-app/domains/demo-app.localhost", json!({ "sni_endpoint": null })).status,
        422
    );
    assert_eq!(platform.patch("/apps/demo-app/domains/example.com", json!({})).status, 422);
    let reply = platform
        .post("/apps/demo-app/domains", json!({ "hostname": "x.example.com", "sni_endpoint": "none" }));
    assert_eq!(reply.refusal().0, 404);
    assert_eq!(platform.get("/apps/demo-app/domains").json().as_array().unwrap().len(), 4);
}

#[test]
fn a_certificate_may_be_bound_to_a_name_that_it_does_not_cover() {
    let platform = Platform::start();
    platform.app("demo-app");
    let endpoint = platform.post("/apps/demo-app/sni-endpoints", upload(&["other.example.com"])).good();
    assert_eq!(add(&platform, "demo-app", "www.example.com").0, 201);
    let bound =
        platform.patch("/apps/demo-app/domains/www.example.com", json!({ "sni_endpoint": endpoint["name"] }));
    assert_eq!(bound.good()["sni_endpoint"]["id"], endpoint["id"]);
    let served = platform.run(platform.engine.certificate_of("www.example.com")).unwrap().unwrap();
    assert_eq!(served.0, endpoint["certificate_chain"]);
}

#[test]
fn a_wildcard_takes_nothing_from_strangers() {
    let mut platform = Platform::start();
    platform.app("demo-app");
    assert_eq!(add(&platform, "demo-app", "www.example.com").0, 201);
    assert_eq!(add(&platform, "demo-app", "*.example.org").0, 201);
    // One's own apps may share what lies below one's own wildcard.
    platform.app("second-app");
    assert_eq!(add(&platform, "second-app", "api.example.org").0, 201);
    let stranger = platform.stranger();
    platform.token = platform.token_with(&stranger, TokenScope::Global, None);
    platform.app("strange-app");
    for taken in ["*.example.com", "www.example.org"] {
        let (status, message) = add(&platform, "strange-app", taken);
        assert_eq!((status, message), (422, format!("{taken} is currently in use by another app.")));
    }
    assert_eq!(add(&platform, "strange-app", "www.example.net").0, 201);
}

#[test]
fn a_certificate_is_kept_with_its_key_and_served_for_its_domains() {
    let platform = Platform::start();
    platform.app("demo-app");
    let (chain, key) = certificate(&["www.example.com"]);
    let body = json!({ "certificate_chain": chain, "private_key": key });
    let made = platform.post("/apps/demo-app/sni-endpoints", body).good();
    assert!(!made.to_string().contains("PRIVATE KEY"));
    assert_eq!(
        (&made["ssl_cert"]["self_signed?"], &made["ssl_cert"]["ca_signed?"]),
        (&true.into(), &false.into())
    );
    let name = made["name"].as_str().unwrap();
    platform
        .post("/apps/demo-app/domains", json!({ "hostname": "www.example.com", "sni_endpoint": name }))
        .good();
    let served = || platform.run(platform.engine.certificate_of("www.example.com")).unwrap();
    let (first, served_key) = served().unwrap();
    assert_eq!((first.lines().count() > 2, served_key.expose()), (true, key.as_str()));
    let shown = platform.get(&format!("/apps/demo-app/sni-endpoints/{name}")).good();
    assert_eq!(shown["domains"].as_array().unwrap().len(), 1);
    // The key is nowhere in the ledger's file.
    let line = key.lines().nth(1).unwrap();
    for file in std::fs::read_dir(platform.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(line.len()).any(|window| window == line.as_bytes()));
    }
    platform.patch(&format!("/apps/demo-app/sni-endpoints/{name}"), upload(&["www.example.com"])).good();
    assert_ne!(served().unwrap().0, first);
    platform.delete(&format!("/apps/demo-app/sni-endpoints/{name}")).good();
    assert!(served().is_none());
    assert_eq!(platform.get("/apps/demo-app/domains/www.example.com").good()["sni_endpoint"], Value::Null);
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_and_not_repeated() {
    let platform = Platform::start();
    platform.app("demo-app");
    let ((chain, _), (_, other)) = (certificate(&["a.example.com"]), certificate(&["a.example.com"]));
    for (chain, key) in
        [(chain.as_str(), other.as_str()), (&chain, "nope"), ("nope", &other), (&chain, &chain)]
    {
        let body = json!({ "certificate_chain": chain, "private_key": key });
        let (status, _, message) = platform.post("/apps/demo-app/sni-endpoints", body).refusal();
        assert_eq!(status, 422);
        assert!(!message.contains("BEGIN") && !message.contains("nope"), "{message}");
    }
    assert_eq!(platform.get("/apps/demo-app/sni-endpoints").good(), json!([]));
}

#[test]
fn what_belongs_to_another_app_is_not_there() {
    let platform = Platform::start();
    platform.app("first-app");
    platform.app("other-app");
    let made = platform.post("/apps/first-app/sni-endpoints", upload(&["a.example.com"])).good();
    assert_eq!(add(&platform, "other-app", "a.example.com").0, 201);
    for identity in [&made["id"], &made["name"]] {
        let identity = identity.as_str().unwrap();
        assert_eq!(platform.get(&format!("/apps/other-app/sni-endpoints/{identity}")).status, 404);
        assert_eq!(platform.delete(&format!("/apps/other-app/sni-endpoints/{identity}")).status, 404);
        let body = json!({ "sni_endpoint": identity });
        assert_eq!(platform.patch("/apps/other-app/domains/a.example.com", body).status, 404);
    }
    assert_eq!(platform.get("/apps/first-app/domains/a.example.com").status, 404);
}

#[test]
fn automatic_certificates_need_an_authority_and_are_the_platforms_own_business() {
    let without = Platform::start_without_authority();
    without.app("an-app");
    for reply in [
        without.post("/apps/an-app/acm", json!({})),
        without.patch("/apps/an-app/acm", json!({ "acm_refresh": true })),
    ] {
        let (status, id, message) = reply.refusal();
        assert_eq!((status, id.as_str()), (422, "invalid_params"), "{message}");
        assert!(message.contains("[acme] with agree_to_terms = true"), "{message}");
    }
    assert_eq!(without.delete("/apps/an-app/acm").good()["acm"], false);

    let platform = Platform::start();
    platform.app("an-app");
    let refresh = platform.patch("/apps/an-app/acm", json!({ "acm_refresh": true }));
    assert!(refresh.refusal().2.contains("certs:auto:enable"));
    platform.post("/apps/an-app/acm", json!({})).good();
    let bound = json!({ "hostname": "www.example.com", "sni_endpoint": "a-name-1234" });
    assert!(platform.post("/apps/an-app/domains", bound).refusal().2.contains("managed automatically"));
    assert_eq!(add(&platform, "an-app", "www.example.com").0, 201);
    let domain = platform.get("/apps/an-app/domains/www.example.com").good();
    assert_eq!((&domain["acm_status"], &domain["acm_status_reason"]), (&json!("pending"), &Value::Null));
}

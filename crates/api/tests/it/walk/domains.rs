//! Custom domains and their certificates.

use serde_json::{Value, json};

use super::Walk;

const DOMAIN: &str = "/apps/walked/domains/www.example.com";

/// A certificate that signs itself, and its key, both PEM.
pub(crate) fn certificate(names: &[&str]) -> (String, String) {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

pub(crate) fn upload(names: &[&str]) -> Value {
    let (chain, key) = certificate(names);
    json!({ "certificate_chain": chain, "private_key": key })
}

pub(super) fn domains(walk: &Walk) {
    walk.post("/apps/walked/domains", json!({ "hostname": "www.example.com", "sni_endpoint": null }))
        .seen_at(DOMAIN, |domain| domain["kind"] == "custom" && domain["sni_endpoint"].is_null());
    walk.get("/apps/walked/domains");
    let id = walk.get(DOMAIN)["id"].as_str().unwrap().to_owned();
    assert_eq!(walk.get(&format!("/apps/walked/domains/{id}"))["hostname"], "www.example.com");
    let name =
        walk.platform.post("/apps/walked/sni-endpoints", upload(&["www.example.com"])).good()["name"].clone();
    walk.patch(DOMAIN, json!({ "sni_endpoint": name }))
        .seen_at(DOMAIN, |domain| domain["sni_endpoint"]["name"] == name);
    walk.delete(DOMAIN).gone_at(DOMAIN);
}

pub(super) fn certificates(walk: &Walk) {
    let made = walk.post("/apps/walked/sni-endpoints", upload(&["www.example.com", "example.com"]));
    let path = format!("/apps/walked/sni-endpoints/{}", made.answer["name"].as_str().unwrap());
    made.seen_at(&path, |found| {
        found["ssl_cert"]["cert_domains"] == json!(["www.example.com", "example.com"])
    });
    walk.get("/apps/walked/sni-endpoints");
    let before = walk.get(&path);
    walk.patch(&path, upload(&["other.example.com"])).seen_at(&path, |found| {
        found["id"] == before["id"] && found["certificate_chain"] != before["certificate_chain"]
    });
    walk.delete(&path).gone_at(&path);
}

/// The loop that fetches certificates does not run here.
pub(super) fn automatic(walk: &Walk) {
    let body = json!({ "hostname": "auto.example.com", "sni_endpoint": null });
    walk.platform.post("/apps/walked/domains", body).good();
    walk.post("/apps/walked/acm", json!({})).seen_at("/apps/walked", |app| app["acm"] == true);
    assert_eq!(walk.get("/apps/walked/domains/auto.example.com")["acm_status"], "pending");
    walk.patch("/apps/walked/acm", json!({ "acm_refresh": true }))
        .seen_at("/apps/walked", |app| app["acm"] == true);
    walk.delete("/apps/walked/acm").seen_at("/apps/walked", |app| app["acm"] == false);
    assert!(walk.get("/apps/walked/domains/auto.example.com")["acm_status"].is_null());
}

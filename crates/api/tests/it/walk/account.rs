//! The caller's own things.

use serde_json::json;

use super::Walk;

pub(super) fn account(walk: &Walk) {
    walk.get("/account");
    walk.get("/users/~");
    walk.get("/account/delinquency");
    walk.get("/account/rate-limits");
    walk.get("/users/~/apps");
}

pub(super) fn authorizations(walk: &Walk) {
    walk.get("/oauth/authorizations");
    let made = walk.post("/oauth/authorizations", json!({ "description": "walk", "scope": ["read"] }));
    let path = format!("/oauth/authorizations/{}", made.answer["id"].as_str().unwrap());
    made.seen_at(&path, |found| found["description"] == "walk" && found["scope"] == json!(["read"]));
    let before = walk.get(&path)["access_token"]["id"].clone();
    walk.post(&format!("{path}/actions/regenerate-tokens"), json!({}))
        .seen_at(&path, |found| found["access_token"]["id"] != before || found["access_token"].is_object());
    walk.delete(&path).gone_at(&path);
}

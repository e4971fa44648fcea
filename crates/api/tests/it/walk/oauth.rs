//! OAuth clients, and what they get.

use serde_json::{Value, json};

use super::Walk;

fn made(walk: &Walk) -> Value {
    let asked = json!({ "name": "A client", "redirect_uri": "https://client.example.com/back" });
    walk.platform.post("/oauth/clients", asked).good()
}

pub(super) fn clients(walk: &Walk) {
    let asked = json!({ "name": "A client", "redirect_uri": "https://client.example.com/back" });
    let made = walk.post("/oauth/clients", asked);
    let path = format!("/oauth/clients/{}", made.answer["id"].as_str().unwrap());
    let made = made.seen_at(&path, |found| found["name"] == "A client");
    assert_eq!(walk.get(&path), made);
    assert_eq!(walk.get("/oauth/clients")[0], made);
    walk.patch(&path, json!({ "name": "Renamed" })).seen_at(&path, |found| found["name"] == "Renamed");
    walk.post(&format!("{path}/actions/rotate-credentials"), json!({}))
        .seen_at(&path, |found| found["secret"] != made["secret"]);
    walk.delete(&path).gone_at(&path);
}

pub(super) fn tokens(walk: &Walk) {
    let client = made(walk);
    let granted = json!({ "client": client["id"], "scope": ["read"] });
    let granted = walk.platform.post("/oauth/authorizations", granted).good();
    let path = format!("/oauth/authorizations/{}", granted["id"].as_str().unwrap());
    let exchange = json!({
        "client": { "secret": client["secret"] },
        "grant": { "type": "authorization_code", "code": granted["grant"]["code"] },
        "refresh_token": {},
    });
    let tokens = walk
        .post("/oauth/tokens", exchange)
        .seen_at(&path, |found| found["access_token"].is_object() && found["refresh_token"].is_object());
    let token = format!("/oauth/tokens/{}", tokens["access_token"]["id"].as_str().unwrap());
    walk.delete(&token).seen_at(&path, |found| found["access_token"] == Value::Null);
}

//! The caller's own things.

use http::Method;
use serde_json::json;

use super::Walk;
use crate::harness::Platform;

pub(super) fn account(walk: &Walk) {
    walk.get("/account");
    walk.get("/users/~");
    walk.get("/account/delinquency");
    walk.get("/account/rate-limits");
    walk.get("/users/~/apps");
    walk.get("/account/invoice-address");
}

pub(super) fn changes(walk: &Walk) {
    walk.patch("/account", json!({ "name": "Ada" })).seen_at("/users/~", |found| found["name"] == "Ada");
    walk.patch("/users/~", json!({ "beta": true })).seen_at("/account", |found| found["beta"] == true);
    for (email, path) in [("one@example.com", "/account"), ("two@example.com", "/users/~")] {
        let person = walk.platform.person(email);
        let gone = |platform: &Platform| platform.run(platform.engine.user_find(email)).is_err();
        walk.called_by(&person.bearer, || {
            walk.delete(path).told_by(|platform, _| gone(platform));
        });
    }
}

pub(super) fn features_keys_and_preferences(walk: &Walk) {
    walk.get("/account/features");
    let path = "/account/features/new-apps-log-runtime-metrics";
    walk.patch(path, json!({ "enabled": true })).seen_at(path, |found| found["enabled"] == true);
    walk.get(path);

    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@laptop";
    let key = walk.platform.post("/account/keys", json!({ "public_key": key })).good();
    assert_eq!(walk.get("/account/keys")[0], key);
    assert_eq!(walk.get(&format!("/account/keys/{}", key["id"].as_str().unwrap())), key);

    let path = "/users/~/preferences";
    walk.patch(path, json!({ "timezone": "UTC" })).seen_at(path, |found| found["timezone"] == "UTC");
    walk.get(path);
}

pub(super) fn invoices_and_credits(walk: &Walk) {
    let (path, address) = ("/account/invoice-address", json!({ "city": "Ulm", "use_invoice_address": true }));
    assert_eq!(walk.get(path)["city"], "");
    walk.put(path, address)
        .seen_at(path, |found| found["city"] == "Ulm" && found["use_invoice_address"] == true);
    // It is a whole: what is left out is gone.
    walk.put(path, json!({ "country": "DE" }))
        .seen_at(path, |found| found["country"] == "DE" && found["city"] == "");
    let jane = walk.platform.person("jane@example.com");
    assert_eq!(jane.get(path).good()["country"], "");
    let too_long = json!({ "other": "x".repeat(5_000) });
    assert_eq!(walk.platform.put(path, too_long).refusal().0, 422);
    walk.refused(&Method::POST, "/account/credits", &json!({ "code1": "012abc", "code2": "345" }), 422);
    assert_eq!(walk.platform.get("/account/credits").good(), json!([]));
}

pub(super) fn password_resets(walk: &Walk) {
    let email = walk.platform.account.email.clone();
    let asked = email.clone();
    walk.post("/password-resets", json!({ "email": email })).told_by(|platform, _| {
        let (subject, now) = (asked.clone(), platform.engine.now());
        let kind = renga_model::OneTimeKind::PasswordReset;
        let find = platform.engine.store.read(move |read| read.one_time_list(kind, &subject, now));
        platform.run(find).unwrap().len() == 1
    });
    let link = walk.platform.run(walk.platform.engine.reset_create(email.clone())).unwrap().unwrap();
    let value = link.url.expose().rsplit_once('/').unwrap().1;
    let password = json!({ "password": "battery staple", "password_confirmation": "battery staple" });
    walk.post(&format!("/password-resets/{value}/actions/finalize"), password).told_by(|platform, _| {
        let password = renga_model::Secret::new("battery staple");
        platform.run(platform.engine.caller_by_password(email.clone(), password)).is_ok()
    });
}

pub(super) fn authorizations(walk: &Walk) {
    walk.get("/oauth/authorizations");
    let made = walk.post("/oauth/authorizations", json!({ "description": "walk", "scope": ["read"] }));
    let path = format!("/oauth/authorizations/{}", made.answer["id"].as_str().unwrap());
    made.seen_at(&path, |found| found["description"] == "walk" && found["scope"] == json!(["read"]));
    let before = walk.get(&path)["access_token"]["id"].clone();
    walk.patch(&path, json!({ "description": "renamed" }))
        .seen_at(&path, |found| found["description"] == "renamed");
    walk.post(&format!("{path}/actions/regenerate-tokens"), json!({}))
        .seen_at(&path, |found| found["access_token"]["id"] != before || found["access_token"].is_object());
    walk.delete(&path).gone_at(&path);
}

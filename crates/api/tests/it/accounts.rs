//! What an account may change of itself, each write read back through another link.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use renga_model::TokenScope;
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Platform, Reply},
    shapes::check_all,
};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@laptop";

/// Asks for a token as `heroku login -i` does.
pub(crate) fn log_in(platform: &Platform, email: &str, password: &str) -> Reply {
    let basic = format!("Basic {}", STANDARD.encode(format!("{email}:{password}")));
    let body = json!({ "description": "a login", "expires_in": 2_592_000, "scope": ["global"] });
    let headers = [("authorization", basic.as_str())];
    platform.send(Method::POST, "/oauth/authorizations", &headers, Some(body.to_string().as_bytes()))
}

fn status_of(platform: &Platform, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    platform.send(Method::GET, "/account", &[("authorization", &bearer)], None).status.as_u16()
}

#[test]
fn an_account_says_what_it_is() {
    let platform = Platform::start();
    let change = json!({ "name": "Ada Lovelace", "beta": true, "allow_tracking": true });
    let patched = platform.patch("/account", change).good();
    assert_eq!(platform.get("/users/dev@example.com").good(), patched);
    assert_eq!(
        (&patched["name"], &patched["beta"], &patched["allow_tracking"]),
        (&"Ada Lovelace".into(), &true.into(), &true.into())
    );
    let patched = platform.patch("/users/~", json!({ "name": null })).good();
    assert_eq!((&patched["name"], &patched["beta"]), (&Value::Null, &true.into()));
    check_all(&[("account", patched)]);
    assert_eq!(platform.get("/account").good()["last_login"], Value::Null);
    log_in(&platform, "dev@example.com", PASSWORD).good();
    let account = platform.get("/account").good();
    assert!(account["last_login"].is_string());
    check_all(&[("account", account)]);
    let stranger = platform.stranger();
    assert_eq!(platform.patch(&format!("/users/{}", stranger.id), json!({ "name": "x" })).refusal().0, 404);
    assert_eq!(platform.patch("/account", json!({ "name": "x".repeat(201) })).status, 422);
}

#[test]
fn an_address_changes_with_the_password() {
    let platform = Platform::start();
    platform.stranger();
    let change = |body: Value| platform.patch("/account", body);
    assert_eq!(change(json!({ "email": "new@example.com" })).refusal().0, 422);
    assert_eq!(change(json!({ "email": "new@example.com", "password": "wrong" })).refusal().0, 403);
    let taken = change(json!({ "email": "Stranger@example.com", "password": PASSWORD })).refusal();
    assert_eq!((taken.0, taken.2.as_str()), (422, "Email has already been taken"));
    assert_eq!(change(json!({ "email": "nowhere", "password": PASSWORD })).status, 422);
    assert_eq!(platform.get("/account").good()["email"], "dev@example.com");
    change(json!({ "email": "new@example.com", "password": PASSWORD })).good();
    assert_eq!(platform.get("/account").good()["email"], "new@example.com");
    assert_eq!(log_in(&platform, "dev@example.com", PASSWORD).status, 401);
    log_in(&platform, "new@example.com", PASSWORD).good();
}

#[test]
fn a_new_password_ends_the_other_log_ins() {
    let platform = Platform::start();
    let token = |reply: Reply| reply.good()["access_token"]["token"].as_str().unwrap().to_owned();
    let (own, other) = (
        token(log_in(&platform, "dev@example.com", PASSWORD)),
        token(log_in(&platform, "dev@example.com", PASSWORD)),
    );
    let bearer = format!("Bearer {own}");
    let change = |body: Value| {
        let body = body.to_string();
        platform.send(Method::PATCH, "/account", &[("authorization", &bearer)], Some(body.as_bytes()))
    };
    let new = "battery staple";
    assert_eq!(change(json!({ "new_password": new, "password": "wrong" })).refusal().0, 403);
    assert_eq!(change(json!({ "new_password": "short", "password": PASSWORD })).status, 422);
    assert_eq!((status_of(&platform, &own), status_of(&platform, &other)), (200, 200));
    change(json!({ "new_password": new, "password": PASSWORD })).good();
    assert_eq!(log_in(&platform, "dev@example.com", PASSWORD).status, 401);
    log_in(&platform, "dev@example.com", new).good();
    assert_eq!((status_of(&platform, &own), status_of(&platform, &other)), (200, 401));
    assert_eq!(status_of(&platform, &platform.token), 200, "what was made for programs stays");
}

#[test]
fn an_account_goes_without_apps_and_with_its_password() {
    let platform = Platform::start();
    platform.app("demo-app");
    let password = ("heroku-password", PASSWORD);
    let destroy = |header: (&str, &str)| platform.send(Method::DELETE, "/account", &[header], None);
    assert_eq!(platform.delete("/account").refusal().0, 422);
    assert_eq!(destroy(("heroku-password", "wrong")).refusal().0, 403);
    let owns = destroy(password).refusal();
    assert!(owns.0 == 422 && owns.2.contains("demo-app"), "{owns:?}");
    platform.delete("/apps/demo-app").good();
    let encoded = STANDARD.encode(PASSWORD);
    let gone = destroy(("heroku-password-base64", &encoded)).good();
    assert_eq!(gone["email"], "dev@example.com");
    assert_eq!(platform.get("/account").status, 401);
    assert_eq!(log_in(&platform, "dev@example.com", PASSWORD).status, 401);
    let again = platform.engine.account_create("dev@example.com".into(), renga_model::Secret::new(PASSWORD));
    assert_ne!(
        platform.run(again).unwrap().id,
        platform.account.id,
        "the address is free, the account another"
    );
}

#[test]
fn features_of_an_account_are_switched_and_felt() {
    let platform = Platform::start();
    let list = platform.get("/account/features").good();
    let features: Vec<_> = list.as_array().unwrap().iter().map(|f| ("account-feature", f.clone())).collect();
    assert!(features.len() == 2 && list.as_array().unwrap().iter().all(|f| f["enabled"] == false));
    check_all(&features);
    platform.app("before");
    let path = "/account/features/new-apps-log-runtime-metrics";
    assert_eq!(platform.patch(path, json!({ "enabled": true })).good()["enabled"], true);
    let by_id = format!("/account/features/{}", list[0]["id"].as_str().unwrap());
    assert_eq!(platform.get(&by_id).good()["enabled"], true);
    platform.app("after");
    let metrics = |app: &str| {
        platform.get(&format!("/apps/{app}/features/log-runtime-metrics")).good()["enabled"]
            .as_bool()
            .unwrap()
    };
    assert!(!metrics("before") && metrics("after"));
    platform.patch(path, json!({ "enabled": false })).good();
    assert_eq!(platform.get(path).good()["enabled"], false);
    let unknown = platform.get("/account/features/none");
    assert_eq!((unknown.status.as_u16(), &unknown.json()["resource"]), (404, &"account_feature".into()));
    assert_eq!(platform.patch("/account/features/none", json!({ "enabled": true })).status, 404);
}

#[test]
fn preferences_are_kept() {
    let platform = Platform::start();
    let (path, banners) = ("/users/~/preferences", json!([uuid::Uuid::nil()]));
    let empty = platform.get(path).good();
    check_all(&[("user-preferences", empty.clone())]);
    let change = json!({ "timezone": "UTC", "dismissed-sms-banner": true, "dismissed-pipelines-github-banners": banners });
    platform.patch(path, change).good();
    let seen = platform.get(path).good();
    check_all(&[("user-preferences", seen.clone())]);
    assert_eq!((&seen["timezone"], &seen["dismissed-sms-banner"]), (&"UTC".into(), &true.into()));
    platform.patch(path, json!({ "timezone": null })).good();
    let seen = platform.get(path).good();
    assert_eq!((&seen["timezone"], &seen["dismissed-sms-banner"]), (&Value::Null, &true.into()));
    assert_eq!(platform.patch(path, json!({ "colour": "blue" })).status, 422);
    assert_eq!(platform.patch(path, json!({ "timezone": "x".repeat(20_000) })).status, 422);
    assert_eq!(platform.get(&format!("/users/{}/preferences", platform.stranger().id)).status, 404);
}

#[test]
fn keys_are_kept_shown_and_removed() {
    let platform = Platform::start();
    let made = platform.post("/account/keys", json!({ "public_key": format!("{KEY}\n") })).good();
    check_all(&[("key", made.clone())]);
    assert_eq!(made["fingerprint"], "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba");
    assert_eq!((&made["comment"], &made["public_key"]), (&"ada@laptop".into(), &KEY.into()));
    assert_eq!(platform.get("/account/keys").good(), json!([made]));
    for identity in ["id", "fingerprint"] {
        assert_eq!(platform.get(&format!("/account/keys/{}", made[identity].as_str().unwrap())).good(), made);
    }
    let twice = platform.post("/account/keys", json!({ "public_key": KEY })).refusal();
    assert_eq!((twice.0, twice.2.as_str()), (422, "Fingerprint has already been taken"));
    assert_eq!(platform.post("/account/keys", json!({ "public_key": "nonsense" })).status, 422);
    let stranger = platform.stranger();
    let bearer = format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None));
    let path = format!("/account/keys/{}", made["id"].as_str().unwrap());
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(platform.send(method, &path, &[("authorization", &bearer)], None).refusal().0, 404);
    }
    platform.delete(&path).good();
    assert_eq!(platform.get("/account/keys").good(), json!([]));
    assert_eq!(platform.get(&path).status, 404);
}

#[test]
fn favorites_are_kept_and_seen_by_those_who_see_the_app() {
    let platform = Platform::start();
    platform.app("demo-app");
    let (stranger, add) = (platform.stranger(), json!({ "resource_id": "demo-app", "type": "app" }));
    let bearer = format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None));
    let ask = |method, path: &str, body: &[u8]| {
        platform.send(method, path, &[("authorization", &bearer)], (!body.is_empty()).then_some(body))
    };
    // What one may not know of cannot be kept.
    assert_eq!(ask(Method::POST, "/favorites", add.to_string().as_bytes()).refusal().0, 404);
    platform.post("/apps/demo-app/collaborators", json!({ "user": stranger.email })).good();
    let made = platform.post("/favorites", add.clone()).good();
    assert_eq!((&made["resource_name"], &made["type"]), (&"demo-app".into(), &"app".into()));
    assert_eq!(platform.post("/favorites", add.clone()).good(), made, "once is enough");
    assert_eq!(ask(Method::POST, "/favorites", add.to_string().as_bytes()).status, 201);
    assert_eq!(platform.get("/favorites?type=app").good(), json!([made]));
    // Who may see it no longer has it no longer.
    platform.delete(&format!("/apps/demo-app/collaborators/{}", stranger.email)).good();
    assert_eq!(ask(Method::GET, "/favorites?type=app", b"").good(), json!([]));

    assert_eq!(
        platform.post("/favorites", json!({ "resource_id": "demo-app", "type": "space" })).status,
        422
    );
    let path = format!("/favorites/{}", made["id"].as_str().unwrap());
    platform.delete(&path).good();
    assert_eq!(platform.delete(&path).refusal().0, 404);
    assert_eq!(platform.get("/favorites?type=app").good(), json!([]));
    // An app that goes takes them along.
    platform.post("/favorites", add).good();
    platform.delete("/apps/demo-app").good();
    assert_eq!(platform.get("/favorites?type=app").good(), json!([]));
}

#[test]
fn nobody_is_billed() {
    let platform = Platform::start();
    check_all(&[("invoice-address", platform.get("/account/invoice-address").good())]);
    for (path, resource) in [("/account/credits/x", "credit"), ("/account/invoices/1", "invoice")] {
        assert_eq!(platform.get(path).json()["resource"], resource);
    }
}

#[test]
fn each_token_has_a_pool_of_its_own() {
    let platform = Platform::start();
    let other = platform.token_with(&platform.account, TokenScope::Global, None);
    let bearer = format!("Bearer {other}");
    let left = |headers: &[(&str, &str)]| {
        let reply = platform.send(Method::GET, "/account", headers, None);
        reply.header("ratelimit-remaining").unwrap().parse::<u32>().unwrap()
    };
    let first = left(&[]);
    assert_eq!((left(&[]), left(&[("authorization", &bearer)])), (first - 1, first));
}

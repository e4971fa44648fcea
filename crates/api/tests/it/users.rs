//! Accounts in the operator's hands, and links that work once.

use http::Method;
use renga_model::TokenScope;
use serde_json::json;

use crate::{
    accounts::log_in,
    harness::{PASSWORD, Platform, Reply},
    shapes::check_all,
};

const NOBODY: (&str, &str) = ("authorization", "");
const NEW: &str = "battery staple";

/// The harness's account is the first, which is what makes an operator of a platform.
fn operated() -> Platform {
    let mut platform = Platform::start();
    platform.become_operator();
    platform
}

fn path(url: &serde_json::Value, platform: &Platform) -> String {
    url.as_str().unwrap().strip_prefix(&platform.url).unwrap().to_owned()
}

fn submit(platform: &Platform, path: &str, password: &str, again: &str) -> Reply {
    let form =
        format!("password={}&password_confirmation={}", password.replace(' ', "+"), again.replace(' ', "+"));
    platform.send(Method::POST, path, &[NOBODY], Some(form.as_bytes()))
}

#[test]
fn only_operators_manage_users() {
    let platform = operated();
    let stranger = platform.stranger();
    let (bearer, narrow) = (
        format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None)),
        format!("Bearer {}", platform.token_with(&platform.account, TokenScope::WriteProtected, None)),
    );
    for (method, path) in [
        (Method::GET, "/renga/users"),
        (Method::POST, "/renga/users"),
        (Method::GET, "/renga/users/op@example.com"),
        (Method::POST, "/renga/users/op@example.com/actions/disable"),
        (Method::POST, "/renga/users/op@example.com/actions/reset-password"),
    ] {
        for authorization in [&bearer, &narrow] {
            let refused =
                platform.send(method.clone(), path, &[("authorization", authorization)], Some(b"{}"));
            assert_eq!(refused.refusal().0, 403, "{method} {path}");
        }
    }
    assert_eq!(platform.get("/account").status, 200);
}

#[test]
fn an_invitation_makes_an_account_once() {
    let platform = operated();
    let invited = platform.post("/renga/users", json!({ "email": "ada@example.com" })).good();
    let link = path(&invited["url"], &platform);
    let again = platform.post("/renga/users", json!({ "email": "Ada@Example.com" })).good();
    assert_ne!(again["url"], invited["url"]);
    assert_eq!(log_in(&platform, "ada@example.com", NEW).status, 401);
    let page = platform.send(Method::GET, &link, &[NOBODY], None);
    assert!(page.status == 200 && page.text.contains("ada@example.com"));
    for (password, other, say) in [(NEW, "other", "differ"), ("short", "short", "too short")] {
        let refused = submit(&platform, &link, password, other);
        assert!(refused.status == 422 && refused.text.contains(say), "{}", refused.text);
    }
    assert_eq!(submit(&platform, &link, NEW, NEW).status, 200);
    log_in(&platform, "ada@example.com", NEW).good();
    let users = platform.get("/renga/users").good();
    let ada = users.as_array().unwrap().iter().find(|user| user["email"] == "ada@example.com").unwrap();
    assert_eq!((&ada["operator"], &ada["suspended_at"]), (&false.into(), &serde_json::Value::Null));
    for used in [link, path(&again["url"], &platform)] {
        assert_eq!(submit(&platform, &used, NEW, NEW).status, 404, "one account, one link");
        assert_eq!(platform.send(Method::GET, &used, &[NOBODY], None).status, 404);
    }
    let (status, _, say) = platform.post("/renga/users", json!({ "email": "ada@example.com" })).refusal();
    assert!(status == 422 && say.contains("already"), "{say}");
    assert_eq!(platform.post("/renga/users", json!({ "email": "nobody" })).status, 422);

    let late = platform.post("/renga/users", json!({ "email": "late@example.com" })).good();
    platform.clock.advance(jiff::SignedDuration::from_hours(24 * 7 + 1));
    assert_eq!(submit(&platform, &path(&late["url"], &platform), NEW, NEW).status, 404);
}

#[test]
fn a_user_is_made_with_a_password() {
    let platform = operated();
    let made = platform.post("/renga/users", json!({ "email": "ada@example.com", "password": NEW })).good();
    assert!(made["url"].is_null());
    log_in(&platform, "ada@example.com", NEW).good();
    let twice = platform.post("/renga/users", json!({ "email": "ada@example.com", "password": NEW }));
    assert_eq!(twice.refusal().2, "Email has already been taken");
    assert_eq!(
        platform.post("/renga/users", json!({ "email": "b@example.com", "password": "x" })).status,
        422
    );
}

#[test]
fn a_disabled_account_opens_nothing_until_it_is_enabled() {
    let platform = operated();
    let dev = "dev@example.com";
    let token = log_in(&platform, dev, PASSWORD).good()["access_token"]["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let see = || platform.send(Method::GET, "/apps", &[("authorization", &bearer)], None);
    let act = |action: &str| platform.post(&format!("/renga/users/{dev}/actions/{action}"), json!({}));
    assert!(act("disable").good()["suspended_at"].is_string());
    for refused in [see(), log_in(&platform, dev, PASSWORD)] {
        let (status, id, say) = refused.refusal();
        assert_eq!((status, id.as_str()), (403, "suspended"));
        assert!(say.contains("disabled"));
    }
    assert_eq!(log_in(&platform, dev, "wrong").status, 401, "only who knows the password is told");
    assert!(platform.get(&format!("/renga/users/{dev}")).good()["suspended_at"].is_string());
    act("enable").good();
    assert_eq!(see().status, 200);
    let own = platform.post("/renga/users/op@example.com/actions/disable", json!({})).refusal();
    assert_eq!(own.0, 422);
    assert_eq!(platform.post("/renga/users/nobody@x/actions/disable", json!({})).refusal().0, 404);
}

#[test]
fn a_password_is_reset_by_the_operators_link() {
    let platform = operated();
    let session = log_in(&platform, "dev@example.com", PASSWORD).good();
    let made = platform.post("/renga/users/dev@example.com/actions/reset-password", json!({})).good();
    let link = path(&made["url"], &platform);
    assert_eq!(submit(&platform, &link, NEW, NEW).status, 200);
    assert_eq!(log_in(&platform, "dev@example.com", PASSWORD).status, 401);
    log_in(&platform, "dev@example.com", NEW).good();
    let bearer = format!("Bearer {}", session["access_token"]["token"].as_str().unwrap());
    assert_eq!(platform.send(Method::GET, "/account", &[("authorization", &bearer)], None).status, 401);
    assert_eq!(submit(&platform, &link, NEW, NEW).status, 404);
}

#[test]
fn a_password_is_reset_through_the_api() {
    let platform = operated();
    let ask = |email: &str| {
        let body = json!({ "email": email }).to_string();
        platform.send(Method::POST, "/password-resets", &[NOBODY], Some(body.as_bytes())).good()
    };
    let (known, unknown) = (ask("dev@example.com"), ask("nobody@example.com"));
    check_all(&[("password-reset", known.clone()), ("password-reset", unknown)]);
    assert_eq!(ask("DEV@example.com")["user"]["id"], known["user"]["id"]);
    assert_ne!(known["user"]["id"], platform.get("/renga/users/dev@example.com").good()["id"]);
    (0..10).for_each(|_| drop(ask("dev@example.com")));

    let made = platform.post("/renga/users/dev@example.com/actions/reset-password", json!({})).good();
    let value = path(&made["url"], &platform).rsplit_once('/').unwrap().1.to_owned();
    let finalize = |value: &str, password: &str, again: &str| {
        let body = json!({ "password": password, "password_confirmation": again }).to_string();
        let path = format!("/password-resets/{value}/actions/finalize");
        platform.send(Method::POST, &path, &[NOBODY], Some(body.as_bytes()))
    };
    assert_eq!(finalize(&value, NEW, "other").status, 422);
    assert_eq!(finalize("wrong", NEW, NEW).refusal().0, 404);
    let done = finalize(&value, NEW, NEW).good();
    check_all(&[("password-reset", done.clone())]);
    assert_eq!(done["user"]["email"], "dev@example.com");
    assert_eq!(finalize(&value, NEW, NEW).refusal().0, 404);
    log_in(&platform, "dev@example.com", NEW).good();
}

//! Signing in and out: with a password, with a browser, with tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Platform};

const NOBODY: (&str, &str) = ("authorization", "");

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn create(platform: &Platform, authorization: &str) -> crate::harness::Reply {
    let body =
        json!({ "description": "Heroku CLI login from here", "expires_in": 2_592_000, "scope": ["global"] });
    let headers = [("authorization", authorization)];
    platform.send(Method::POST, "/oauth/authorizations", &headers, Some(body.to_string().as_bytes()))
}

#[test]
fn a_password_gives_a_token_and_a_wrong_one_does_not() {
    let platform = Platform::start();
    let made = create(&platform, &basic("Dev@example.com", PASSWORD)).good();
    let token = made["access_token"]["token"].as_str().unwrap();
    assert_eq!(
        (&made["access_token"]["expires_in"], &made["user"]["email"]),
        (&2_592_000.into(), &"dev@example.com".into())
    );
    let bearer = format!("Bearer {token}");
    assert_eq!(
        platform.send(Method::GET, "/account", &[("authorization", &bearer)], None).good()["email"],
        "dev@example.com"
    );
    for wrong in [
        basic("dev@example.com", "wrong"),
        basic("nobody@example.com", PASSWORD),
        basic("dev@example.com", ""),
    ] {
        assert_eq!(create(&platform, &wrong).refusal().1, "unauthorized");
    }
}

#[test]
fn guessing_is_slowed_down() {
    let platform = Platform::start();
    let statuses: Vec<u16> =
        (0..12).map(|_| create(&platform, &basic("dev@example.com", "guess")).status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2, "{statuses:?}");
    assert_eq!(
        create(&platform, &basic("dev@example.com", PASSWORD)).status,
        429,
        "the right one has to wait as well"
    );
    platform.clock.advance(jiff::SignedDuration::from_mins(16));
    assert_eq!(create(&platform, &basic("dev@example.com", PASSWORD)).status, 201);
}

#[test]
fn tokens_are_listed_masked_revoked_and_regenerated() {
    let platform = Platform::start();
    let body = json!({ "description": "ci", "expires_in": "3600", "scope": ["read"] });
    let made = platform.post("/oauth/authorizations", body).good();
    let (id, value) =
        (made["id"].as_str().unwrap(), made["access_token"]["token"].as_str().unwrap().to_owned());
    let list = platform.get("/oauth/authorizations").good();
    let shown = |id: &Value| {
        list.as_array().unwrap().iter().find(|a| a["id"] == *id).unwrap()["access_token"]["token"].clone()
    };
    let masked = shown(&made["id"]);
    assert_ne!(masked, value.as_str());
    assert!(masked.as_str().unwrap().contains("**********"));
    let own = list.as_array().unwrap().iter().find(|a| a["access_token"]["token"] == platform.token.as_str());
    assert!(own.is_some(), "the caller sees its own token");
    let path = format!("/oauth/authorizations/{id}");
    let again = platform.send(Method::POST, &format!("{path}/actions/regenerate-tokens"), &[], None).good();
    let fresh = again["access_token"]["token"].as_str().unwrap();
    let works = |token: &str| {
        let bearer = format!("Bearer {token}");
        platform.send(Method::GET, "/apps", &[("authorization", &bearer)], None).status == 200
    };
    assert!(works(fresh) && !works(&value));
    platform.delete(&path).good();
    assert!(!works(fresh));
    assert_eq!(platform.delete(&path).json()["resource"], "authorization");
    assert_eq!(platform.delete("/oauth/sessions/~").json()["resource"], "session");
    for bad in [
        json!({ "scope": ["all"] }),
        json!({ "scope": ["global", "read"] }),
        json!({ "expires_in": "soon" }),
        json!({ "expires_in": -1 }),
    ] {
        assert_eq!(platform.post("/oauth/authorizations", bad.clone()).status, 422, "{bad}");
    }
}

#[test]
fn a_browser_login_hands_its_token_to_the_command_line() {
    let platform = Platform::start();
    let body = br#"{"description":"Heroku CLI login from <host>"}"#;
    let begun = platform.send(Method::POST, "/auth", &[NOBODY, ("accept", "*/*")], Some(body)).good();
    let text = |name: &str| begun[name].as_str().unwrap().to_owned();
    let (page, poll, bearer) = (text("browser_url"), text("cli_url"), format!("Bearer {}", text("token")));
    assert_eq!(platform.send(Method::GET, &poll, &[("authorization", "Bearer wrong")], None).status, 404);
    let shown = platform.send(Method::GET, &page, &[NOBODY], None);
    assert!(shown.text.contains("&lt;host&gt;") && shown.header("content-security-policy").is_some());
    let submit = |password: &str| {
        let form = format!("email=dev%40example.com&password={}", password.replace(' ', "+"));
        platform.send(Method::POST, &page, &[NOBODY], Some(form.as_bytes()))
    };
    let refused = submit("wrong");
    assert!(refused.status == 401 && refused.text.contains("Invalid credentials"), "{}", refused.text);
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| platform.send(Method::GET, &poll, &[("authorization", &bearer)], None));
        assert_eq!(submit(PASSWORD).status, 200);
        waiting.join().unwrap()
    });
    let token = waiting.good()["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    assert_eq!(platform.send(Method::GET, "/account", &[("authorization", &bearer)], None).status, 200);
    assert_eq!(platform.send(Method::GET, &page, &[NOBODY], None).status, 404, "a login is used once");
}

//! Clients, grants, tokens and sessions, each written through one link and read through another.

use http::Method;
use jiff::SignedDuration;
use renga_model::TokenScope;
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Platform, Reply},
    shapes::check_all,
};

const NOBODY: (&str, &str) = ("authorization", "");
const CALLBACK: &str = "https://client.example.com/back?from=renga";

fn client(platform: &Platform) -> Value {
    platform.post("/oauth/clients", json!({ "name": "A client", "redirect_uri": CALLBACK })).good()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}"))
}

/// Whether the token opens an app's list.
fn opens(platform: &Platform, token: &str) -> bool {
    let bearer = format!("Bearer {token}");
    platform.send(Method::GET, "/apps", &[("authorization", &bearer)], None).status == 200
}

fn exchange(platform: &Platform, body: Value) -> Reply {
    platform.send(Method::POST, "/oauth/tokens", &[NOBODY], Some(body.to_string().as_bytes()))
}

fn by_code(secret: &str, code: &str) -> Value {
    json!({ "client": { "secret": secret }, "grant": { "type": "authorization_code", "code": code },
            "refresh_token": {} })
}

fn by_refresh(secret: &str, refresh: &str) -> Value {
    json!({ "client": { "secret": secret }, "grant": { "type": "refresh_token" },
            "refresh_token": { "token": refresh } })
}

fn granted(platform: &Platform, client: &Value, scope: &str) -> Value {
    platform.post("/oauth/authorizations", json!({ "client": text(client, "/id"), "scope": [scope] })).good()
}

#[test]
fn clients_are_made_changed_rotated_and_destroyed() {
    let platform = Platform::start();
    let made = client(&platform);
    let path = format!("/oauth/clients/{}", text(&made, "/id"));
    assert_eq!(platform.get(&path).good(), made, "its owner reads the secret again");
    let patched = platform.patch(&path, json!({ "name": "Renamed" })).good();
    assert_eq!((text(&patched, "/name"), &patched["redirect_uri"]), ("Renamed", &made["redirect_uri"]));
    let rotated =
        platform.send(Method::POST, &format!("{path}/actions/rotate-credentials"), &[], None).good();
    assert_ne!(rotated["secret"], made["secret"]);
    let list = platform.get("/oauth/clients").good();
    assert_eq!(list, json!([rotated]));
    check_all(&[
        ("oauth-client", made.clone()),
        ("oauth-client", rotated.clone()),
        ("oauth-client", patched),
    ]);

    let stranger = platform.stranger();
    let bearer = format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None));
    let narrow = format!("Bearer {}", platform.token_with(&platform.account, TokenScope::Identity, None));
    for authorization in ["", &bearer, &narrow, "Bearer wrong"] {
        let seen = platform.send(Method::GET, &path, &[("authorization", authorization)], None).good();
        assert_eq!((text(&seen, "/name"), seen.get("secret")), ("Renamed", None));
    }
    for (method, path) in [
        (Method::PATCH, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/actions/rotate-credentials")),
    ] {
        let refused = platform.send(method, &path, &[("authorization", &bearer)], Some(b"{}"));
        assert_eq!(refused.refusal().0, 404);
    }
    assert_eq!(platform.get(&path).good(), rotated);

    for bad in [
        json!({ "name": "x", "redirect_uri": "http://example.com" }),
        json!({ "name": "", "redirect_uri": CALLBACK }),
        json!({ "name": "x" }),
    ] {
        assert_eq!(platform.post("/oauth/clients", bad).status, 422);
    }
    let code = text(&granted(&platform, &rotated, "read"), "/grant/code").to_owned();
    assert_eq!(
        exchange(&platform, by_code(text(&made, "/secret"), &code)).status,
        401,
        "the old secret is gone"
    );
    let tokens = exchange(&platform, by_code(text(&rotated, "/secret"), &code)).good();
    assert!(opens(&platform, text(&tokens, "/access_token/token")));
    assert_eq!(platform.delete(&path).good(), rotated);
    assert_eq!(platform.get(&path).status, 404);
    assert!(!opens(&platform, text(&tokens, "/access_token/token")), "what it was given went with it");
}

#[test]
fn a_code_is_exchanged_once_and_refreshed_often() {
    let platform = Platform::start();
    let client = client(&platform);
    let secret = text(&client, "/secret");
    let waiting = granted(&platform, &client, "read");
    check_all(&[("oauth-authorization", waiting.clone())]);
    assert_eq!((&waiting["access_token"], &waiting["grant"]["expires_in"]), (&Value::Null, &300.into()));
    let code = text(&waiting, "/grant/code");
    assert!(!opens(&platform, code));

    let tokens = exchange(&platform, by_code(secret, code)).good();
    check_all(&[("oauth-token", tokens.clone())]);
    let (first, refresh) = (text(&tokens, "/access_token/token"), text(&tokens, "/refresh_token/token"));
    assert_eq!(tokens["access_token"]["expires_in"], 28_800);
    assert!(opens(&platform, first) && !opens(&platform, refresh));
    assert_eq!(exchange(&platform, by_code(secret, code)).refusal().0, 422, "a code works once");

    let path = format!("/oauth/authorizations/{}", text(&waiting, "/id"));
    let seen = platform.get(&path).good();
    assert_eq!(
        (&seen["client"]["name"], &seen["session"]["id"], &seen["grant"]),
        (&"A client".into(), &tokens["session"]["id"], &Value::Null)
    );
    for (shown, value) in [("/access_token/token", first), ("/refresh_token/token", refresh)] {
        assert!(text(&seen, shown).contains("****") && text(&seen, shown) != value);
    }

    let again = exchange(&platform, by_refresh(secret, refresh)).good();
    let second = text(&again, "/access_token/token");
    assert_eq!(text(&again, "/refresh_token/token"), refresh);
    assert!(
        first != second && opens(&platform, first) && opens(&platform, second),
        "workers refresh side by side"
    );
    platform.clock.advance(SignedDuration::from_hours(9));
    assert!(!opens(&platform, first) && !opens(&platform, second));
    assert_eq!(platform.get(&path).good()["access_token"], Value::Null);
    let third = exchange(&platform, by_refresh(secret, refresh)).good();
    assert!(opens(&platform, text(&third, "/access_token/token")));

    let ended = platform.delete(&format!("/oauth/tokens/{}", text(&third, "/access_token/id"))).good();
    check_all(&[("oauth-token", ended)]);
    assert!(!opens(&platform, text(&third, "/access_token/token")));
    let fourth = exchange(&platform, by_refresh(secret, refresh)).good();
    assert!(opens(&platform, text(&fourth, "/access_token/token")), "only that one token was ended");
    let regenerate = platform.send(Method::POST, &format!("{path}/actions/regenerate-tokens"), &[], None);
    assert_eq!(regenerate.refusal().0, 403);
    platform.delete(&path).good();
    assert!(!opens(&platform, text(&fourth, "/access_token/token")));
    assert_eq!(exchange(&platform, by_refresh(secret, refresh)).refusal().0, 422);
}

#[test]
fn nobody_exchanges_what_was_not_given_to_him() {
    let platform = Platform::start();
    let (client, other) = (client(&platform), client(&platform));
    let code = text(&granted(&platform, &client, "read"), "/grant/code").to_owned();
    let (secret, others) = (text(&client, "/secret"), text(&other, "/secret"));
    assert_eq!(exchange(&platform, by_code(others, &code)).refusal().0, 422, "another client");
    assert_eq!(exchange(&platform, by_code("wrong", &code)).refusal().0, 401);
    assert_eq!(exchange(&platform, by_code(secret, "wrong")).refusal().0, 422);
    let tokens = exchange(&platform, by_code(secret, &code)).good();
    let refresh = text(&tokens, "/refresh_token/token");
    assert_eq!(exchange(&platform, by_refresh(others, refresh)).refusal().0, 422);
    let old = text(&granted(&platform, &client, "read"), "/grant/code").to_owned();
    platform.clock.advance(SignedDuration::from_secs(301));
    assert_eq!(exchange(&platform, by_code(secret, &old)).refusal().0, 422, "too late");

    let stranger = platform.stranger();
    let bearer = format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None));
    let path = format!("/oauth/tokens/{}", text(&tokens, "/access_token/id"));
    assert_eq!(platform.send(Method::DELETE, &path, &[("authorization", &bearer)], None).refusal().0, 404);
    assert!(opens(&platform, text(&tokens, "/access_token/token")));
    for body in [
        json!({ "client": { "secret": secret }, "grant": { "type": "password" } }),
        json!({ "client": { "secret": secret }, "grant": { "type": "authorization_code" } }),
        json!({ "grant": { "type": "authorization_code" } }),
    ] {
        assert_eq!(exchange(&platform, body).status, 422);
    }
}

#[test]
fn an_authorization_is_described_and_handed_over() {
    let platform = Platform::start();
    let made =
        platform.post("/oauth/authorizations", json!({ "scope": ["read"], "description": "ci" })).good();
    let path = format!("/oauth/authorizations/{}", text(&made, "/id"));
    let patched = platform.patch(&path, json!({ "description": "release robot" })).good();
    check_all(&[("oauth-authorization", patched.clone())]);
    assert_eq!(platform.get(&path).good()["description"], "release robot");
    let client = client(&platform);
    let proof = |secret: &str| json!({ "client": { "id": client["id"], "secret": secret } });
    assert_eq!(platform.patch(&path, proof("wrong")).refusal().0, 404);
    assert_eq!(platform.get(&path).good()["client"], Value::Null);
    platform.patch(&path, proof(text(&client, "/secret"))).good();
    assert_eq!(platform.get(&path).good()["client"]["id"], client["id"]);
    assert!(opens(&platform, text(&made, "/access_token/token")));
}

#[test]
fn log_ins_are_sessions_that_can_be_ended() {
    use base64::Engine as _;
    let platform = Platform::start();
    assert_eq!(platform.get("/oauth/sessions").good(), json!([]), "a token that was made is no log-in");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("dev@example.com:{PASSWORD}"));
    let log_in = |description: &str| {
        let body = json!({ "description": description, "expires_in": 2_592_000, "scope": ["global"] });
        let basic = format!("Basic {pair}");
        platform
            .send(
                Method::POST,
                "/oauth/authorizations",
                &[("authorization", &basic)],
                Some(body.to_string().as_bytes()),
            )
            .good()
    };
    let one = log_in("laptop");
    platform.clock.advance(SignedDuration::from_secs(1));
    let two = log_in("desk");
    let sessions = platform.get("/oauth/sessions").good();
    let named: Vec<_> = sessions.as_array().unwrap().iter().map(|s| text(s, "/description")).collect();
    assert_eq!(named, ["laptop", "desk"]);
    assert_eq!(sessions[0]["id"], one["session"]["id"]);
    let ended = platform.delete(&format!("/oauth/sessions/{}", text(&one, "/session/id"))).good();
    assert_eq!(ended["description"], "laptop");
    assert!(!opens(&platform, text(&one, "/access_token/token")));
    let bearer = format!("Bearer {}", text(&two, "/access_token/token"));
    platform.send(Method::DELETE, "/oauth/sessions/~", &[("authorization", &bearer)], None).good();
    assert!(!opens(&platform, text(&two, "/access_token/token")));
    assert_eq!(platform.get("/oauth/sessions").good(), json!([]));
    let (status, _, _) = platform.delete("/oauth/sessions/~").refusal();
    assert_eq!((status, &platform.delete("/oauth/sessions/~").json()["resource"]), (404, &"session".into()));
}

// === the web side ===

fn submit(platform: &Platform, path: &str, form: &str) -> Reply {
    platform.send(Method::POST, path, &[NOBODY, ("accept", "text/html")], Some(form.as_bytes()))
}

#[test]
fn a_browser_lets_a_client_in() {
    let platform = Platform::start();
    let client = client(&platform);
    let path = format!(
        "/oauth/authorize?client_id={}&response_type=code&scope=identity%2Cread&state=a%26b",
        text(&client, "/id")
    );
    let shown = platform.send(Method::GET, &path, &[NOBODY, ("accept", "text/html")], None);
    assert_eq!(shown.status, 200);
    for word in ["A client", "https://client.example.com", "see who you are", "without config vars"] {
        assert!(shown.text.contains(word), "{word}: {}", shown.text);
    }
    let policy = shown.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://client.example.com;"), "{policy}");

    let wrong = submit(&platform, &path, "email=dev%40example.com&password=wrong&decision=allow");
    assert!(
        wrong.status == 401 && wrong.header("location").is_none() && wrong.text.contains("role=\"alert\"")
    );
    let denied = submit(&platform, &path, "decision=deny");
    assert_eq!(denied.status, 303);
    assert_eq!(denied.header("location"), Some(&*format!("{CALLBACK}&error=access_denied&state=a%26b")));

    let form = format!("email=dev%40example.com&password={}&decision=allow", PASSWORD.replace(' ', "+"));
    let allowed = submit(&platform, &path, &form);
    assert_eq!(allowed.status, 303, "{}", allowed.text);
    let location = allowed.header("location").unwrap();
    let rest = location.strip_prefix(&format!("{CALLBACK}&code=")).unwrap();
    let code = rest.strip_suffix("&state=a%26b").unwrap();

    let secret = text(&client, "/secret");
    let form = |pairs: &[(&str, &str)]| {
        let form: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        submit(&platform, "/oauth/token", &form.join("&"))
    };
    let code_form = [("grant_type", "authorization_code"), ("code", code), ("client_secret", secret)];
    let tokens = form(&code_form);
    assert_eq!(tokens.header("cache-control"), Some("no-store"));
    let tokens = tokens.good();
    assert_eq!((text(&tokens, "/token_type"), &tokens["expires_in"]), ("Bearer", &28_800.into()));
    assert!(opens(&platform, text(&tokens, "/access_token")));
    let listed = platform.get("/oauth/authorizations").good();
    let ours = listed.as_array().unwrap().iter().find(|a| a["client"]["id"] == client["id"]).unwrap();
    assert_eq!(ours["scope"], json!(["identity", "read"]));
    let refresh = text(&tokens, "/refresh_token");
    let refreshed =
        form(&[("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_secret", secret)]);
    assert!(opens(&platform, text(&refreshed.good(), "/access_token")));
    for (pairs, status, error) in [
        (code_form, 400, "invalid_grant"),
        (
            [("grant_type", "authorization_code"), ("code", code), ("client_secret", "x")],
            401,
            "invalid_client",
        ),
        (
            [("grant_type", "password"), ("code", code), ("client_secret", secret)],
            400,
            "unsupported_grant_type",
        ),
    ] {
        let refused = form(&pairs);
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (status, &error.into()));
    }
}

#[test]
fn a_browser_is_led_nowhere_by_a_request_that_cannot_be_meant() {
    let platform = Platform::start();
    let client = client(&platform);
    let id = text(&client, "/id");
    for query in [
        String::new(),
        "client_id=nobody&response_type=code".into(),
        format!("client_id={}&response_type=code", uuid::Uuid::nil()),
        format!("client_id={id}&response_type=token"),
        format!("client_id={id}&response_type=code&scope=all"),
        format!("client_id={id}&response_type=code&scope=global+read"),
        format!("client_id={id}&response_type=code&redirect_uri=https://evil.example.com/"),
    ] {
        let path = format!("/oauth/authorize?{query}");
        let shown = platform.send(Method::GET, &path, &[NOBODY], None);
        assert!(shown.status == 400 && !shown.text.contains("password"), "{query}: {}", shown.status);
        let form = format!("email=dev%40example.com&password={}&decision=allow", PASSWORD.replace(' ', "+"));
        let posted = submit(&platform, &path, &form);
        assert!(posted.status == 400 && posted.header("location").is_none(), "{query}");
    }
}

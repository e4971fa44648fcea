//! The second factor: asked for wherever a password opens something, each code once.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use crate::{
    accounts::log_in,
    harness::{PASSWORD, Platform, Reply},
};

fn with_code(platform: &Platform, code: &str) -> Reply {
    let basic = format!("Basic {}", STANDARD.encode(format!("dev@example.com:{PASSWORD}")));
    let headers = [("authorization", basic.as_str()), ("heroku-two-factor-code", code)];
    platform.send(Method::POST, "/oauth/authorizations", &headers, Some(b"{\"scope\":[\"global\"]}"))
}

/// What a device would show, `steps` from now.
fn device(platform: &Platform, secret: &str, steps: i64) -> String {
    let secret = totp_rs::Secret::Encoded(secret.to_owned()).to_bytes().unwrap();
    let totp = totp_rs::TOTP::new(totp_rs::Algorithm::SHA1, 6, 0, 30, secret).unwrap();
    totp.generate(u64::try_from(platform.engine.now().as_second() + 30 * steps).unwrap())
}

fn enabled(platform: &Platform) -> (String, Vec<String>) {
    let begun = platform.post("/renga/two-factor", json!({ "password": PASSWORD })).good();
    let secret = begun["secret"].as_str().unwrap().to_owned();
    assert!(begun["url"].as_str().unwrap().contains(&format!("secret={secret}")));
    log_in(platform, "dev@example.com", PASSWORD).good();
    let code = device(platform, &secret, 0);
    let done = platform.post("/renga/two-factor/actions/enable", json!({ "code": code })).good();
    let codes = done["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().into());
    (secret, codes.collect())
}

#[test]
fn a_password_alone_does_not_log_in_any_more() {
    let platform = Platform::start();
    assert_eq!(platform.post("/renga/two-factor", json!({ "password": "wrong" })).refusal().0, 403);
    assert_eq!(
        platform.post("/renga/two-factor/actions/enable", json!({ "code": "123456" })).refusal().0,
        422
    );
    let (secret, recovery) = enabled(&platform);
    assert_eq!(platform.get("/account").good()["two_factor_authentication"], true);
    assert_eq!(platform.post("/renga/two-factor", json!({ "password": PASSWORD })).refusal().1, "two_factor");

    let refused = log_in(&platform, "dev@example.com", PASSWORD).refusal();
    assert_eq!((refused.0, refused.1.as_str()), (403, "two_factor"));
    assert_eq!(log_in(&platform, "dev@example.com", "wrong").status, 401, "nobody else is told");
    let used = device(&platform, &secret, 0);
    assert_eq!(with_code(&platform, &used).refusal().1, "two_factor", "the code of the enrolment was used");
    let next = device(&platform, &secret, 1);
    with_code(&platform, &next).good();
    assert_eq!(with_code(&platform, &next).refusal().1, "two_factor", "a code works once");
    with_code(&platform, &recovery[0].to_uppercase()).good();
    assert_eq!(with_code(&platform, &recovery[0]).refusal().1, "two_factor", "so does a recovery code");
    with_code(&platform, &recovery[9]).good();
    assert_eq!(platform.get("/apps").status, 200, "tokens are asked for nothing");
}

#[test]
fn codes_cannot_be_guessed() {
    let platform = Platform::start();
    let (secret, _) = enabled(&platform);
    let seen: Vec<u16> = (0..12).map(|n| with_code(&platform, &format!("{n:06}")).status.as_u16()).collect();
    assert_eq!((seen[9], seen[10]), (403, 429), "{seen:?}");
    platform.clock.advance(jiff::SignedDuration::from_mins(16));
    with_code(&platform, &device(&platform, &secret, 0)).good();
}

#[test]
fn the_second_factor_goes_with_a_code_or_by_the_operator() {
    let platform = Platform::start();
    let (secret, recovery) = enabled(&platform);
    let disable = |code: &str| {
        let body = json!({ "password": PASSWORD }).to_string();
        let headers = [("heroku-two-factor-code", code)];
        platform.send(Method::POST, "/renga/two-factor/actions/disable", &headers, Some(body.as_bytes()))
    };
    assert_eq!(disable("").refusal().1, "two_factor");
    assert_eq!(disable(&recovery[3]).good()["two_factor_authentication"], false);
    log_in(&platform, "dev@example.com", PASSWORD).good();
    platform.clock.advance(jiff::SignedDuration::from_mins(2));
    let (again, codes) = enabled(&platform);
    assert_ne!(again, secret);
    assert_eq!(with_code(&platform, &recovery[4]).refusal().1, "two_factor", "codes of before are worthless");
    with_code(&platform, &codes[0]).good();
    let change = platform.patch("/account", json!({ "email": "new@example.com", "password": PASSWORD }));
    assert_eq!(change.refusal().1, "two_factor");
}

#[test]
fn a_browser_logs_in_with_a_code() {
    let platform = Platform::start();
    let (_, recovery) = enabled(&platform);
    let nobody = ("authorization", "");
    let begun = platform.send(Method::POST, "/auth", &[nobody], Some(b"{}")).good();
    let page = begun["browser_url"].as_str().unwrap();
    let submit = |code: &str| {
        let form = format!("email=dev%40example.com&password={}&code={code}", PASSWORD.replace(' ', "+"));
        platform.send(Method::POST, page, &[nobody], Some(form.as_bytes()))
    };
    assert!(submit("").status == 403 && submit("").text.contains("second authentication factor"));
    assert_eq!(submit(&recovery[0]).status, 200);
    let poll = format!("Bearer {}", begun["token"].as_str().unwrap());
    let done =
        platform.send(Method::GET, begun["cli_url"].as_str().unwrap(), &[("authorization", &poll)], None);
    assert_ne!(done.good()["access_token"], Value::Null);
}

//! Cookies of session affinity: whatever names a dyno, our own cookie for it names the same, wherever it stands.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/affinity.rs"]
mod affinity;
#[path = "../../src/http/mod.rs"]
mod http;

use http::request::Field;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let field = |value| Field { name: "cookie", value };
    let Some(dyno) = affinity::wanted(&[field(bytes)]) else { return };
    let cookie = affinity::cookie(dyno, "app.localhost", Timestamp::UNIX_EPOCH);
    let pair = cookie.split(';').next().expect("a split has a first part");
    assert_eq!(affinity::wanted(&[field(b"a=b; c"), field(pair.as_bytes())]), Some(dyno));
    // The first of two counts.
    let both = [bytes, b"; heroku-session-affinity=AAAAAAAAAAAAAAAAAAAAAA"].concat();
    assert_eq!(affinity::wanted(&[field(&both)]), Some(dyno));
});

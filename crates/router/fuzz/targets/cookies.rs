//! Cookies of session affinity: whatever names a dyno, our own cookie for it names the same, wherever it stands; and a
//! simple reader finds the same name, or none.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/affinity.rs"]
mod affinity;
#[path = "../../src/http/mod.rs"]
mod http;

use http::request::Field;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// The first cookie of that name, its 22 letters as 6 bits each: 16 bytes and nothing over.
fn reference(bytes: &[u8]) -> Option<u128> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let blank = |c: char| c.is_ascii_whitespace();
    let mut pairs = text.split(';').map(|pair| pair.trim_matches(blank));
    let value = pairs.find_map(|pair| pair.strip_prefix("heroku-session-affinity="))?.to_owned();
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digits: Vec<u128> = Vec::new();
    for letter in value.chars() {
        digits.push(letters.find(letter)? as u128);
    }
    let last = digits.pop().filter(|last| digits.len() == 21 && last % 16 == 0)?;
    let front = digits.iter().fold(0, |number, digit| number << 6 | digit);
    Some(front << 2 | last >> 4)
}

fuzz_target!(|bytes: &[u8]| {
    let field = |value| Field { name: "cookie", value };
    let found = affinity::wanted(&[field(bytes)]);
    assert_eq!(
        found.map(|dyno| dyno.uuid().as_u128()),
        reference(bytes),
        "a simple reader finds something else"
    );
    let Some(dyno) = found else { return };
    let cookie = affinity::cookie(dyno, "app.localhost", Timestamp::UNIX_EPOCH);
    let pair = cookie.split(';').next().expect("a split has a first part");
    assert_eq!(affinity::wanted(&[field(b"a=b; c"), field(pair.as_bytes())]), Some(dyno));
    // The first of two counts.
    let both = [bytes, b"; heroku-session-affinity=AAAAAAAAAAAAAAAAAAAAAA"].concat();
    assert_eq!(affinity::wanted(&[field(&both)]), Some(dyno));
});

//! A dyno's head: what is taken of it holds no character that would end a line, and has one framing.
#![no_main]
#![allow(dead_code, reason = "the parsers are the router's, and each target uses some of them")]

#[path = "../../src/http/mod.rs"]
mod http;

use http::{
    Framing,
    response::{self, AnswerLimits},
    scan::{HeadLimits, Scan},
};
use libfuzzer_sys::fuzz_target;

const HEAD: HeadLimits =
    HeadLimits { first_line_bytes_max: 8_192, line_bytes_max: 512 * 1024, fields_max: 1_000, bare_lf: true };
const LIMITS: AnswerLimits = AnswerLimits { cookie_bytes_max: 8_192, line_bytes_max: 512 * 1024 };

fuzz_target!(|bytes: &[u8]| {
    let whole = Scan::default().find(bytes, &HEAD);
    let mut scan = Scan::default();
    let cut = (0..=bytes.len()).map(|end| scan.find(&bytes[..end], &HEAD)).find(|found| *found != Ok(None));
    assert_eq!(cut.unwrap_or(Ok(None)), whole);
    let Ok(Some(length)) = whole else { return };
    for bodiless in [false, true] {
        let read = response::parse(&bytes[..length], |head| {
            assert!((100..1_000).contains(&head.status));
            assert!(!head.reason.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            for field in head.fields {
                assert!(!field.value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                assert!(!field.name.is_empty() && !field.name.contains([' ', ':', '\r', '\n', '\0']));
            }
            let facts = head.facts(bodiless, &LIMITS).ok()?;
            let none = bodiless || head.status < 200 || matches!(head.status, 204 | 304);
            assert_eq!(none, none && matches!(facts.framing, Framing::Empty));
            Some(head.keeps_connection(&facts))
        });
        // Whatever it is, it was either read or refused.
        let _refused = read.ok();
    }
});

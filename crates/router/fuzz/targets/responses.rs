//! A dyno's head: what goes to the client for it is one head, with the status and the framing that we understood.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/answer.rs"]
mod answer;
#[path = "../../src/buffer.rs"]
mod buffer;
#[path = "../../src/head.rs"]
mod head;
#[path = "../../src/http/mod.rs"]
mod http;

use answer::{Passing, Wrap};
use buffer::Buffer;
use http::{
    Framing, Version,
    response::{self, AnswerLimits, Facts, Head},
    scan::{HeadLimits, Scan},
};
use libfuzzer_sys::fuzz_target;

const DYNOS: HeadLimits =
    HeadLimits { first_line_bytes_max: 8_192, line_bytes_max: 512 * 1024, fields_max: 1_000, bare_lf: true };
const CLIENTS: HeadLimits = HeadLimits { fields_max: 1_010, bare_lf: false, ..DYNOS };
const LIMITS: AnswerLimits = AnswerLimits { cookie_bytes_max: 8_192, line_bytes_max: 512 * 1024 };
/// We add some, and a reader has the same limit.
const FIELDS_MAX: usize = 990;

fuzz_target!(|bytes: &[u8]| {
    let whole = Scan::default().find(bytes, &DYNOS);
    let mut scan = Scan::default();
    let cut = (0..=bytes.len()).map(|end| scan.find(&bytes[..end], &DYNOS)).find(|found| *found != Ok(None));
    assert_eq!(cut.unwrap_or(Ok(None)), whole);
    let Ok(Some(length)) = whole else { return };
    for bodiless in [false, true] {
        let read = response::parse(&bytes[..length], |head| {
            let facts = head.facts(bodiless, &LIMITS).ok().filter(|_| head.fields.len() < FIELDS_MAX)?;
            Some((head.status, expected(&facts), said(&head, &facts, bodiless)))
        });
        let Ok(Some((status, expected, said))) = read else { continue };
        let text = said.escape_ascii();
        assert_eq!(Scan::default().find(&said, &CLIENTS), Ok(Some(said.len())), "not one head: {text}");
        let again = response::parse(&said, |head| {
            let facts = head.facts(bodiless, &LIMITS)?;
            assert!(!facts.options.close && facts.keep_alive.is_none());
            Ok::<_, response::BadAnswer>((head.status, framing(&facts)))
        });
        assert_eq!(again, Ok(Ok((status, expected))), "{text}");
    }
});

/// The head for a client, as `h1` writes it.
fn said(head: &Head<'_>, facts: &Facts<'_>, bodiless: bool) -> Vec<u8> {
    let passing = Passing { head, facts, switch: false, cookie: None };
    let ends = matches!(facts.framing, Framing::Empty | Framing::Length(0));
    let framed = ends || bodiless || passing.length().is_some();
    let wrap = if framed { Wrap::Raw } else { Wrap::Chunked };
    let mut out = Buffer::default();
    passing.write(&mut out, Version::Http11, wrap, false);
    out.unread().to_vec()
}

/// A body up to the end of the connection goes out in chunks.
fn expected(facts: &Facts<'_>) -> String {
    if matches!(facts.framing, Framing::UntilClose) { "chunked".to_owned() } else { framing(facts) }
}

fn framing(facts: &Facts<'_>) -> String {
    match facts.framing {
        Framing::Empty => "none".to_owned(),
        Framing::Length(length) => length.to_string(),
        Framing::Chunked(_) => "chunked".to_owned(),
        Framing::UntilClose => "close".to_owned(),
    }
}

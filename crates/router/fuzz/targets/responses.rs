//! A dyno's head: understood as a simple reader understands it that knows nothing of our parser; and what goes to the
//! client for it is one head, with that status and framing, and nothing of the dyno's connection.
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
            let ours = Some((head.status, framing(&facts)));
            assert_eq!(reference(&bytes[..length], bodiless), ours, "a simple reader sees something else");
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
        assert_eq!(again, Ok(Ok((status, expected.clone()))), "{text}");
        assert_eq!(reference(&said, bodiless), Some((status, expected)), "{text}");
        assert!(!lines(&said).any(|(name, _)| OF_THE_CONNECTION.contains(&name.as_str())), "{text}");
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

// === a simple reader ===

const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

/// Names in small letters, and values.
fn lines(head: &[u8]) -> impl Iterator<Item = (String, String)> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines: Vec<_> =
        text.trim_start_matches(['\r', '\n']).split('\n').skip(1).map(str::to_owned).collect();
    lines.into_iter().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim_matches([' ', '\t', '\r']).to_owned()))
    })
}

/// Status and framing. None: nobody should understand this.
fn reference(head: &[u8], bodiless: bool) -> Option<(u16, String)> {
    let first = head.trim_ascii_start().split(|byte| *byte == b'\n').next()?;
    let words = first.strip_prefix(b"HTTP/1.1 ").or_else(|| first.strip_prefix(b"HTTP/1.0 "))?;
    let status: u16 = str::from_utf8(words.get(..3)?).ok()?.parse().ok()?;
    let of = |wanted: &str| -> Vec<String> {
        lines(head).filter(|(name, _)| name == wanted).map(|(_, value)| value).collect()
    };
    let (codings, lengths) = (of("transfer-encoding"), of("content-length"));
    let chunked = match &codings[..] {
        [] => false,
        [coding] if coding.eq_ignore_ascii_case("chunked") => true,
        _ => return None,
    };
    let length = if lengths.is_empty() { None } else { Some(common(&lengths)?) };
    let framing = match length {
        _ if bodiless || (100..200).contains(&status) || status == 204 || status == 304 => "none".to_owned(),
        _ if chunked => "chunked".to_owned(),
        Some(length) => length.to_string(),
        None => "close".to_owned(),
    };
    Some((status, framing))
}

/// The one number that all of them are.
fn common(lengths: &[String]) -> Option<u64> {
    let digits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = lengths.iter().map(|text| digits(text).then(|| text.parse().ok())?);
    let numbers: Option<Vec<u64>> = numbers.collect();
    numbers.filter(|numbers| numbers.iter().all(|number| *number == numbers[0]))?.first().copied()
}

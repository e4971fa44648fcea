//! A client's head: found the same however it is cut; understood as a simple reader understands it that knows nothing of
//! our parser; and what goes to the dyno for it is one head, which both understand as the same request.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/buffer.rs"]
mod buffer;
#[path = "../../src/head.rs"]
mod head;
#[path = "../../src/http/mod.rs"]
mod http;

use buffer::Buffer;
use http::{
    Framing,
    fields::{Known, known},
    request::{self, BadRequest, Facts, Head, RequestLimits, host_name, may_begin},
    scan::{HeadLimits, Scan},
};
use libfuzzer_sys::fuzz_target;

const LIMITS: RequestLimits = RequestLimits {
    head: HeadLimits {
        first_line_bytes_max: 8_192,
        line_bytes_max: 8_192,
        fields_max: 1_000,
        bare_lf: false,
    },
    method_bytes_max: 127,
    name_bytes_max: 1_000,
};

/// What a reader must agree about.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    method: String,
    path: String,
    authority: String,
    framing: String,
}

fuzz_target!(|bytes: &[u8]| {
    let whole = Scan::default().find(bytes, &LIMITS.head);
    let mut scan = Scan::default();
    let cut =
        (0..=bytes.len()).map(|end| scan.find(&bytes[..end], &LIMITS.head)).find(|found| *found != Ok(None));
    assert_eq!(cut.unwrap_or(Ok(None)), whole);
    let Ok(Some(length)) = whole else { return };
    assert!(length <= bytes.len());
    let Some((understood, said)) = read(&bytes[..length]) else { return };
    assert_eq!(
        reference(&bytes[..length]).as_ref(),
        Some(&understood),
        "a simple reader sees something else"
    );
    assert!(may_begin(scan.first_line(bytes).expect("a head has a line")), "it was given up too early");
    let text = said.escape_ascii();
    assert_eq!(Scan::default().find(&said, &LIMITS.head), Ok(Some(said.len())), "not one head: {text}");
    let again = request::parse(&said, &LIMITS, |head| {
        let facts = head.facts(&LIMITS)?;
        assert!(!facts.doubtful && !facts.options.close && !facts.options.upgrade && facts.upgrade.is_none());
        assert!(
            !head.fields.iter().any(|field| matches!(known(field.name.as_bytes()), Known::Ours | Known::Hop))
        );
        Ok::<_, BadRequest>(understand(&head, &facts))
    });
    assert_eq!(reference(&said).as_ref(), Some(&understood), "{text}");
    assert_eq!(again, Ok(Ok(Some(understood))), "{text}");
});

/// What was understood, and the head for the dyno. None: it is refused.
fn read(bytes: &[u8]) -> Option<(Understood, Vec<u8>)> {
    let read = request::parse(bytes, &LIMITS, |head| {
        let facts = head.facts(&LIMITS).ok()?;
        let understood = understand(&head, &facts)?;
        let mut out = Buffer::default();
        head::write_request(&mut out, &head, &facts, facts.host.unwrap_or_default());
        out.push(b"\r\n");
        Some((understood, out.unread().to_vec()))
    });
    read.ok().flatten()
}

fn understand(head: &Head<'_>, facts: &Facts<'_>) -> Option<Understood> {
    let host = facts.host?;
    host_name(host)?;
    let framing = match facts.framing {
        Framing::Empty => "none".to_owned(),
        Framing::Length(length) => length.to_string(),
        Framing::Chunked(_) => "chunked".to_owned(),
        Framing::UntilClose => panic!("no request has such an end"),
    };
    let (method, path) = (head.method.to_owned(), head.path.to_string());
    Some(Understood { method, path, authority: host.to_owned(), framing })
}

// === a simple reader ===

/// Line by line, as the standard has it. None: nobody should understand this.
fn reference(head: &[u8]) -> Option<Understood> {
    let mut head = head.strip_suffix(b"\r\n\r\n")?;
    while let Some(rest) = head.strip_prefix(b"\r\n") {
        head = rest;
    }
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let words: Vec<_> = lines.next()?.split(' ').collect();
    let [method, target, version @ ("HTTP/1.0" | "HTTP/1.1")] = words[..] else { return None };
    let (mut hosts, mut lengths, mut codings) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.is_empty()
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
        {
            return None;
        }
        if value.chars().any(|c| c != '\t' && c.is_ascii_control()) {
            return None;
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts.push(value),
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            _ => {}
        }
    }
    let [host] = hosts[..] else { return None };
    let (authority, path) = match target.split_once("://") {
        Some((_scheme, rest)) if !target.starts_with('/') => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (&rest[..end], &rest[end..])
        }
        _ => (host, target),
    };
    let path = if path.starts_with('/') || path == "*" { path.to_owned() } else { format!("/{path}") };
    let framing = match (&codings[..], &lengths[..]) {
        ([], []) => "none".to_owned(),
        ([], lengths) => common(lengths)?.to_string(),
        ([coding], _) if coding == "chunked" && version == "HTTP/1.1" => coding.clone(),
        _ => return None,
    };
    // As text, if it is such.
    let path = String::from_utf8(path.chars().map(|c| c as u8).collect()).ok()?;
    Some(Understood { method: method.to_owned(), path, authority: authority.to_owned(), framing })
}

/// The one number that all of them are.
fn common(lengths: &[&str]) -> Option<u64> {
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = lengths.iter().map(|text| digits(text).then(|| text.parse().ok())?);
    let numbers: Option<Vec<u64>> = numbers.collect();
    numbers.filter(|numbers| numbers.iter().all(|number| *number == numbers[0]))?.first().copied()
}

//! A client's head: found the same however it is cut; and what goes to the dyno for it is one head, which is understood
//! as the same request.
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

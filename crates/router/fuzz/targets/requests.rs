//! A client's head: found the same however it is cut; and what is taken of it, said again, is taken in the same way.
#![no_main]
#![allow(dead_code, reason = "the parsers are the router's, and each target uses some of them")]

#[path = "../../src/http/mod.rs"]
mod http;

use http::{
    Framing,
    request::{self, RequestLimits, host_name},
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

fuzz_target!(|bytes: &[u8]| {
    let whole = Scan::default().find(bytes, &LIMITS.head);
    let mut scan = Scan::default();
    let cut =
        (0..=bytes.len()).map(|end| scan.find(&bytes[..end], &LIMITS.head)).find(|found| *found != Ok(None));
    assert_eq!(cut.unwrap_or(Ok(None)), whole);
    let Ok(Some(length)) = whole else { return };
    let Some((said, taken)) = read(&bytes[..length]) else { return };
    let again = read(&said).map(|(_, taken)| taken);
    assert_eq!(again.as_ref(), Some(&taken), "{}", said.escape_ascii());
});

/// The head as it would be passed on, and what was understood of it. None: it is refused.
fn read(bytes: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    let read = request::parse(bytes, &LIMITS, |head| {
        let facts = head.facts(&LIMITS).ok()?;
        let mut said = format!(
            "{} {} HTTP/1.{}\r\n",
            head.method,
            head.path,
            u8::from(head.version == http::Version::Http11)
        );
        assert!(head.method.bytes().chain(head.path.bytes()).all(|byte| byte > b' ' && byte != 0x7f));
        let host = host_name(facts.host?)?;
        assert!(
            !host.is_empty()
                && !host.bytes().any(|byte| byte.is_ascii_uppercase() || b" /@,#?\\".contains(&byte))
        );
        let mut said_bytes = std::mem::take(&mut said).into_bytes();
        let named = |name: &str| name.eq_ignore_ascii_case("host");
        for field in head.fields.iter().filter(|field| head.authority.is_none() || !named(field.name)) {
            assert!(!field.value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f));
            said_bytes.extend_from_slice(format!("{}: ", field.name).as_bytes());
            said_bytes.extend_from_slice(field.value);
            said_bytes.extend_from_slice(b"\r\n");
        }
        if let Some(authority) = head.authority {
            said_bytes.extend_from_slice(format!("Host: {authority}\r\n").as_bytes());
        }
        said_bytes.extend_from_slice(b"\r\n");
        let framing = match facts.framing {
            Framing::Empty => "none".to_owned(),
            Framing::Length(length) => length.to_string(),
            Framing::Chunked(_) => "chunked".to_owned(),
            Framing::UntilClose => panic!("a request has no such end"),
        };
        let options =
            format!("{} {} {}", facts.options.close, facts.options.keep_alive, facts.options.upgrade);
        let taken = vec![head.method.to_owned(), head.path.to_string(), host, framing, options];
        Some((said_bytes, taken))
    });
    read.ok().flatten()
}

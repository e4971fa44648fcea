//! Names of hosts: one spelling for the table, whatever the client's; the one that a simple reader finds, too.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/http/mod.rs"]
mod http;

use http::request::host_name;
use libfuzzer_sys::fuzz_target;

/// From left to right. None: no name of a host.
fn reference(authority: &str) -> Option<String> {
    let text = authority.to_ascii_lowercase();
    let (name, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            let legal =
                !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c));
            (legal.then(|| format!("[{address}]"))?, rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let name = text[..end].strip_suffix('.').unwrap_or(&text[..end]);
            let legal =
                name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c));
            ((legal && !name.is_empty() && !name.ends_with('.')).then(|| name.to_owned())?, &text[end..])
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port,
        None => rest.is_empty().then_some("")?,
    };
    let number = port.chars().try_fold(0_u32, |number, c| Some((number * 10 + c.to_digit(10)?).min(65_536)));
    (number? < 65_536 && name.len() <= 253).then_some(name)
}

fuzz_target!(|authority: &str| {
    let found = host_name(authority);
    assert_eq!(found, reference(authority), "a simple reader finds something else");
    let Some(name) = found else { return };
    for same in [name.clone(), authority.to_ascii_uppercase(), format!("{name}:443")] {
        assert_eq!(host_name(&same).as_ref(), Some(&name), "{same:?}");
    }
});

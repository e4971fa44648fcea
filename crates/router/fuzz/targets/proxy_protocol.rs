//! The PROXY protocol: a header is found at its last byte, not before, nothing behind it matters, and it says what a simple
//! reader finds in it.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/proxy_protocol.rs"]
mod proxy_protocol;

use libfuzzer_sys::fuzz_target;
use proxy_protocol::{Parsed, parse};
use std::net::IpAddr;

/// A whole header: its length, and whom it names. None: it is none, or not whole.
fn reference(bytes: &[u8]) -> Option<(usize, Option<IpAddr>)> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        let length = 256 * usize::from(*rest.get(2)?) + usize::from(*rest.get(3)?);
        let said = rest.get(4..4 + length).filter(|_| length <= 4_096)?;
        let octet = |at: usize| said.get(at).copied();
        let client = match (rest[0], rest[1]) {
            (0x20, _) | (0x21, 0x00 | 0x31) => None,
            (0x21, 0x11) if length >= 12 => Some([octet(0)?, octet(1)?, octet(2)?, octet(3)?].into()),
            (0x21, 0x21) if length >= 36 => Some(<[u8; 16]>::try_from(&said[..16]).ok()?.into()),
            _ => return None,
        };
        return Some((16 + length, client));
    }
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").filter(|end| end + 2 <= 107)?;
    let line = str::from_utf8(&bytes[..end]).ok().filter(|line| !line.contains('\n'))?;
    let words: Vec<_> = line.split(' ').collect();
    if words.len() >= 2 && words[..2] == ["PROXY", "UNKNOWN"] {
        return Some((end + 2, None));
    }
    let ["PROXY", family, source, destination, from, to] = words[..] else { return None };
    let addresses: [IpAddr; 2] = [source.parse().ok()?, destination.parse().ok()?];
    let fits = addresses.iter().all(|address| match family {
        "TCP4" => address.is_ipv4(),
        "TCP6" => address.is_ipv6(),
        _ => false,
    });
    let is_port = |port: &str| port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (fits && is_port(from) && is_port(to)).then_some((end + 2, Some(addresses[0])))
}

fuzz_target!(|bytes: &[u8]| {
    let first = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| *parsed != Parsed::More);
    let whole = parse(bytes);
    let found = match whole {
        Parsed::Header { bytes, client } => Some((bytes, client)),
        Parsed::More | Parsed::Malformed => None,
    };
    assert_eq!(found, reference(bytes), "a simple reader finds something else");
    if let Parsed::Header { bytes: length, .. } = whole {
        assert!(length <= bytes.len() && length > 0);
        assert_eq!(parse(&bytes[..length]), whole);
        assert_eq!(first, Some(whole));
    }
});

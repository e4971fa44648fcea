//! The PROXY protocol: a header is found at its last byte, not before, and nothing behind it matters.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

#[path = "../../src/proxy_protocol.rs"]
mod proxy_protocol;

use libfuzzer_sys::fuzz_target;
use proxy_protocol::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let first = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| *parsed != Parsed::More);
    let whole = parse(bytes);
    if let Parsed::Header { bytes: length, .. } = whole {
        assert!(length <= bytes.len() && length > 0);
        assert_eq!(parse(&bytes[..length]), whole);
        assert_eq!(first, Some(whole));
    }
});

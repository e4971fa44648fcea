//! Chunks: the same body however they are cut, which, put into chunks again, is still the same.
#![no_main]
#![allow(dead_code, reason = "the parsers are the router's, and each target uses some of them")]

#[path = "../../src/http/mod.rs"]
mod http;

use http::chunks::{BadChunk, Decoder, Step};
use libfuzzer_sys::fuzz_target;

/// The body, whether it has ended, and how much was taken; read in pieces of at most `size` bytes.
fn decode(bytes: &[u8], size: usize) -> Result<(Vec<u8>, bool, usize), BadChunk> {
    let (mut decoder, mut body, mut at, mut seen) = (Decoder::new(), Vec::new(), 0, 0);
    while !decoder.is_end() {
        if at == seen {
            if seen == bytes.len() {
                break;
            }
            seen = (seen + size).min(bytes.len());
        }
        let Step { skip, data } = decoder.step(&bytes[at..seen])?;
        assert!(skip + data <= seen - at, "more than there is");
        assert!(skip + data > 0, "nothing was taken");
        body.extend_from_slice(&bytes[at + skip..at + skip + data]);
        at += skip + data;
    }
    Ok((body, decoder.is_end(), at))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(*size).max(1)), whole);
    let Ok((body, true, _)) = whole else { return };
    let mut again = Vec::new();
    if !body.is_empty() {
        again.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        again.extend_from_slice(&body);
        again.extend_from_slice(b"\r\n");
    }
    again.extend_from_slice(b"0\r\n\r\n");
    let length = again.len();
    assert_eq!(decode(&again, 7), Ok((body, true, length)));
});

//! Chunks: the same body however they are cut; as a reader has it that sees the whole and takes line after line.
#![no_main]
#![allow(dead_code, reason = "the code is the router's, and each target uses some of it")]

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

/// The same by lines, slowly: the body and the length of it all. None: it is wrong, or not whole.
fn reference(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = line(bytes, &mut at)?;
        let digits = size.split(|byte| *byte == b';').next()?;
        if digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size)?;
        body.extend_from_slice(bytes.get(at..end)?);
        at = end;
        if !line(bytes, &mut at)?.is_empty() {
            return None;
        }
    }
    loop {
        let line = line(bytes, &mut at)?;
        if line.is_empty() {
            return Some((body, at));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        if colon == 0 || !line[..colon].iter().all(u8::is_ascii_graphic) {
            return None;
        }
    }
}

/// Up to the next CRLF, without control characters.
fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += end + 2;
    let line = &rest[..end];
    line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control()).then_some(line)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(decode(bytes, usize::from(*size).max(1)), whole);
    assert_eq!(decode(bytes, 1), whole);
    let ended = whole.ok().filter(|(_, ended, _)| *ended).map(|(body, _, length)| (body, length));
    assert_eq!(ended, reference(bytes), "a slow reader sees something else");
});

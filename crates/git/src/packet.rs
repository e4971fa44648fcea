//! Git's pkt-line framing: four hex digits of length (themselves included), then the payload; `0000` is a flush.
//! The hook speaks it with receive-pack and, because it is there, with the server too.

use std::io::{self, Read};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest payload (git's own limit: 65,520 with the length).
pub(crate) const PAYLOAD_BYTES_MAX: usize = 65_516;
const LENGTH_BYTES: usize = 4;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Data(Vec<u8>),
    Flush,
}

/// Appends a packet; a payload that is too long becomes several.
pub(crate) fn push_data(out: &mut Vec<u8>, payload: &[u8]) {
    for chunk in payload.chunks(PAYLOAD_BYTES_MAX) {
        out.extend_from_slice(format!("{:04x}", chunk.len() + LENGTH_BYTES).as_bytes());
        out.extend_from_slice(chunk);
    }
}

pub(crate) fn push_flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

pub(crate) fn read(from: &mut impl Read) -> io::Result<Packet> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length)?;
    let Some(bytes) = payload_length(length)? else { return Ok(Packet::Flush) };
    let mut payload = vec![0; bytes];
    from.read_exact(&mut payload)?;
    Ok(Packet::Data(payload))
}

pub(crate) async fn read_async(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length).await?;
    let Some(bytes) = payload_length(length)? else { return Ok(Packet::Flush) };
    let mut payload = vec![0; bytes];
    from.read_exact(&mut payload).await?;
    Ok(Packet::Data(payload))
}

fn payload_length(digits: [u8; LENGTH_BYTES]) -> io::Result<Option<usize>> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a pkt-line");
    let text = std::str::from_utf8(&digits).map_err(|_| wrong())?;
    match usize::from_str_radix(text, 16).map_err(|_| wrong())? {
        0 => Ok(None),
        length if (LENGTH_BYTES..=PAYLOAD_BYTES_MAX + LENGTH_BYTES).contains(&length) => {
            Ok(Some(length - LENGTH_BYTES))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_round_trip_and_nonsense_is_refused() {
        let mut wire = Vec::new();
        push_data(&mut wire, b"version=1\0");
        push_flush(&mut wire);
        assert_eq!(wire, b"000eversion=1\x000000");
        let mut from = wire.as_slice();
        assert_eq!(read(&mut from).unwrap(), Packet::Data(b"version=1\0".to_vec()));
        assert_eq!(read(&mut from).unwrap(), Packet::Flush);
        for bad in [&b"zzzz"[..], b"0001", b"0003", b"ffff", b"00", b"0009abc", b"\xff\xff\xff\xff"] {
            assert!(read(&mut &bad[..]).is_err());
        }
        let mut long = Vec::new();
        push_data(&mut long, &vec![7; PAYLOAD_BYTES_MAX + 1]);
        assert_eq!(long.len(), PAYLOAD_BYTES_MAX + 1 + 8);
    }
}

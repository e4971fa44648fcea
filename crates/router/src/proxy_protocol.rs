//! The PROXY protocol, versions 1 and 2: what a load balancer writes before the client's own first byte, so that we
//! learn the client's address although the connection is the load balancer's.
//!
//! Who may say so, and then must, the operator names; nobody else is listened to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// Begins version 2, and no text.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// A line of version 1 with its end (of the protocol).
const LINE_BYTES_MAX: usize = 107;
/// What follows the fixed part of version 2, in bytes (ours): addresses, and what else the load balancer says of the
/// connection; common ones stay below 600.
const REST_BYTES_MAX: usize = 4_096;
const BYTES_MAX: usize = FIXED_BYTES + REST_BYTES_MAX;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// It may still become a header.
    More,
    Header {
        /// What belongs to the header.
        bytes: usize,
        /// None: the proxy speaks for itself, or does not know.
        client: Option<IpAddr>,
    },
    Malformed,
}

/// Looks at what has come so far.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] == SIGNATURE[..begun] {
        return if bytes.is_empty() { Parsed::More } else { version_2(bytes) };
    }
    version_1(bytes)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`
fn version_1(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let known = b"PROXY ";
    let begun = window.len().min(known.len());
    if window[..begun] != known[..begun] {
        return Parsed::Malformed;
    }
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX { Parsed::More } else { Parsed::Malformed };
    };
    let line = window[..end].strip_suffix(b"\r").and_then(|line| str::from_utf8(line).ok());
    match line.and_then(|line| line_client(&line[known.len()..])) {
        Some(client) => Parsed::Header { bytes: end + 1, client },
        None => Parsed::Malformed,
    }
}

/// `None` is malformed.
fn line_client(line: &str) -> Option<Option<IpAddr>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, destination): (&str, &str) = (words.next()?, words.next()?);
    let parsed = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let client = parsed(source)?;
    parsed(destination)?;
    for port in [words.next()?, words.next()?] {
        port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok())??;
    }
    words.next().is_none().then_some(Some(client))
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Parsed::More };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 0xf, fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 2 || length > REST_BYTES_MAX {
        return Parsed::Malformed;
    }
    // What the source's address needs of the rest, with destination and ports.
    let needed = match (command, family) {
        // LOCAL: the proxy's own connection. Families without an IP address say nothing either.
        (0, _) | (1, 0x00 | 0x31) => 0,
        (1, 0x11) => 12,
        (1, 0x21) => 36,
        _ => return Parsed::Malformed,
    };
    if length < needed {
        return Parsed::Malformed;
    }
    if rest.len() < length {
        return Parsed::More;
    }
    let client = match needed {
        12 => rest.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        36 => rest.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        _ => None,
    };
    Parsed::Header { bytes: FIXED_BYTES + length, client }
}

/// Takes the header off a connection, and not a byte more.
pub(crate) async fn take(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let (mut held, mut taken) = (vec![0; BYTES_MAX], 0);
    loop {
        let seen = stream.peek(&mut held[taken..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (end, done) = match parse(&held[..taken + seen]) {
            // All of it belongs to the header.
            Parsed::More => (taken + seen, None),
            Parsed::Header { bytes, client } => (bytes, Some(client)),
            Parsed::Malformed => return Err(io::ErrorKind::InvalidData.into()),
        };
        stream.read_exact(&mut held[taken..end]).await?;
        taken = end;
        if let Some(client) = done {
            return Ok(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
    }

    fn headers() -> Vec<(Vec<u8>, Option<IpAddr>)> {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let IpAddr::V6(octets) = v6 else { unreachable!() };
        let of_v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
        let of_v6 = [&octets.octets()[..], &[0; 20]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".into(), Some(v4)),
            (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".into(), Some(v6)),
            (b"PROXY UNKNOWN\r\n".into(), None),
            (b"PROXY UNKNOWN ffff:f...f:ffff whatever\r\n".into(), None),
            (version_2(1, 0x11, &of_v4), Some(v4)),
            (version_2(1, 0x11, &[&of_v4[..], &[0x20, 0, 3, 1, 2, 3]].concat()), Some(v4)),
            (version_2(1, 0x21, &of_v6), Some(v6)),
            (version_2(0, 0x00, &[]), None),
            (version_2(0, 0x11, &of_v4), None),
            (version_2(1, 0x00, &[7; 40]), None),
            (version_2(1, 0x31, &[0; 216]), None),
            (version_2(1, 0x11, &[1; REST_BYTES_MAX]), Some("1.1.1.1".parse().unwrap())),
        ]
    }

    #[test]
    fn headers_are_found_at_every_cut() {
        for (header, client) in headers() {
            let stream = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for cut in 0..stream.len() {
                let expected = match cut < header.len() {
                    true => Parsed::More,
                    false => Parsed::Header { bytes: header.len(), client },
                };
                assert_eq!(parse(&stream[..cut]), expected, "{cut} of {}", String::from_utf8_lossy(&header));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_said_to_be_none() {
        let malformed: &[&[u8]] = &[
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"proxy tcp4",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
            b"PROXY TCP4  192.0.2.1 198.51.100.1 1 443\r\n",
            b"PROXY TCP4 ::1 ::1 1 443\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.1 1 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            b"PROXY \r\n",
            &[&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat(),
            b"\r\n\r\nGET",
            &version_2(1, 0x12, &[0; 12]),
            &version_2(2, 0x11, &[0; 12]),
            &version_2(1, 0x11, &[0; 11]),
            &version_2(1, 0x21, &[0; 35]),
            &version_2(1, 0x11, &[0; REST_BYTES_MAX + 1]),
            &[&SIGNATURE[..], &[0x11, 0x11, 0, 0]].concat(),
        ];
        for bytes in malformed {
            assert_eq!(parse(bytes), Parsed::Malformed, "{}", String::from_utf8_lossy(bytes));
        }
    }
}

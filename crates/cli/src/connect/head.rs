//! Heads of requests: read within bounds, and changed in the few lines that concern the connection.
//!
//! There is one request on each connection, so that what follows a head needs no understanding.

use std::{io, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::pipe::End;

/// `Request-Id` lists of the official command line reach 8 KiB.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;
const END: &[u8] = b"\r\n\r\n";
/// Of the connection, or said by us.
const OURS: [&[u8]; 5] = [b"host", b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization"];

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("that is no HTTP request")]
    Garbage,
    #[error("the head of the request is longer than {0} bytes")]
    TooLong(usize),
    #[error("the head of the request did not come in time")]
    TooLate,
    #[error("the client has gone")]
    Gone,
}

/// The head with the empty line that ends it, and what came behind it. `said` is what was read before.
pub(super) fn read(
    client: &mut End,
    said: Vec<u8>,
    bytes_max: usize,
    deadline: Instant,
) -> Result<(Vec<u8>, Vec<u8>), Unread> {
    let (mut bytes, mut searched, mut more) = (said, 0, true);
    loop {
        if let Some(end) = bytes[searched..].windows(END.len()).position(|four| four == END) {
            let end = searched + end + END.len();
            if end > bytes_max {
                return Err(Unread::TooLong(bytes_max));
            }
            let body = bytes.split_off(end);
            return Ok((bytes, body));
        }
        // Methods are words; what is something else will not become a request.
        if !bytes.first().is_none_or(u8::is_ascii_alphabetic) {
            return Err(Unread::Garbage);
        }
        if bytes.len() > bytes_max {
            return Err(Unread::TooLong(bytes_max));
        }
        if !more {
            return Err(Unread::Gone);
        }
        searched = bytes.len().saturating_sub(END.len() - 1);
        more = client.read_by(deadline, &mut bytes).map_err(|failed| match failed.kind() {
            io::ErrorKind::TimedOut => Unread::TooLate,
            _ => Unread::Gone,
        })?;
    }
}

/// The other side's name, and the end of the connection with the answer. None if it carries another token than `token`,
/// where there is one.
pub(super) fn rewritten(head: &[u8], authority: &str, token: Option<&str>) -> Option<Vec<u8>> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut fresh = lines.next().unwrap_or_default().to_vec();
    let headers: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let upgrades = headers.iter().any(|line| is_called(line, b"upgrade"));
    let connection = if upgrades { "close, Upgrade" } else { "close" };
    fresh.extend_from_slice(format!("\r\nHost: {authority}\r\nConnection: {connection}\r\n").as_bytes());
    for line in headers {
        if OURS.iter().any(|our| is_called(line, our)) {
            continue;
        }
        if let Some(token) = token
            && is_called(line, b"authorization")
            && !carries(line, token)
        {
            return None;
        }
        fresh.extend_from_slice(line);
        fresh.extend_from_slice(b"\r\n");
    }
    fresh.extend_from_slice(b"\r\n");
    Some(fresh)
}

fn is_called(line: &[u8], name: &[u8]) -> bool {
    line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(name)
}

/// As `Bearer TOKEN`, or as the user or the password of `Basic`.
fn carries(line: &[u8], token: &str) -> bool {
    let credentials = || {
        let (_, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        let (scheme, credentials) = value.trim().split_once(' ')?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(credentials == token);
        }
        let decoded = STANDARD.decode(credentials).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(password == token || (user == token && password.is_empty()))
    };
    credentials().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /apps HTTP/1.1\r\nhost: localhost:4010\r\nConnection: keep-alive\r\n";

    fn fresh(more: &str, token: Option<&str>) -> Option<String> {
        let fresh = rewritten(format!("{HEAD}{more}\r\n").as_bytes(), "paas.example:4443", token)?;
        Some(String::from_utf8(fresh).unwrap())
    }

    #[test]
    fn the_platform_is_called_by_its_own_name_and_the_connection_ends() {
        let expected =
            "GET /apps HTTP/1.1\r\nHost: paas.example:4443\r\nConnection: close\r\nAccept: x\r\n\r\n";
        let text = fresh("Accept: x\r\nProxy-Connection: keep-alive\r\n", None);
        assert_eq!(text.as_deref(), Some(expected));
    }

    #[test]
    fn a_wish_for_another_protocol_is_passed_on() {
        let text = fresh("Upgrade: websocket\r\n", None).unwrap();
        assert!(text.contains("\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"), "{text}");
    }

    #[test]
    fn no_other_token_leaves_this_machine() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let ours = ["Bearer T".to_owned(), "bearer  T".into(), basic(":T"), basic("me@x:T"), basic("T:")];
        for value in ours {
            let text = fresh(&format!("Authorization: {value}\r\n"), Some("T")).unwrap();
            assert!(text.contains(&value), "{value}");
        }
        let others = [
            "Bearer U".to_owned(),
            "Bearer TT".into(),
            basic("T:U"),
            basic("U:"),
            "Basic ???".into(),
            "T".into(),
        ];
        for value in others {
            for name in ["Authorization", "authorization ", "AUTHORIZATION"] {
                assert_eq!(fresh(&format!("{name}: {value}\r\n"), Some("T")), None, "{value}");
            }
            assert!(fresh(&format!("Authorization: {value}\r\n"), None).is_some());
        }
        assert!(fresh("", Some("T")).is_some());
    }
}

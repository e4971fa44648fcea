//! What names of fields mean to a router, and how their values are read.

/// A field that a router does something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
    Via,
    Server,
    SetCookie,
    Cookie,
    KeepAlive,
    RequestId,
    ForwardedFor,
    ForwardedProto,
    ForwardedPort,
    /// Of one connection only: not passed on.
    Hop,
    /// Ours to say to dynos.
    Ours,
    Other,
}

/// By the name, of which the letter case does not count.
pub(crate) fn known(name: &[u8]) -> Known {
    let (length, first) = (name.len(), name.first().map_or(0, u8::to_ascii_lowercase));
    let (text, known): (&[u8], Known) = match (length, first) {
        (2, b't') => (b"te", Known::Hop),
        (3, b'v') => (b"via", Known::Via),
        (4, b'h') => (b"host", Known::Host),
        (6, b'c') => (b"cookie", Known::Cookie),
        (6, b'e') => (b"expect", Known::Expect),
        (6, b's') => (b"server", Known::Server),
        (7, b't') => (b"trailer", Known::Hop),
        (7, b'u') => (b"upgrade", Known::Upgrade),
        (10, b'c') => (b"connection", Known::Connection),
        (10, b'k') => (b"keep-alive", Known::KeepAlive),
        (10, b's') => (b"set-cookie", Known::SetCookie),
        (12, b'x') => (b"x-request-id", Known::RequestId),
        (12, b'c') => (b"connect-time", Known::Ours),
        (14, b'c') => (b"content-length", Known::ContentLength),
        (14, b'h') => (b"http2-settings", Known::Hop),
        (15, b'x') if name[2].eq_ignore_ascii_case(&b'r') => (b"x-request-start", Known::Ours),
        (15, b'x') => (b"x-forwarded-for", Known::ForwardedFor),
        (16, b'x') => (b"x-forwarded-port", Known::ForwardedPort),
        (16, b'p') => (b"proxy-connection", Known::Hop),
        (16, b't') => (b"total-route-time", Known::Ours),
        (17, b't') => (b"transfer-encoding", Known::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", Known::ForwardedProto),
        (18, b'p') => (b"proxy-authenticate", Known::Hop),
        (19, b'p') => (b"proxy-authorization", Known::Hop),
        _ => return Known::Other,
    };
    if name.eq_ignore_ascii_case(text) {
        return known;
    }
    // Servers that turn `-` into `_` (CGI, WSGI) would read `X_Forwarded_For` as the name that we vouch for.
    let alike = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    if name.iter().zip(text).all(alike) { Known::Ours } else { Known::Other }
}

/// The members of a list, without the space around them. Empty ones are none.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// What is not a length, or lengths that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadLength;

/// `Content-Length`, as often as it stands there: all the same, or an error.
pub(crate) fn content_length(known: Option<u64>, value: &[u8]) -> Result<Option<u64>, BadLength> {
    // More digits would be more than 2^63.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadLength);
    }
    let length = value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
    match known {
        Some(other) if other != length => Err(BadLength),
        _ => Ok(Some(length)),
    }
}

/// What `Connection` says.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Names of fields that are of this connection only.
    named: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    pub(crate) fn read(&mut self, value: &'a [u8]) {
        for member in members(value) {
            match member {
                _ if member.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if member.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ if member.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                _ if may_be_named(member) => self.named.push(member),
                _ => {}
            }
        }
    }

    pub(crate) fn names(&self, field: &[u8]) -> bool {
        self.named.iter().any(|name| name.eq_ignore_ascii_case(field))
    }
}

/// A client must not take away by `Connection` what the app's trust rests on.
fn may_be_named(name: &[u8]) -> bool {
    let kept: [&[u8]; 3] = [b"cookie", b"authorization", b"x-forwarded-host"];
    known(name) == Known::Other && !kept.iter().any(|kept| kept.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_whatever_their_case_and_underscores_do_not_forge_them() {
        assert_eq!(known(b"HOST"), Known::Host);
        assert_eq!(known(b"x-Forwarded-For"), Known::ForwardedFor);
        assert_eq!(known(b"X-Request-Start"), Known::Ours);
        assert_eq!(known(b"x-forwarded-host"), Known::Other);
        for forged in [
            &b"X_Forwarded_For"[..],
            b"content_length",
            b"Transfer-Encoding_",
            b"transfer_encoding",
            b"x-request_id",
        ] {
            let expected = if forged.ends_with(b"_") { Known::Other } else { Known::Ours };
            assert_eq!(known(forged), expected, "{}", String::from_utf8_lossy(forged));
        }
        assert_eq!(known(b"x_mine"), Known::Other);
        assert_eq!(known(b""), Known::Other);
    }

    #[test]
    fn lengths_are_digits_and_agree() {
        assert_eq!(content_length(None, b"0042"), Ok(Some(42)));
        assert_eq!(content_length(Some(42), b"42"), Ok(Some(42)));
        assert_eq!(content_length(Some(1), b"42"), Err(BadLength));
        for bad in [&b""[..], b"+1", b"-1", b"1 ", b"1,1", b"0x1", b"9999999999999999999"] {
            assert_eq!(content_length(None, bad), Err(BadLength));
        }
    }

    #[test]
    fn connection_names_fields_but_not_those_that_trust_rests_on() {
        let mut options = Options::default();
        options.read(b"close, X-Secret ,,content-length, Cookie, x-forwarded-for");
        assert!(options.close && !options.upgrade && options.names(b"x-secret"));
        assert!(
            !options.names(b"content-length")
                && !options.names(b"cookie")
                && !options.names(b"x-forwarded-for")
        );
    }
}

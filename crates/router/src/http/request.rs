//! A client's head: the request line and fields, and what they say of body and connection.

use std::{borrow::Cow, mem::MaybeUninit};

use super::{
    Framing, Version,
    chunks::Decoder,
    fields::{Known, Options, content_length, known},
    scan::HeadLimits,
};

/// A field of a head; the value has no control characters but the tab.
pub(crate) type Field<'a> = httparse::Header<'a>;

/// Most heads have fewer fields; the rest takes the slower way.
const FIELDS_USUAL: usize = 48;

/// Sizes of a request (Heroku's, see [`crate::Limits`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    pub(crate) head: HeadLimits,
    pub(crate) method_bytes_max: usize,
    pub(crate) name_bytes_max: usize,
}

/// As it came, whatever the protocol.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    /// Path and query, or `*`.
    pub(crate) path: Cow<'a, str>,
    /// Host and port that the request itself names: they win over the field.
    pub(crate) authority: Option<&'a str>,
    pub(crate) version: Version,
    /// There is a body, whatever the fields say: HTTP/2 knows without them.
    pub(crate) body_follows: bool,
    pub(crate) fields: &'a [Field<'a>],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadRequest {
    /// It is not HTTP, or is ambiguous.
    Malformed,
    /// A version that we do not speak.
    Version,
    /// Within HTTP, outside of Heroku's limits.
    TooLong,
    Method,
}

/// What the fields say.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Of the request itself or the field; not yet looked at.
    pub(crate) host: Option<&'a str>,
    pub(crate) framing: Framing,
    pub(crate) options: Options<'a>,
    /// `Expect: 100-continue`.
    pub(crate) expects_continue: bool,
    /// `Expect` wants what we cannot do.
    pub(crate) expects_other: bool,
    pub(crate) upgrade: Option<&'a [u8]>,
    pub(crate) request_id: Option<&'a [u8]>,
    /// Something is said of the way so far.
    pub(crate) is_forwarded: bool,
    /// Both a length and chunks: the chunks count, and the connection is not used again.
    pub(crate) doubtful: bool,
}

/// Reads `bytes`, one whole head.
pub(crate) fn parse<R>(
    bytes: &[u8],
    limits: &RequestLimits,
    read: impl FnOnce(Head<'_>) -> R,
) -> Result<R, BadRequest> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(_)) => Ok(read(head(&request)?)),
        Err(httparse::Error::TooManyHeaders) => parse_long(bytes, limits, read),
        other => Err(refused(&other, bytes)),
    }
}

#[cold]
fn parse_long<R>(
    bytes: &[u8],
    limits: &RequestLimits,
    read: impl FnOnce(Head<'_>) -> R,
) -> Result<R, BadRequest> {
    let mut slots = vec![httparse::EMPTY_HEADER; limits.head.fields_max];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => Ok(read(head(&request)?)),
        other => Err(refused(&other, bytes)),
    }
}

fn refused(result: &httparse::Result<usize>, bytes: &[u8]) -> BadRequest {
    let line = bytes.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    match result {
        Err(httparse::Error::Version) if is_other_version(line) => BadRequest::Version,
        Err(httparse::Error::TooManyHeaders) => BadRequest::TooLong,
        _ => BadRequest::Malformed,
    }
}

/// A line as HTTP has it, but for the number at its end.
fn is_other_version(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let version = words.nth(2).and_then(|word| word.strip_prefix(b"HTTP/")).unwrap_or_default();
    let number = version.len() == 3 && version[1] == b'.' && version[0].is_ascii_digit();
    number && version[2].is_ascii_digit() && words.next().is_none()
}

/// Whether a head that begins with this line can become one of HTTP/1: before the rest of it has come.
pub(crate) fn may_begin(line: &[u8]) -> bool {
    memchr::memmem::find(line, b" HTTP/").is_some()
}

fn head<'a>(request: &'a httparse::Request<'_, '_>) -> Result<Head<'a>, BadRequest> {
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(BadRequest::Malformed);
    };
    let (path, authority) = split_target(method, target)?;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    Ok(Head { method, path, authority, version, body_follows: false, fields: request.headers })
}

/// The origin form, the absolute form, and `*` for `OPTIONS` alone.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Cow<'a, str>, Option<&'a str>), BadRequest> {
    if method == "CONNECT" {
        return Err(BadRequest::Method);
    }
    // A fragment is for the client's own eyes.
    if target.contains('#') {
        return Err(BadRequest::Malformed);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target.into(), None));
    }
    let (scheme, rest) = target.split_once("://").ok_or(BadRequest::Malformed)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(BadRequest::Malformed);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match path.as_bytes().first() {
        Some(b'/') => Ok((path.into(), Some(authority))),
        _ => Ok((format!("/{path}").into(), Some(authority))),
    }
}

impl<'a> Head<'a> {
    /// Whether a head that came in no lines would be within the limits of lines. Pieces of a cookie make one.
    pub(crate) fn fits(&self, limits: &HeadLimits) -> bool {
        let line = |name: usize, value: usize| name + ": ".len() + value;
        let first_line = self.method.len() + " ".len() + self.path.len() + " HTTP/1.1".len();
        let count = self.fields.len() + usize::from(self.authority.is_some());
        let (mut longest, mut cookies) = (0, 0);
        for field in self.fields {
            let length = match known(field.name.as_bytes()) {
                Known::Cookie => {
                    cookies += "; ".len() + field.value.len();
                    line(field.name.len(), cookies - "; ".len())
                }
                _ => line(field.name.len(), field.value.len()),
            };
            longest = longest.max(length);
        }
        first_line <= limits.first_line_bytes_max
            && longest <= limits.line_bytes_max
            && count <= limits.fields_max
    }

    pub(crate) fn facts(&self, limits: &RequestLimits) -> Result<Facts<'a>, BadRequest> {
        if self.method.len() > limits.method_bytes_max {
            return Err(BadRequest::TooLong);
        }
        if self.method == "CONNECT" {
            return Err(BadRequest::Method);
        }
        // In HTTP/1 the target has been looked at already.
        if self.path == "*" && self.method != "OPTIONS" {
            return Err(BadRequest::Malformed);
        }
        let mut facts = Facts {
            host: self.authority,
            framing: Framing::Empty,
            options: Options::default(),
            expects_continue: false,
            expects_other: false,
            upgrade: None,
            request_id: None,
            is_forwarded: false,
            doubtful: false,
        };
        let (mut length, mut coding, mut hosts) = (None, None, 0);
        for field in self.fields {
            if field.name.len() > limits.name_bytes_max {
                return Err(BadRequest::TooLong);
            }
            match known(field.name.as_bytes()) {
                Known::Host => {
                    hosts += 1;
                    let host = std::str::from_utf8(field.value).map_err(|_| BadRequest::Malformed)?;
                    // Whom HTTP/2 names twice must be the same.
                    if self.version == Version::Http2 && facts.host.is_some_and(|named| named != host) {
                        return Err(BadRequest::Malformed);
                    }
                    facts.host = facts.host.or(Some(host));
                }
                Known::ContentLength => {
                    length = content_length(length, field.value).map_err(|_| BadRequest::Malformed)?;
                }
                Known::TransferEncoding if coding.is_some() => return Err(BadRequest::Malformed),
                Known::TransferEncoding => coding = Some(field.value),
                Known::Connection => facts.options.read(field.value),
                Known::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                    facts.expects_continue = self.version != Version::Http10;
                }
                Known::Expect => facts.expects_other = true,
                Known::Upgrade => facts.upgrade = Some(field.value),
                Known::RequestId => facts.request_id = Some(field.value),
                Known::ForwardedFor | Known::ForwardedProto | Known::ForwardedPort => {
                    facts.is_forwarded = true;
                }
                _ => {}
            }
        }
        if hosts > 1 || (hosts == 0 && self.version != Version::Http2) {
            return Err(BadRequest::Malformed);
        }
        facts.doubtful = coding.is_some() && length.is_some();
        facts.framing = match framing(self.version, length, coding)? {
            Framing::Empty if self.body_follows => Framing::Chunked(Decoder::new()),
            framing => framing,
        };
        Ok(facts)
    }
}

fn framing(version: Version, length: Option<u64>, coding: Option<&[u8]>) -> Result<Framing, BadRequest> {
    match (coding, length) {
        (Some(coding), _) if version == Version::Http11 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked(Decoder::new()))
        }
        // Another coding, or chunks from a client of before there were any: somebody would read it otherwise.
        (Some(_), _) => Err(BadRequest::Malformed),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::Empty),
    }
}

/// The host's name for the table: lower-case, without port and trailing dot. `None`: no name of a host.
pub(crate) fn host_name(authority: &str) -> Option<String> {
    let (name, port) = match authority.rsplit_once(':') {
        // Not the colons of an IPv6 address.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (authority, ""),
    };
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name = if address.is_some() { name } else { name.strip_suffix('.').unwrap_or(name) };
    let fits = match address {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        None => name.bytes().all(legal),
    };
    let fits = fits && !name.is_empty() && name.len() <= HOST_BYTES_MAX && !name.ends_with('.');
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (fits && (port.is_empty() || is_port(port))).then(|| name.to_ascii_lowercase())
}

/// A host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

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

    fn facts<R>(text: &str, read: impl FnOnce(Facts<'_>) -> R) -> Result<R, BadRequest> {
        parse(text.as_bytes(), &LIMITS, |head| Ok(read(head.facts(&LIMITS)?)))?
    }

    #[test]
    fn hosts_lose_port_dot_and_case() {
        assert_eq!(host_name("App.Localhost:8080").as_deref(), Some("app.localhost"));
        assert_eq!(host_name("app.localhost.:80").as_deref(), Some("app.localhost"));
        assert_eq!(host_name("app.localhost:").as_deref(), Some("app.localhost"));
        assert_eq!(host_name("[::1]:8080").as_deref(), Some("[::1]"));
        assert_eq!(host_name("[::1]").as_deref(), Some("[::1]"));
        for bad in [
            "",
            ".",
            ":80",
            "a\"b",
            "a b",
            "a,b",
            "u@a",
            "a:b",
            "a:1:2",
            "a/b",
            "::1",
            "[a",
            "[]",
            "[::1].",
            "a:123456",
            "a:65536",
            "a..",
            &"a".repeat(300),
        ] {
            assert_eq!(host_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn targets_in_their_forms() {
        let read = |text: &str| {
            parse(text.as_bytes(), &LIMITS, |head| (head.path.to_string(), head.authority.map(str::to_owned)))
        };
        let of = |path: &str, authority: Option<&str>| Ok((path.to_owned(), authority.map(str::to_owned)));
        assert_eq!(read("GET /a?b HTTP/1.1\r\n\r\n"), of("/a?b", None));
        assert_eq!(read("OPTIONS * HTTP/1.1\r\n\r\n"), of("*", None));
        assert_eq!(read("GET HTTP://a.b:1/c?d HTTP/1.1\r\n\r\n"), of("/c?d", Some("a.b:1")));
        assert_eq!(read("GET http://a HTTP/1.1\r\n\r\n"), of("/", Some("a")));
        assert_eq!(read("GET http://a?b HTTP/1.1\r\n\r\n"), of("/?b", Some("a")));
        for bad in [
            "GET * HTTP/1.1",
            "GET a HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET /",
            "GET /\tHTTP/1.1",
            "GET /a#b HTTP/1.1",
        ] {
            assert_eq!(read(&format!("{bad}\r\n\r\n")), Err(BadRequest::Malformed), "{bad}");
        }
        assert_eq!(read("CONNECT a:1 HTTP/1.1\r\n\r\n"), Err(BadRequest::Method));
        assert_eq!(read("GET / HTTP/1.2\r\n\r\n"), Err(BadRequest::Version));
    }

    #[test]
    fn what_frames_a_body() {
        let framing = |fields: &str| {
            facts(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), |facts| match facts.framing {
                Framing::Empty => "none".to_owned(),
                Framing::Length(length) => format!("{length}"),
                Framing::Chunked(_) => format!("chunked {}", facts.doubtful),
                Framing::UntilClose => "close".to_owned(),
            })
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(framing(""), ok("none"));
        assert_eq!(framing("Content-Length: 5\r\ncontent-length:5\r\n"), ok("5"));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), ok("chunked false"));
        assert_eq!(framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), ok("chunked true"));
        for bad in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 15,24\r\n",
            "Content-Length: +5\r\n",
            "Content-Length:\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X: a\0b\r\n",
            "X: a\rb\r\n",
            ": x\r\n",
            "X y: 1\r\n",
            "Host: b\r\n",
        ] {
            assert_eq!(framing(bad), Err(BadRequest::Malformed), "{bad:?}");
        }
        let old = facts("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", |_| ());
        assert_eq!(old, Err(BadRequest::Malformed));
        assert_eq!(facts("GET / HTTP/1.1\r\n\r\n", |_| ()), Err(BadRequest::Malformed));
    }

    #[test]
    fn what_came_in_no_lines_has_the_limits_of_lines() {
        let fits = |path: &str, fields: &[(&str, usize)]| {
            let values: Vec<_> = fields.iter().map(|(name, length)| (*name, vec![b'x'; *length])).collect();
            let fields: Vec<_> = values.iter().map(|(name, value)| Field { name, value }).collect();
            let (path, authority, version) = (path.into(), Some("a"), Version::Http2);
            let head = Head { method: "GET", path, authority, version, body_follows: false, fields: &fields };
            head.fits(&LIMITS.head)
        };
        let path = "/".repeat(8_192 - "GET  HTTP/1.1".len());
        assert!(fits(&path, &[]) && !fits(&format!("{path}/"), &[]));
        assert!(fits("/", &[("xy", 8_188)]) && !fits("/", &[("xy", 8_189)]));
        assert!(fits("/", &[("x", 1); 999]) && !fits("/", &[("x", 1); 1_000]));
        assert!(fits("/", &[("cookie", 4_091); 2]) && !fits("/", &[("cookie", 4_091), ("cookie", 4_092)]));
    }

    #[test]
    fn many_fields_are_read_up_to_the_limit() {
        let head =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: 1\r\n".repeat(count - 1));
        let count = |text: String| parse(text.as_bytes(), &LIMITS, |head| head.fields.len());
        assert_eq!(count(head(48)), Ok(48));
        assert_eq!(count(head(1_000)), Ok(1_000));
        assert_eq!(count(head(1_001)), Err(BadRequest::TooLong));
    }
}

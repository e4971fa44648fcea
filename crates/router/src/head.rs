//! Heads of requests and answers: which host is meant, what is refused, what is added and taken away.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{self, Entry},
    uri::PathAndQuery,
};
use rand::RngCore;

use crate::{
    codes::{CAUSE_EXPECT, CAUSE_HEADER, Code},
    config::Limits,
    exchange::Door,
    forwarded::{Claimed, Network, told},
};

pub(crate) const VIA: HeaderValue = HeaderValue::from_static("1.1 renga-router");
pub(crate) const SERVER: HeaderValue = HeaderValue::from_static("renga");

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const CONNECT_TIME: HeaderName = HeaderName::from_static("connect-time");
pub(crate) const TOTAL_ROUTE_TIME: HeaderName = HeaderName::from_static("total-route-time");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers that speak of one connection, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A request id of the client's is kept if it has this length (Heroku).
const REQUEST_ID_BYTES: std::ops::RangeInclusive<usize> = 20..=200;
/// A host name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// The host that a request is for: lower-case, without port and trailing dot. `None`: missing, doubled or no name.
pub(crate) fn host<B>(request: &Request<B>) -> Option<String> {
    let named = match request.uri().host() {
        // The absolute form's host wins over the header (RFC 9112).
        Some(host) => host,
        None => {
            let mut values = request.headers().get_all(header::HOST).iter();
            let value = values.next()?.to_str().ok()?;
            if values.next().is_some() {
                return None;
            }
            without_port(value)
        }
    };
    let named = named.strip_suffix('.').unwrap_or(named);
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    let fits = !named.is_empty() && named.len() <= HOST_BYTES_MAX && named.bytes().all(legal);
    fits.then(|| named.to_ascii_lowercase())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// What Heroku refuses of a request that is HTTP.
pub(crate) fn check<B>(request: &Request<B>, limits: &Limits) -> Result<(), Code> {
    let bad = Err(Code::H26(CAUSE_HEADER));
    let method = request.method();
    // Method, two spaces and ` HTTP/1.1` without the first of them.
    let line_bytes = method.as_str().len() + target_bytes(request.uri()) + 10;
    if method == Method::CONNECT
        || method.as_str().len() > limits.method_bytes_max
        || line_bytes > limits.request_line_bytes_max
        || request.headers().len() > limits.header_count_max
    {
        return bad;
    }
    let too_long = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() > limits.header_name_bytes_max
            || name.as_str().len() + 2 + value.len() > limits.header_line_bytes_max
    };
    if request.headers().iter().any(too_long) {
        return bad;
    }
    let continues = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !request.headers().get_all(header::EXPECT).iter().all(continues) {
        return Err(Code::H26(CAUSE_EXPECT));
    }
    Ok(())
}

fn target_bytes(uri: &Uri) -> usize {
    uri.path_and_query().map_or(1, |path| path.as_str().len()) + uri.host().map_or(0, str::len)
}

/// The path and query, as the dyno and the log see them.
pub(crate) fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Whether the client wants to leave HTTP on this connection.
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && headers.contains_key(header::UPGRADE)
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// Takes away what speaks of the one connection. With `upgrade`, `Connection: upgrade` and `Upgrade` stay.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    let kept = if upgrade { headers.get(header::UPGRADE).cloned() } else { None };
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            connection_tokens(headers).filter_map(|token| token.parse().ok()).filter(may_be_named).collect();
        headers.remove(header::CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if let Some(protocol) = kept {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// A client must not take away by `Connection` what the message or the app's trust rests on.
fn may_be_named(name: &HeaderName) -> bool {
    ![header::HOST, header::CONTENT_LENGTH, header::COOKIE, header::AUTHORIZATION].contains(name)
}

/// The client's own id if it may stand, else a new UUID.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-');
    let kept = headers
        .get(&REQUEST_ID)
        .filter(|id| REQUEST_ID_BYTES.contains(&id.len()) && id.as_bytes().iter().all(legal));
    kept.cloned().unwrap_or_else(|| {
        let mut bytes = [0; 16];
        rand::rng().fill_bytes(&mut bytes);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("digits and dashes are legal")
    })
}

/// Whom the request is from, and how it came: address, protocol, port.
pub(crate) fn forwarded(
    headers: &HeaderMap,
    door: &Door,
    proxies: &[Network],
) -> (HeaderValue, &'static str, HeaderValue) {
    let value = |name| {
        let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let first = values.next()?;
        Some(values.fold(first.to_vec(), |all, more| [&all, &b", "[..], more].concat()))
    };
    let claims = [&FORWARDED_FOR, &FORWARDED_PROTO, &FORWARDED_PORT].map(value);
    let [addresses, proto, port] = claims.each_ref().map(Option::as_deref);
    let claimed = Claimed { addresses, proto, port };
    let told = told(door.peer.as_bytes(), door.from_proxy, door.tls.is_some(), claimed, proxies);
    let addresses = HeaderValue::from_bytes(&told.addresses).unwrap_or_else(|_| door.peer.clone());
    (addresses, told.proto, HeaderValue::from_bytes(told.port).expect("digits are legal"))
}

/// The framing of a body without a length is ours to say, whatever the method.
pub(crate) fn set_chunked(headers: &mut HeaderMap) {
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// What an answer's head must not exceed; the word names the part, as Heroku's H25 does.
pub(crate) fn check_answer(headers: &HeaderMap, limits: &Limits) -> Result<(), Code> {
    for (name, value) in headers {
        if name == header::SET_COOKIE && value.len() > limits.cookie_bytes_max {
            return Err(Code::H25("HTTP restriction: oversized cookie"));
        }
        if name.as_str().len() + 2 + value.len() > limits.response_header_line_bytes_max {
            return Err(Code::H25("HTTP restriction: oversized header"));
        }
    }
    Ok(())
}

/// Makes a dyno's head ours.
pub(crate) fn rewrite_answer(headers: &mut HeaderMap, upgrade: bool) {
    strip_hop_by_hop(headers, upgrade);
    headers.append(header::VIA, VIA);
    if let Entry::Vacant(server) = headers.entry(header::SERVER) {
        server.insert(SERVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str) -> Option<String> {
        super::host(&Request::builder().uri("/").header("host", host).body(()).unwrap())
    }

    #[test]
    fn hosts_lose_port_dot_and_case() {
        assert_eq!(named("App.Localhost:8080").as_deref(), Some("app.localhost"));
        assert_eq!(named("app.localhost.").as_deref(), Some("app.localhost"));
        assert_eq!(named("app.localhost.:80").as_deref(), Some("app.localhost"));
        assert_eq!(named("[::1]:8080").as_deref(), Some("[::1]"));
        assert_eq!(named(""), None);
        assert_eq!(named("a\"b"), None);
        assert_eq!(named(&"a".repeat(300)), None);
        let absolute = Request::builder().uri("http://A.example:1/x").header("host", "b").body(()).unwrap();
        assert_eq!(super::host(&absolute).as_deref(), Some("a.example"));
        let doubled = Request::builder().uri("/").header("host", "a").header("host", "b").body(()).unwrap();
        assert_eq!(super::host(&doubled), None);
    }

    #[test]
    fn what_connection_names_goes_but_not_the_length() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "X-Secret, content-length, close".parse().unwrap());
        headers.insert("x-secret", "1".parse().unwrap());
        headers.insert("content-length", "3".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        strip_hop_by_hop(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-length"]);
    }

    #[test]
    fn ids_of_clients_stand_only_within_the_rule() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", text.parse().unwrap());
            request_id(&headers)
        };
        let good = "abcdefghij0123456789+/=-";
        assert_eq!(id(good), good);
        for bad in ["short", "abcdefghij 0123456789", &"a".repeat(201)] {
            assert_eq!(id(bad).len(), 36, "{bad}");
        }
    }
}

//! What goes to the client: a dyno's head made ours, or a page of our own.

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    buffer::Buffer,
    head::{push_field, push_number, push_number_field},
    http::{
        Version,
        fields::{Known, known},
        request::Field,
        response::{Facts, Head},
    },
};

pub(crate) const SERVER: &str = "renga";
/// Of an answer: dynos speak HTTP/1.1.
pub(crate) const VIA: &str = "1.1 renga-router";

/// An answer of the router itself.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Page {
    pub(crate) fn html(status: u16, body: Bytes) -> Self {
        Self { status, location: None, content_type: "text/html; charset=utf-8", body }
    }

    pub(crate) fn redirect(location: String) -> Self {
        Self { location: Some(location), ..Self::html(301, Bytes::new()) }
    }

    /// Name and value, without what frames the body.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let location = self.location.as_deref().map(|location| ("Location", location));
        let always = [
            ("Content-Type", self.content_type),
            ("Cache-Control", "no-cache, no-store"),
            ("Server", SERVER),
        ];
        always.into_iter().chain(location)
    }

    /// The head as HTTP/2 has it.
    pub(crate) fn response(&self, now: Timestamp) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        for (name, value) in self.fields() {
            put(headers, name.as_bytes(), value.as_bytes());
        }
        put(headers, b"date", date(now).as_bytes());
        headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        response
    }

    /// As HTTP/1 has it. `bodiless`: the request was `HEAD`.
    pub(crate) fn write(&self, out: &mut Buffer, now: Timestamp, close: bool, bodiless: bool) {
        push_status(out, self.status, reason(self.status));
        push_field(out, b"Date", date(now).as_bytes());
        for (name, value) in self.fields() {
            push_field(out, name.as_bytes(), value.as_bytes());
        }
        push_number_field(out, "Content-Length", self.body.len() as u64);
        if close {
            out.push(b"Connection: close\r\n");
        }
        out.push(b"\r\n");
        if !bodiless {
            out.push(&self.body);
        }
    }
}

/// A dyno's answer on its way.
pub(crate) struct Passing<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) facts: &'a Facts<'a>,
    /// Leaves HTTP.
    pub(crate) switch: bool,
    /// Of the router's own.
    pub(crate) cookie: Option<String>,
}

/// How a body goes to an HTTP/1 client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// As it is: its length was said, or the connection's end is its end.
    Raw,
    Chunked,
}

impl<'a> Passing<'a> {
    /// The dyno's fields that the client gets, without what frames the body.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'a Field<'a>> {
        let passes = |field: &&Field<'a>| {
            let name = field.name.as_bytes();
            let hop = matches!(
                known(name),
                Known::Connection
                    | Known::KeepAlive
                    | Known::Hop
                    | Known::Upgrade
                    | Known::TransferEncoding
                    | Known::ContentLength
            );
            !hop && !self.facts.options.names(name)
        };
        self.head.fields.iter().filter(passes)
    }

    /// The length that the client is told: of the body, or of the one that `HEAD` asks about.
    pub(crate) fn length(&self) -> Option<u64> {
        let status = self.head.status;
        if status < 200 || status == 204 { None } else { self.facts.said_length }
    }

    /// The head as HTTP/2 has it; what cannot be said there is left out.
    pub(crate) fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(self.head.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        for field in self.fields() {
            put(headers, field.name.as_bytes(), field.value);
        }
        headers.append(header::VIA, HeaderValue::from_static(VIA));
        if !self.facts.has_server {
            headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
        }
        if let Some(cookie) = &self.cookie {
            put(headers, b"set-cookie", cookie.as_bytes());
        }
        if let Some(length) = self.length() {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        response
    }

    /// As HTTP/1 has it.
    pub(crate) fn write(&self, out: &mut Buffer, version: Version, wrap: Wrap, close: bool) {
        push_status(out, self.head.status, self.head.reason);
        for field in self.fields() {
            push_field(out, field.name.as_bytes(), field.value);
        }
        push_field(out, b"Via", VIA.as_bytes());
        if !self.facts.has_server {
            push_field(out, b"Server", SERVER.as_bytes());
        }
        if let Some(cookie) = &self.cookie {
            push_field(out, b"Set-Cookie", cookie.as_bytes());
        }
        if let Some(length) = self.length() {
            push_number_field(out, "Content-Length", length);
        } else if wrap == Wrap::Chunked {
            out.push(b"Transfer-Encoding: chunked\r\n");
        }
        match (self.switch.then_some(self.facts.upgrade).flatten(), close) {
            (Some(protocol), _) => {
                out.push(b"Connection: upgrade\r\n");
                push_field(out, b"Upgrade", protocol);
            }
            (None, true) => out.push(b"Connection: close\r\n"),
            (None, false) if version == Version::Http10 => out.push(b"Connection: keep-alive\r\n"),
            (None, false) => {}
        }
        out.push(b"\r\n");
    }
}

// === words of a head ===

fn put(headers: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

fn push_status(out: &mut Buffer, status: u16, reason: &str) {
    out.push(b"HTTP/1.1 ");
    push_number(out, status.into());
    out.push(b" ");
    out.push(reason.as_bytes());
    out.push(b"\r\n");
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn date(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_say_when() {
        let mut out = Buffer::default();
        let at = "1994-11-06T08:49:37.5Z".parse().unwrap();
        Page::html(404, Bytes::from_static(b"no")).write(&mut out, at, true, false);
        let text = std::str::from_utf8(out.unread()).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            "{text}"
        );
        assert!(text.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\nno"), "{text}");
    }
}

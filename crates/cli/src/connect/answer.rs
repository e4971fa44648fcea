//! What the local port says for itself. Everything else comes from the platform.

use std::{fmt::Write as _, io};

use super::{head::Unread, pipe::End};

/// Status line and the id that Heroku's API would give.
type Status = (&'static str, &'static str);

pub(super) const BAD_REQUEST: Status = ("400 Bad Request", "bad_request");
pub(super) const UNAUTHORIZED: Status = ("401 Unauthorized", "unauthorized");
pub(super) const FORBIDDEN: Status = ("403 Forbidden", "forbidden");
pub(super) const METHOD_NOT_ALLOWED: Status = ("405 Method Not Allowed", "method_not_allowed");
pub(super) const TIMEOUT: Status = ("408 Request Timeout", "request_timeout");
pub(super) const TOO_LARGE: Status = ("431 Request Header Fields Too Large", "bad_request");
pub(super) const BAD_GATEWAY: Status = ("502 Bad Gateway", "bad_gateway");
pub(super) const UNAVAILABLE: Status = ("503 Service Unavailable", "service_unavailable");

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: Status,
    /// What happened, and what to do.
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// None if there is nobody to tell it to.
    pub(super) fn unread(why: &Unread) -> Option<Self> {
        let status = match why {
            Unread::Gone => return None,
            Unread::Garbage => BAD_REQUEST,
            Unread::TooLong(_) => TOO_LARGE,
            Unread::TooLate => TIMEOUT,
        };
        Some(Self::new(status, format!("renga connect: {why}.")))
    }

    /// In the API's form, which the official command line prints well.
    pub(super) fn tell_api(&self, client: End) -> io::Result<()> {
        let body = serde_json::json!({ "id": self.status.1, "message": self.text }).to_string();
        self.tell(client, "application/json", &body)
    }

    /// In words, to whoever wanted a proxy.
    pub(super) fn tell_proxy_client(&self, client: End) -> io::Result<()> {
        self.tell(client, "text/plain; charset=utf-8", &format!("{}\n", self.text))
    }

    fn tell(&self, mut client: End, form: &str, body: &str) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {}\r\nContent-Type: {form}\r\n", self.status.0);
        if self.status == UNAUTHORIZED {
            // Git asks its helper for the token then.
            head.push_str("WWW-Authenticate: Basic realm=\"renga connect\"\r\n");
        }
        if self.status == METHOD_NOT_ALLOWED {
            head.push_str("Allow: CONNECT\r\n");
        }
        write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .expect("a String takes what is written");
        client.write_all(head.as_bytes())?;
        client.close();
        Ok(())
    }
}

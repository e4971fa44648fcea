//! A dyno's head: the status line and fields, and what they say of body and connection.

use std::mem::MaybeUninit;

use super::{
    Framing, Version,
    chunks::Decoder,
    fields::{Known, Options, content_length, known},
    request::Field,
};

const FIELDS_USUAL: usize = 48;
/// Fields of an answer (ours).
pub(crate) const FIELDS_MAX: usize = 1_000;

/// As it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    pub(crate) version: Version,
    pub(crate) fields: &'a [Field<'a>],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadAnswer {
    Malformed,
    Length,
    Cookie,
    Field,
}

/// What the fields say.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) framing: Framing,
    pub(crate) options: Options<'a>,
    /// Of an answer that has no body all the same (`HEAD`, 304): what it says of the length.
    pub(crate) said_length: Option<u64>,
    /// Both a length and chunks, or chunks in an answer of before there were any: the chunks count, and the connection is
    /// not used again.
    pub(crate) doubtful: bool,
    pub(crate) has_server: bool,
    pub(crate) keep_alive: Option<&'a [u8]>,
    pub(crate) upgrade: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerLimits {
    pub(crate) cookie_bytes_max: usize,
    pub(crate) line_bytes_max: usize,
}

/// Reads `bytes`, one whole head.
pub(crate) fn parse<R>(bytes: &[u8], read: impl FnOnce(Head<'_>) -> R) -> Result<R, BadAnswer> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut slots,
    );
    match parsed {
        Ok(httparse::Status::Complete(_)) => Ok(read(head(&response)?)),
        Err(httparse::Error::TooManyHeaders) => parse_long(bytes, read),
        _ => Err(BadAnswer::Malformed),
    }
}

#[cold]
fn parse_long<R>(bytes: &[u8], read: impl FnOnce(Head<'_>) -> R) -> Result<R, BadAnswer> {
    let mut slots = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => Ok(read(head(&response)?)),
        Err(httparse::Error::TooManyHeaders) => Err(BadAnswer::Field),
        _ => Err(BadAnswer::Malformed),
    }
}

fn head<'a>(response: &'a httparse::Response<'_, '_>) -> Result<Head<'a>, BadAnswer> {
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(BadAnswer::Malformed);
    };
    if !(100..1000).contains(&status) {
        return Err(BadAnswer::Malformed);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    Ok(Head { status, reason: response.reason.unwrap_or_default(), version, fields: response.headers })
}

impl<'a> Head<'a> {
    /// `bodiless`: the request was `HEAD`.
    pub(crate) fn facts(&self, bodiless: bool, limits: &AnswerLimits) -> Result<Facts<'a>, BadAnswer> {
        let mut facts = Facts {
            framing: Framing::Empty,
            options: Options::default(),
            said_length: None,
            doubtful: false,
            has_server: false,
            keep_alive: None,
            upgrade: None,
        };
        let mut coding = None;
        for field in self.fields {
            if field.name.len() + 2 + field.value.len() > limits.line_bytes_max {
                return Err(BadAnswer::Field);
            }
            match known(field.name.as_bytes()) {
                Known::ContentLength => {
                    facts.said_length =
                        content_length(facts.said_length, field.value).map_err(|_| BadAnswer::Length)?;
                }
                Known::TransferEncoding if coding.is_some() => return Err(BadAnswer::Malformed),
                Known::TransferEncoding => coding = Some(field.value),
                Known::Connection => facts.options.read(field.value),
                Known::SetCookie if field.value.len() > limits.cookie_bytes_max => {
                    return Err(BadAnswer::Cookie);
                }
                Known::Server => facts.has_server = true,
                Known::KeepAlive => facts.keep_alive = Some(field.value),
                Known::Upgrade => facts.upgrade = Some(field.value),
                _ => {}
            }
        }
        facts.framing = match coding {
            Some(coding) if !coding.eq_ignore_ascii_case(b"chunked") => return Err(BadAnswer::Malformed),
            _ if bodiless || self.status < 200 || matches!(self.status, 204 | 304) => Framing::Empty,
            Some(_) => Framing::Chunked(Decoder::new()),
            None => facts.said_length.map_or(Framing::UntilClose, Framing::Length),
        };
        if coding.is_some() {
            facts.doubtful = facts.said_length.is_some() || self.version == Version::Http10;
            facts.said_length = None;
        }
        Ok(facts)
    }

    /// Whether the connection can carry another request when this answer has ended.
    pub(crate) fn keeps_connection(&self, facts: &Facts<'_>) -> bool {
        let ends = matches!(facts.framing, Framing::UntilClose) || facts.options.close || facts.doubtful;
        !ends && (self.version != Version::Http10 || facts.options.keep_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AnswerLimits = AnswerLimits { cookie_bytes_max: 10, line_bytes_max: 40 };

    /// Framing, and whether the connection is kept.
    fn read(text: &str, head: bool) -> Result<(String, bool), BadAnswer> {
        parse(text.as_bytes(), |answer| {
            let facts = answer.facts(head, &LIMITS)?;
            let framing = match facts.framing {
                Framing::Empty => "none".to_owned(),
                Framing::Length(length) => length.to_string(),
                Framing::Chunked(_) => "chunked".to_owned(),
                Framing::UntilClose => "close".to_owned(),
            };
            Ok((framing, answer.keeps_connection(&facts)))
        })?
    }

    #[test]
    fn what_frames_an_answer() {
        let of = |framing: &str, kept| Ok((framing.to_owned(), kept));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false), of("3", true));
        assert_eq!(
            read("HTTP/1.1 200\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", false),
            of("3", true)
        );
        assert_eq!(
            read("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n", false),
            of("chunked", false)
        );
        assert_eq!(
            read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n", false),
            of("chunked", false)
        );
        assert_eq!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false), of("chunked", true));
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n", false), of("close", false));
        assert_eq!(read("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false), of("3", false));
        assert_eq!(
            read("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n", false),
            of("3", true)
        );
        assert_eq!(
            read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", true),
            of("none", false)
        );
        for status in [101, 103, 204, 304] {
            assert_eq!(
                read(&format!("HTTP/1.1 {status} x\r\nContent-Length: 3\r\n\r\n"), false),
                of("none", true)
            );
        }
    }

    #[test]
    fn what_is_no_answer() {
        for (bad, why) in [
            ("what?\r\n\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 2xx OK\r\n\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 099 OK\r\n\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadAnswer::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", BadAnswer::Length),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BadAnswer::Length),
            ("HTTP/1.1 200 OK\r\nSet-Cookie: a=123456789\r\n\r\n", BadAnswer::Cookie),
            ("HTTP/1.1 200 OK\r\nX: 0123456789012345678901234567890123456789\r\n\r\n", BadAnswer::Field),
        ] {
            assert_eq!(read(bad, false), Err(why), "{bad:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(read(&many, false), Err(BadAnswer::Field));
    }
}

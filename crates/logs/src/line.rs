//! A log line as a journal's payload: `i64 µs since 1970 · u8 source · u16 bytes of ps · ps · text`.

use jiff::Timestamp;
use renga_model::{LogLine, LogSource, limits::LOG_LINE_BYTES_MAX};

use crate::journal::array_at;

const HEAD_BYTES: usize = 11;
/// A process type of 128 characters and a number.
const PS_BYTES_MAX: usize = 200;

pub(crate) fn encode(line: &LogLine) -> Vec<u8> {
    let ps = cut(&line.ps, PS_BYTES_MAX);
    let mut payload = Vec::with_capacity(HEAD_BYTES + ps.len() + line.text.len());
    payload.extend_from_slice(&line.at.as_microsecond().to_le_bytes());
    payload.push(u8::from(line.source == LogSource::Heroku));
    payload.extend_from_slice(&u16::try_from(ps.len()).expect("cut to the limit above").to_le_bytes());
    payload.extend_from_slice(ps.as_bytes());
    payload.extend_from_slice(line.text.as_bytes());
    payload
}

/// None if this is no line; then it was not written by us.
pub(crate) fn decode(payload: &[u8]) -> Option<LogLine> {
    if payload.len() < HEAD_BYTES {
        return None;
    }
    let at = Timestamp::from_microsecond(i64::from_le_bytes(array_at(payload, 0))).ok()?;
    let source = if payload[8] == 0 { LogSource::App } else { LogSource::Heroku };
    let ps_bytes = usize::from(u16::from_le_bytes(array_at(payload, 9)));
    let (ps, text) = payload[HEAD_BYTES..].split_at_checked(ps_bytes)?;
    Some(LogLine { at, source, ps: text_of(ps), text: text_of(text) })
}

/// As a terminal would see it: bytes that are not UTF-8 are replaced.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A time that the clock of a dyno's record says, or the beginning of time for one that makes no sense.
pub(crate) fn time(at_us: i64) -> Timestamp {
    Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// As Heroku writes times inside of messages.
pub(crate) fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// The longest beginning of at most so many bytes that ends with a character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Text of several lines is several; a long line is cut into such as fit.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|whole| {
        let mut rest = Some(whole);
        std::iter::from_fn(move || {
            let text = rest?;
            let part = cut(text, LOG_LINE_BYTES_MAX);
            rest = Some(&text[part.len()..]).filter(|rest| !rest.is_empty() && !part.is_empty());
            Some(part)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip() {
        for (source, text) in [(LogSource::App, ""), (LogSource::Heroku, "Grüße \u{1f600}")] {
            let at = "2026-01-02T03:04:05.678901Z".parse().unwrap();
            let line = LogLine { at, source, ps: "web.1".into(), text: text.into() };
            assert_eq!(decode(&encode(&line)), Some(line));
        }
        assert_eq!(decode(b"short"), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]), None);
        assert_eq!(cut("aü", 2), "a");
    }

    #[test]
    fn long_text_and_text_of_lines_is_several() {
        let long = "x".repeat(LOG_LINE_BYTES_MAX + 1);
        let text = format!("a\n\n{long}\nb");
        let lengths: Vec<usize> = parts(&text).map(str::len).collect();
        assert_eq!(lengths, [1, 0, LOG_LINE_BYTES_MAX, 1, 1]);
    }
}

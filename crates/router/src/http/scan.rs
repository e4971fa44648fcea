//! Where a head ends, looked for once per byte however slowly it comes, with the limits on its lines.

/// Of a head, or of its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    /// The first line, and each further one, without its end.
    pub(crate) first_line_bytes_max: usize,
    pub(crate) line_bytes_max: usize,
    /// Lines after the first.
    pub(crate) fields_max: usize,
    /// Whether a line may end in LF alone.
    pub(crate) bare_lf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overrun {
    /// A line ends in LF alone.
    BareLf,
    FirstLine,
    Line,
    Fields,
}

/// How far a head has been looked at.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Scan {
    at: usize,
    line: usize,
    lines: usize,
    /// The first line, without its end.
    first: Option<(usize, usize)>,
}

impl Scan {
    /// Goes on in `bytes`, which begins where it did the last time. `Some`: the head's length, its empty line included.
    pub(crate) fn find(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Overrun> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.at..]) {
            let lf = self.at + found;
            let bare = lf == self.line || bytes[lf - 1] != b'\r';
            if bare && !limits.bare_lf {
                return Err(Overrun::BareLf);
            }
            let end = if bare { lf } else { lf - 1 };
            self.at = lf + 1;
            if end == self.line && self.lines > 0 {
                return Ok(Some(self.at));
            }
            self.check(end - self.line, limits)?;
            // Empty lines before the first one do not count as it.
            if end > self.line {
                self.lines += 1;
                self.first.get_or_insert((self.line, end));
            }
            self.line = self.at;
        }
        self.at = bytes.len();
        // A CR may be the beginning of the line's end.
        self.check((bytes.len() - self.line).saturating_sub(1), limits)?;
        Ok(None)
    }

    /// The first line, as soon as it has come.
    pub(crate) fn first_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.first.map(|(start, end)| &bytes[start..end])
    }

    fn check(&self, line_bytes: usize, limits: &HeadLimits) -> Result<(), Overrun> {
        if self.lines == 0 {
            return if line_bytes > limits.first_line_bytes_max { Err(Overrun::FirstLine) } else { Ok(()) };
        }
        if line_bytes > limits.line_bytes_max {
            return Err(Overrun::Line);
        }
        if self.lines > limits.fields_max && line_bytes > 0 { Err(Overrun::Fields) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { first_line_bytes_max: 20, line_bytes_max: 10, fields_max: 2, bare_lf: false };

    /// At once, and byte by byte: the same.
    fn find(text: &str, limits: &HeadLimits) -> Result<Option<usize>, Overrun> {
        let bytes = text.as_bytes();
        let whole = Scan::default().find(bytes, limits);
        let mut scan = Scan::default();
        let mut dripped = Ok(None);
        for end in 0..=bytes.len() {
            dripped = scan.find(&bytes[..end], limits);
            if dripped != Ok(None) {
                break;
            }
        }
        assert_eq!(whole, dripped, "{text:?}");
        whole
    }

    #[test]
    fn the_end_is_the_first_empty_line_after_a_line() {
        assert_eq!(find("GET / HTTP/1.1\r\nA: b\r\n\r\nrest", &LIMITS), Ok(Some(24)));
        assert_eq!(find("GET / HTTP/1.1\r\n\r\n", &LIMITS), Ok(Some(18)));
        assert_eq!(find("\r\nGET / HTTP/1.1\r\n\r\n", &LIMITS), Ok(Some(20)));
        for part in ["", "\r\n", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r"] {
            assert_eq!(find(part, &LIMITS), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn bare_line_feeds_are_for_dynos_only() {
        let dynos = HeadLimits { bare_lf: true, ..LIMITS };
        for bad in ["GET /\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\n\r\n", "\nGET / HTTP/1.1\r\n\r\n"] {
            assert_eq!(find(bad, &LIMITS), Err(Overrun::BareLf), "{bad:?}");
            assert!(matches!(find(bad, &dynos), Ok(Some(_))), "{bad:?}");
        }
        assert_eq!(find("HTTP/1.1 200 OK\nA: b\n\nrest", &dynos), Ok(Some(22)));
    }

    #[test]
    fn lines_are_bounded_before_their_end_has_come() {
        assert_eq!(find("GET /0123456789012345", &LIMITS), Ok(None));
        assert_eq!(find("GET /01234567890123456", &LIMITS), Err(Overrun::FirstLine));
        assert_eq!(find("GET /\r\nA: 01234567", &LIMITS), Ok(None));
        assert_eq!(find("GET /\r\nA: 012345678", &LIMITS), Err(Overrun::Line));
        assert_eq!(find("GET /\r\nA: 1\r\nB: 2\r\n\r\n", &LIMITS), Ok(Some(21)));
        assert_eq!(find("GET /\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", &LIMITS), Err(Overrun::Fields));
    }
}

//! The chunked coding, read strictly and taken off: sizes without signs, spaces or overflow; extensions and trailers
//! are bounded and dropped.
//!
//! ```text
//! size ──;──> extension ──CRLF──┐        ┌──────────────CRLF──────────────┐
//!   └───────────CRLF────────────┴──> data ──> (size again)                │
//!                                 0 ──> trailer lines ──empty line──> end │
//! ```

/// Hexadecimal digits of a chunk's size: more bytes than any disk has.
const SIZE_DIGITS_MAX: u8 = 15;
/// Of extensions and trailers of one body in all.
const EXTRA_BYTES_MAX: usize = 16 * 1024;

/// What is not the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Digits that have come.
    Size(u8),
    Extension,
    /// The LF behind a size; whether it was the last chunk is in `left`.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk.
    TrailerStart,
    TrailerName,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Of the chunk.
    left: u64,
    extra_bytes: usize,
}

/// What the first `consumed` bytes were: framing, and behind it `data` bytes of the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes of framing.
    pub(crate) skip: usize,
    /// Bytes of the body behind them.
    pub(crate) data: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { state: State::Size(0), left: 0, extra_bytes: 0 }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads framing up to the next data, and says how much of the data is there. Never beyond the body's end.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, BadChunk> {
        for (at, &byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => {
                    let there = (bytes.len() - at) as u64;
                    let data = self.left.min(there);
                    self.left -= data;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    let data = usize::try_from(data).map_err(|_| BadChunk)?;
                    return Ok(Step { skip: at, data });
                }
                State::End => return Ok(Step { skip: at, data: 0 }),
                _ => self.framing(byte)?,
            }
        }
        Ok(Step { skip: bytes.len(), data: 0 })
    }

    fn framing(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                self.left = self.left << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(1..), b';') => State::Extension,
            (State::Size(1..) | State::Extension, b'\r') => State::SizeLf,
            (State::SizeLf, b'\n') if self.left > 0 => State::Data,
            (State::SizeLf, b'\n') => State::TrailerStart,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::End,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::Extension, _) => self.extra(byte, State::Extension)?,
            // No space: such a line would be a folded one, or a name that is none.
            (State::TrailerStart | State::TrailerName, b'!'..=b'9' | b';'..=b'~') => {
                self.extra(byte, State::TrailerName)?
            }
            (State::TrailerName, b':') | (State::Trailer, _) => self.extra(byte, State::Trailer)?,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    /// A byte of what is dropped. Control characters are how two readers come to differ.
    fn extra(&mut self, byte: u8, next: State) -> Result<State, BadChunk> {
        self.extra_bytes += 1;
        let legal = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if legal && self.extra_bytes <= EXTRA_BYTES_MAX { Ok(next) } else { Err(BadChunk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what is left behind it; read in pieces of `size` bytes.
    fn decode(mut text: &[u8], size: usize) -> Result<(Vec<u8>, bool, usize), BadChunk> {
        let (mut decoder, mut body) = (Decoder::new(), Vec::new());
        let mut seen = size.min(text.len());
        while !decoder.is_end() {
            let Step { skip, data } = decoder.step(&text[..seen])?;
            body.extend_from_slice(&text[skip..skip + data]);
            text = &text[skip + data..];
            seen -= skip + data;
            if seen == 0 {
                if text.is_empty() {
                    break;
                }
                seen = size.min(text.len());
            }
        }
        Ok((body, decoder.is_end(), text.len()))
    }

    fn whole(text: &str) -> Result<(String, bool, usize), BadChunk> {
        let whole = decode(text.as_bytes(), text.len().max(1));
        for size in 1..text.len() {
            assert_eq!(decode(text.as_bytes(), size), whole, "{text:?} by {size}");
        }
        whole.map(|(body, end, left)| (String::from_utf8(body).unwrap(), end, left))
    }

    #[test]
    fn bodies_come_out_the_same_however_they_are_cut() {
        let ok = |body: &str, end, left| Ok((body.to_owned(), end, left));
        assert_eq!(whole("5\r\nhello\r\n0\r\n\r\nNEXT"), ok("hello", true, 4));
        assert_eq!(
            whole("2;a=\"b\"\r\nhi\r\n01\r\n!\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n"),
            ok("hi!", true, 0)
        );
        assert_eq!(whole("A\r\n0123456789\r\n0\r\n"), ok("0123456789", false, 0));
        assert_eq!(whole("ff"), ok("", false, 0));
    }

    #[test]
    fn nothing_else_is_a_chunk() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "1 \r\n",
            "0x1\r\n",
            "1\n",
            "1\r\r\n",
            "1\r\nab\r\n",
            "1\r\na\n0\r\n",
            "1000000000000000\r\n",
            "1;a\n",
            "1;\0\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA : b\r\n",
            "0\r\nA\r\n",
            "0\r\n: b\r\n",
            ";\r\n",
        ] {
            assert_eq!(whole(bad), Err(BadChunk), "{bad:?}");
        }
        let endless = format!("1;{}\r\n", "x".repeat(EXTRA_BYTES_MAX + 1));
        assert_eq!(decode(endless.as_bytes(), endless.len()), Err(BadChunk));
    }
}

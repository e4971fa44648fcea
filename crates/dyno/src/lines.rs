//! Output as lines: split at newlines, cut at the record limit.

use renga_supervision::{LineEnd, RECORD_BYTES_MAX};

/// One stream's unfinished line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// At most [`RECORD_BYTES_MAX`]. At the limit it waits for one byte more: a newline completes the line.
    partial: Vec<u8>,
}

impl Lines {
    /// Hands every line that `bytes` completes, and every cut of a long one, to `emit`.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8], LineEnd)) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.take(&rest[..at], &mut emit);
            emit(&self.partial, LineEnd::Complete);
            self.partial.clear();
            rest = &rest[at + 1..];
        }
        self.take(rest, &mut emit);
    }

    /// The stream has ended: what is left was a line without a newline.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8], LineEnd)) {
        if !self.partial.is_empty() {
            emit(&self.partial, LineEnd::Cut);
            self.partial = Vec::new();
        }
    }

    /// Adds a piece without a newline, cutting when it is too long.
    fn take(&mut self, mut piece: &[u8], emit: &mut impl FnMut(&[u8], LineEnd)) {
        while !piece.is_empty() {
            if self.partial.len() == RECORD_BYTES_MAX {
                emit(&self.partial, LineEnd::Cut);
                self.partial.clear();
            }
            let (now, later) = piece.split_at(piece.len().min(RECORD_BYTES_MAX - self.partial.len()));
            self.partial.extend_from_slice(now);
            piece = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[(usize, LineEnd)]) {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut emit = |data: &[u8], end| seen.push((data.len(), end));
        pieces.iter().for_each(|piece| lines.feed(piece, &mut emit));
        lines.finish(&mut emit);
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_come_whole_wherever_the_reads_fall() {
        use LineEnd::{Complete, Cut};
        check(&[b"ab\ncde\n"], &[(2, Complete), (3, Complete)]);
        check(&[b"a", b"b\nc", b"de", b"\n\n"], &[(2, Complete), (3, Complete), (0, Complete)]);
        check(&[b"end"], &[(3, Cut)]);
        let limit = [b'x'; RECORD_BYTES_MAX];
        check(&[&limit, b"\n"], &[(RECORD_BYTES_MAX, Complete)]);
        check(&[&limit, b"y\nz\n"], &[(RECORD_BYTES_MAX, Cut), (1, Complete), (1, Complete)]);
        check(&[&[b'x'; 2 * RECORD_BYTES_MAX]], &[(RECORD_BYTES_MAX, Cut), (RECORD_BYTES_MAX, Cut)]);
    }
}

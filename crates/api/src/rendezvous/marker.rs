//! Keeps the exit-status line of `heroku run -x` in one piece.

/// U+FFFF in UTF-8: no text holds it, so nothing else begins with it.
const MARKER: [u8; 3] = [0xEF, 0xBF, 0xBF];
/// A real line has some forty bytes; what is longer is not one.
const LINE_BYTES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Marker {
    held: Vec<u8>,
}

impl Marker {
    /// What may be sent now, each element as one record.
    pub(super) fn push(&mut self, data: &[u8]) -> Vec<Vec<u8>> {
        self.held.extend_from_slice(data);
        let mut records = Vec::new();
        loop {
            let start = start_of_marker(&self.held);
            if start > 0 {
                records.push(self.held.drain(..start).collect());
            }
            let whole = self.held.starts_with(&MARKER);
            match self.held.iter().position(|byte| *byte == b'\n') {
                Some(end) if whole => records.push(self.held.drain(..=end).collect()),
                None if self.held.len() <= LINE_BYTES_MAX => return records,
                _ => records.push(std::mem::take(&mut self.held)),
            }
        }
    }

    /// Whether something waits for its end.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was held back, when no more comes.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// Where the marker begins, or what may become its beginning; the length if neither is there.
fn start_of_marker(bytes: &[u8]) -> usize {
    let begins = |at: &usize| {
        let rest = &bytes[*at..];
        let length = rest.len().min(MARKER.len());
        rest[..length] == MARKER[..length]
    };
    (0..bytes.len()).find(begins).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "\u{FFFF} heroku-command-exit-status: 3\r\n";

    fn through(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Marker) {
        let mut marker = Marker::default();
        let records = chunks.iter().flat_map(|chunk| marker.push(chunk)).collect();
        (records, marker)
    }

    #[test]
    fn the_line_is_one_record_wherever_it_is_cut() {
        let text = format!("output\n{LINE}");
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let (records, marker) = through(&[head, tail]);
            assert_eq!(records.last().unwrap(), LINE.as_bytes(), "cut at {cut}");
            assert_eq!(records.concat(), text.as_bytes());
            assert!(!marker.holds());
        }
        let (records, _) = through(&text.as_bytes().chunks(1).collect::<Vec<_>>());
        assert_eq!(records.last().unwrap(), LINE.as_bytes());
    }

    #[test]
    fn other_text_passes_unchanged() {
        let text = "plain, ümläut, \u{FF01} fullwidth\n".as_bytes();
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let (records, mut marker) = through(&[head, tail]);
            assert_eq!([records.concat(), marker.flush()].concat(), text);
        }
    }

    #[test]
    fn a_marker_without_an_end_is_not_held_for_ever() {
        let endless = [&MARKER[..], &[b'x'; 1_000]].concat();
        let (records, marker) = through(&[&endless]);
        assert_eq!(records.concat(), endless);
        assert!(!marker.holds());
    }
}

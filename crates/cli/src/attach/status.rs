//! The exit code of the command, as a line of its output that no text can hold.

/// U+FFFF in UTF-8 begins the line.
const MARKER: &[u8] = "\u{FFFF} heroku-command-exit-status: ".as_bytes();
/// A marker, a number and a line end; what is longer is not one.
const LINE_BYTES_MAX: usize = 256;

/// The command, followed by a line that tells how it ended. A shell runs it, there.
///
/// A process type is left in front, where the platform puts its command for it. Anything else gets a shell of its own,
/// which an `exit` or `exec` in it may end.
pub(super) fn telling(command: &str, is_process_type: bool) -> String {
    let told = "echo \"\u{FFFF} heroku-command-exit-status: $?\"";
    match (is_process_type, command.contains(['#', '\n', '\\'])) {
        (true, _) => format!("{command} ; {told}"),
        (false, false) => format!("( {command} ) ; {told}"),
        // A comment, or what continues a line, must not swallow the rest.
        (false, true) => format!("(\n{command}\n) ; {told}"),
    }
}

/// Finds the line in a stream, however it is cut, and keeps it from the user.
#[derive(Debug, Default)]
pub(super) struct StatusLine {
    held: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What may be shown now.
    pub(super) shown: Vec<u8>,
    pub(super) code: Option<u8>,
}

impl StatusLine {
    pub(super) fn push(&mut self, data: &[u8]) -> Found {
        self.held.extend_from_slice(data);
        let mut shown = Vec::new();
        loop {
            let start = self.possible_start();
            shown.extend(self.held.drain(..start));
            if self.held.len() < MARKER.len() {
                return Found { shown, code: None };
            }
            let end = self.held.iter().position(|byte| *byte == b'\n');
            let code = end.and_then(|end| code(&self.held[MARKER.len()..end]));
            if code.is_some() || (end.is_none() && self.held.len() <= LINE_BYTES_MAX) {
                return Found { shown, code };
            }
            // It only looked like one.
            shown.extend(self.held.drain(..MARKER.len()));
        }
    }

    /// What was held back, when no more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Where the marker is, or may be coming.
    fn possible_start(&self) -> usize {
        let fits = |at: &usize| {
            let rest = &self.held[*at..];
            let length = rest.len().min(MARKER.len());
            rest[..length] == MARKER[..length]
        };
        (0..self.held.len()).find(fits).unwrap_or(self.held.len())
    }
}

fn code(text: &[u8]) -> Option<u8> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(chunks: &[&[u8]]) -> (Vec<u8>, Option<u8>) {
        let mut line = StatusLine::default();
        let mut shown = Vec::new();
        for chunk in chunks {
            let found = line.push(chunk);
            shown.extend(found.shown);
            if found.code.is_some() {
                return (shown, found.code);
            }
        }
        shown.extend(line.rest());
        (shown, None)
    }

    #[test]
    fn whatever_ends_the_command_is_told() {
        let told = |command: &str| {
            let output =
                std::process::Command::new("bash").args(["-c", &telling(command, false)]).output().unwrap();
            StatusLine::default().push(&output.stdout).code
        };
        for (command, code) in [
            ("true", 0),
            ("false", 1),
            ("exit 3", 3),
            ("exec sh -c 'exit 4'", 4),
            ("exit 5 # why", 5),
            ("cat <<X\nx\nX\nexit 6", 6),
            ("kill -9 $BASHPID", 137),
            ("syntax (", 2),
        ] {
            assert_eq!(told(command).unwrap_or(2), code, "{command}");
        }
        assert!(telling("worker --now", true).starts_with("worker --now ; echo"));
    }

    #[test]
    fn the_line_is_found_wherever_it_is_cut() {
        let text = "output\r\n\u{FFFF} heroku-command-exit-status: 42\r\n";
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            assert_eq!(through(&[head, tail]), (b"output\r\n".to_vec(), Some(42)), "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(through(&single), (b"output\r\n".to_vec(), Some(42)));
    }

    #[test]
    fn everything_else_passes() {
        for text in [
            "plain",
            "\u{FFFF}",
            "\u{FFFF} heroku-command",
            "\u{FFFF} heroku-command-exit-status: many\n",
            "\u{FFFF} heroku-command-exit-status: 999\nmore",
        ] {
            assert_eq!(through(&[text.as_bytes()]), (text.as_bytes().to_vec(), None), "{text:?}");
        }
        let long = format!("\u{FFFF} heroku-command-exit-status: {}", "9".repeat(300));
        assert_eq!(through(&[long.as_bytes()]), (long.as_bytes().to_vec(), None));
    }

    #[test]
    fn a_status_without_a_line_break_before_it_is_one_too() {
        let text = "no newline\u{FFFF} heroku-command-exit-status: 0\n";
        assert_eq!(through(&[text.as_bytes()]), (b"no newline".to_vec(), Some(0)));
    }
}

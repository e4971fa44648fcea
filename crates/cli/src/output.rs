//! What the user sees: results on stdout, progress on stderr, colours only on terminals.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{Environment, errors::Failure};

/// Colours that every terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Grey,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    App,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Grey => "90",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
            Self::App => "1;35",
        }
    }
    pub(crate) fn on(self, coloured: bool, text: impl Display) -> String {
        match coloured {
            true => format!("\x1b[{}m{text}\x1b[0m", self.code()),
            false => text.to_string(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) colours: bool,
    pub(crate) progress_colours: bool,
    pub(crate) now: Timestamp,
}

impl Output {
    pub(crate) fn new(env: &Environment, now: Timestamp) -> Self {
        let wanted = env.get("NO_COLOR").is_none() && env.get("TERM") != Some("dumb");
        Self {
            colours: wanted && io::stdout().is_terminal(),
            progress_colours: wanted && io::stderr().is_terminal(),
            now,
        }
    }

    #[cfg(test)]
    pub(crate) fn plain(now: Timestamp) -> Self {
        Self { colours: false, progress_colours: false, now }
    }

    /// A reader that went away (`| head`) ends the command without a word.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        self.print_bytes(text.as_bytes())
    }

    pub(crate) fn print_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(gone) if gone.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
            other => other.map_err(Failure::local("write the output")),
        }
    }

    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).expect("shapes of the API are JSON");
        self.print(&format!("{text}\n"))
    }

    /// For people; scripts read stdout.
    pub(crate) fn note(&self, text: &str) {
        // Nobody may be left to read it.
        drop(io::stderr().write_all(text.as_bytes()));
    }

    /// `Setting TIMES... `, until the progress is done.
    pub(crate) fn doing(&self, what: &str) -> Progress {
        self.note(&format!("{what}... "));
        Progress { output: *self, ended: false }
    }

    pub(crate) fn paint(&self, paint: Paint, text: impl Display) -> String {
        paint.on(self.colours, text)
    }

    /// `⬢ times`, in a line of results.
    pub(crate) fn app(&self, name: &str) -> String {
        Paint::App.on(self.colours, format!("⬢ {name}"))
    }

    /// `⬢ times`, in a line of progress.
    pub(crate) fn app_doing(&self, name: &str) -> String {
        Paint::App.on(self.progress_colours, format!("⬢ {name}"))
    }

    pub(crate) fn header(&self, text: &str) -> String {
        format!("{} {text}\n\n", self.paint(Paint::Grey, "==="))
    }

    /// `2026/11/01 12:00:00 +0000 (~ 5m ago)`
    pub(crate) fn ago(&self, at: Timestamp) -> String {
        let shown = at.to_zoned(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S %z").to_string();
        let seconds = (self.now.as_second() - at.as_second()).max(0);
        match seconds {
            ..60 => format!("{shown} (~ {seconds}s ago)"),
            60..3_600 => format!("{shown} (~ {}m ago)", seconds / 60),
            3_600..90_000 => format!("{shown} (~ {}h ago)", seconds / 3_600),
            _ => shown,
        }
    }
}

/// A line of progress. What is not told how it ended, failed.
pub(crate) struct Progress {
    output: Output,
    ended: bool,
}

impl Progress {
    pub(crate) fn done(self) {
        self.done_with("done");
    }
    pub(crate) fn done_with(mut self, how: &str) {
        self.ended = true;
        self.output.note(&format!("{how}\n"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.ended {
            self.output.note("!\n");
        }
    }
}

/// Columns side by side, two blanks between them; the first row may be a header.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| shown_width(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - shown_width(cell))));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// `KEY:  value` lines, the values under each other.
pub(crate) fn pairs(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(key, _)| shown_width(key)).max().unwrap_or(0) + 2;
    let line = |(key, value): &(String, String)| {
        format!("{key}:{}{value}\n", " ".repeat(width.saturating_sub(shown_width(key) + 1)))
    };
    rows.iter().map(line).collect()
}

/// Characters that take a place on the screen: colours do not.
fn shown_width(text: &str) -> usize {
    let mut width = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => drop(characters.find(|c| *c == 'm')),
            _ => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_with_and_without_colours() {
        let green = Paint::Green.on(true, "v1");
        let rows = [vec!["v10".to_owned(), "Deploy".into()], vec![green, "x".into()]];
        assert_eq!(table(&rows), "v10  Deploy\n\x1b[32mv1\x1b[0m   x\n");
        assert_eq!(pairs(&[("A".into(), "1".into()), ("LONG".into(), "2".into())]), "A:    1\nLONG: 2\n");
        assert_eq!(pairs(&[]) + &table(&[]), "");
    }

    #[test]
    fn times_say_how_long_ago() {
        let now: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
        let output = Output::plain(now);
        let told = |seconds: i64| {
            let text = output.ago(now - jiff::SignedDuration::from_secs(seconds));
            text.split_once('(').map(|(_, ago)| format!("({ago}")).unwrap_or_default()
        };
        assert_eq!(told(5), "(~ 5s ago)");
        assert_eq!(told(300), "(~ 5m ago)");
        assert_eq!(told(7_200), "(~ 2h ago)");
        assert_eq!(told(200_000), "");
        assert_eq!(told(-5), "(~ 0s ago)");
    }
}

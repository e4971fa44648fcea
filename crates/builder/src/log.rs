//! The build log in Heroku's frame: two conventions, an arrow and seven spaces, and a bang for trouble.

use std::io::{self, Write};

/// Writes whole lines and flushes each, so that the reader sees a line when it happens. A reader that has gone is
/// no reason to stop a build: errors of writing are ignored.
pub struct Log {
    out: Box<dyn Write + Send>,
}

impl Log {
    pub fn to_stdout() -> Self {
        Self { out: Box::new(io::stdout()) }
    }

    pub fn to(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }

    /// `-----> text`
    pub fn step(&mut self, text: impl AsRef<str>) {
        self.line("-----> ", text.as_ref());
    }

    /// Seven spaces, for every line of `text`.
    pub fn detail(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.line("       ", line);
        }
    }

    /// ` !     text`, for every line of `text`.
    pub fn trouble(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.line(" !     ", line);
        }
    }

    pub fn blank(&mut self) {
        self.line("", "");
    }

    fn line(&mut self, prefix: &str, text: &str) {
        let line = format!("{}\n", format_args!("{prefix}{text}").to_string().trim_end());
        drop(self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()));
    }
}

/// A log for tests that can be read afterwards.
#[cfg(test)]
pub(crate) fn recorded() -> (Log, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    #[derive(Clone)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    (Log::to(Box::new(Shared(bytes.clone()))), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_exact() {
        let (mut log, bytes) = recorded();
        log.step("Building on the Heroku-24 stack");
        log.detail("one\ntwo");
        log.trouble("Push failed");
        log.blank();
        let text = String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "-----> Building on the Heroku-24 stack\n       one\n       two\n !     Push failed\n\n"
        );
    }
}

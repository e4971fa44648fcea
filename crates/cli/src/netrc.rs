//! `~/.netrc`, as the official command line writes it: one entry per host, everything else in the file untouched.
//!
//! ```text
//! machine localhost:4000
//!   login admin@localhost
//!   password TOKEN
//! ```

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::Environment;

/// Bytes of a file that is still taken for a netrc.
const NETRC_BYTES_MAX: u64 = 1024 * 1024;

/// The text of the file. Entries are found by their tokens; the text between them is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Netrc {
    text: String,
}

impl Netrc {
    pub(crate) fn path(env: &Environment) -> Option<PathBuf> {
        env.home().map(|home| home.join(".netrc"))
    }

    /// A file that does not exist is an empty one.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(file) if file.len() > NETRC_BYTES_MAX => {
                return Err(io::Error::other("the file is far too large"));
            }
            Ok(_) => {}
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { text: String::new() });
            }
            Err(other) => return Err(other),
        }
        Ok(Self { text: fs::read_to_string(path)? })
    }

    /// Whole or not at all, and for its owner only.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        // A link (as of dotfile managers) stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let fresh = path.with_file_name(format!(".netrc.new-{}", std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    }

    pub(crate) fn password(&self, machine: &str) -> Option<&str> {
        self.field(machine, "password")
    }

    #[cfg(test)]
    pub(crate) fn login(&self, machine: &str) -> Option<&str> {
        self.field(machine, "login")
    }

    pub(crate) fn set(&mut self, machine: &str, login: &str, password: &str) {
        let entry = format!("machine {machine}\n  login {login}\n  password {password}\n");
        match self.span(machine) {
            Some((from, to)) => self.text.replace_range(from..to, &entry),
            None => {
                if !self.text.is_empty() && !self.text.ends_with('\n') {
                    self.text.push('\n');
                }
                self.text.push_str(&entry);
            }
        }
    }

    /// Whether there was one.
    pub(crate) fn remove(&mut self, machine: &str) -> bool {
        let Some((from, to)) = self.span(machine) else { return false };
        self.text.replace_range(from..to, "");
        true
    }

    fn field(&self, machine: &str, name: &str) -> Option<&str> {
        let (from, to) = self.span(machine)?;
        let mut words = self.text[from..to].split_whitespace().skip(2);
        while let Some(word) = words.next() {
            if word == name {
                return words.next();
            }
        }
        None
    }

    /// Bytes from `machine NAME` to the end of its last word's line; comments behind it belong to what follows.
    fn span(&self, machine: &str) -> Option<(usize, usize)> {
        let words = words(&self.text);
        let starts = |word: &str| matches!(word, "machine" | "default" | "macdef");
        let from = words.windows(2).position(|pair| pair[0].1 == "machine" && pair[1].1 == machine)?;
        let next = words[from + 2..].iter().position(|(_, word)| starts(word)).map(|n| from + 2 + n);
        let last = words[next.unwrap_or(words.len()) - 1];
        let after = last.0 + last.1.len();
        // To the end of the last line, unless the next entry begins on it.
        let line = self.text[after..].find('\n').map_or(self.text.len(), |n| after + n + 1);
        let end = next.map_or(line, |next| line.min(words[next].0));
        Some((words[from].0, end))
    }
}

/// Words with the places where they start; comments are not words.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split(" #").next().filter(|_| !line.trim_start().starts_with('#')).unwrap_or("");
        let inside = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
        words.extend(code.split_whitespace().map(|word| (inside(word), word)));
        at += line.len();
    }
    debug_assert_eq!(at, text.len(), "every line was looked at");
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\nmachine github.com login me password secret\n\
                        machine localhost:4000\n  login a@b\n  password T\n# yours\ndefault login anonymous password x\n";

    fn netrc(text: &str) -> Netrc {
        Netrc { text: text.into() }
    }

    #[test]
    fn entries_are_found_on_one_line_or_many() {
        let file = netrc(FILE);
        assert_eq!(file.password("localhost:4000"), Some("T"));
        assert_eq!(file.login("localhost:4000"), Some("a@b"));
        assert_eq!(file.password("github.com"), Some("secret"));
        assert_eq!(file.password("localhost"), None);
        assert_eq!(netrc("# machine a password b\n").password("a"), None);
        assert_eq!(netrc("machine a").password("a"), None);
    }

    #[test]
    fn the_rest_of_the_file_is_not_touched() {
        let mut file = netrc(FILE);
        file.set("localhost:4000", "c@d", "U");
        assert_eq!(file.text, FILE.replace("a@b", "c@d").replace("password T", "password U"));
        assert!(file.remove("localhost:4000") && !file.remove("localhost:4000"));
        assert!(file.text.starts_with("# mine\nmachine github.com") && file.text.ends_with("password x\n"));
        let mut open = netrc("machine a login b password c");
        open.set("d", "e", "f");
        assert_eq!(open.text, "machine a login b password c\nmachine d\n  login e\n  password f\n");
    }

    #[test]
    fn the_file_is_private_and_a_link_stays_a_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join(".netrc"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = Netrc::read(&link).unwrap();
        file.set("h", "l", "p");
        file.write(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Netrc::read(&real).unwrap(), file);
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Netrc::read(&dir.path().join("none")).unwrap(), netrc(""));
    }
}

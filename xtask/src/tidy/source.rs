//! A Rust file taken apart just far enough: code without comments and strings, the strings, the comments, and which lines
//! are tests. A few hundred lines of lexer instead of a parser, because rules about words need no more.

use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The name of the folder under `crates/`, or `xtask`.
    pub(super) package: String,
    /// Same lines as the file; comments are blank, the inside of strings is `_`, test items are blank.
    pub(super) code: Vec<String>,
    /// Line (from 0) and content of every string literal outside tests.
    pub(super) strings: Vec<(usize, String)>,
    /// Line (from 0) and content of every comment, tests included.
    pub(super) comments: Vec<(usize, String)>,
    /// Lines of the file that are not tests.
    pub(super) length: usize,
    /// The whole file is a test.
    pub(super) is_test: bool,
}

impl Source {
    pub(super) fn parse(path: &Path, text: &str) -> Self {
        let is_test = is_test_path(path);
        let mut lexer = Lexer::new(text);
        lexer.run();
        let masked: String = lexer.masked.iter().collect();
        let mut code: Vec<String> = masked.split('\n').map(str::to_owned).collect();
        let tests = if is_test { vec![(0, code.len())] } else { test_regions(&code) };
        let in_tests = |line: usize| tests.iter().any(|(from, to)| (*from..*to).contains(&line));
        for (number, line) in code.iter_mut().enumerate() {
            if in_tests(number) {
                line.clear();
            }
        }
        let test_lines: usize = tests.iter().map(|(from, to)| to - from).sum();
        let lines = text.lines().count();
        let mut strings = lexer.strings;
        strings.retain(|(line, _)| !in_tests(*line));
        Self {
            path: path.to_owned(),
            package: package_of(path),
            code,
            strings,
            comments: lexer.comments,
            length: lines.saturating_sub(test_lines),
            is_test,
        }
    }

    /// `crates/x/src/y.rs:12`, lines counted from 1 as editors do.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{}", self.path.display(), line + 1)
    }

    pub(super) fn key(&self) -> String {
        self.path.display().to_string()
    }
}

fn package_of(path: &Path) -> String {
    let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    match parts.next() {
        Some(first) if first == "crates" => parts.next().unwrap_or_default(),
        Some(first) => first,
        None => String::new(),
    }
}

/// `tests/` and `benches/` folders, `tests.rs`, and `x_tests.rs`.
fn is_test_path(path: &Path) -> bool {
    let folder = path.iter().any(|part| part == "tests" || part == "benches");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    folder || stem == "tests" || stem.ends_with("_tests")
}

/// Line ranges of items under `#[cfg(test)]`.
fn test_regions(code: &[String]) -> Vec<(usize, usize)> {
    let mut regions: Vec<(usize, usize)> = Vec::new();
    for (number, line) in code.iter().enumerate() {
        let inside = regions.last().is_some_and(|(_, to)| number < *to);
        if !inside && line.trim_start().starts_with("#[cfg(test)]") {
            regions.push((number, item_end(code, number)));
        }
    }
    regions
}

/// The line after the item that begins at `from`: after its closing brace, or its semicolon.
pub(super) fn item_end(code: &[String], from: usize) -> usize {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (offset, line) in code[from..].iter().enumerate() {
        for character in line.chars() {
            match character {
                '{' => braces += 1,
                '}' if braces == 1 && brackets == 0 => return from + offset + 1,
                '}' => braces = braces.saturating_sub(1),
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                // `[u8; 4]` in a signature is no end.
                ';' if braces == 0 && brackets == 0 => return from + offset + 1,
                _ => {}
            }
        }
    }
    code.len()
}

// === The lexer ===

struct Lexer {
    text: Vec<char>,
    at: usize,
    line: usize,
    masked: Vec<char>,
    strings: Vec<(usize, String)>,
    comments: Vec<(usize, String)>,
}

impl Lexer {
    fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        let masked = Vec::with_capacity(text.len());
        Self { text, at: 0, line: 0, masked, strings: Vec::new(), comments: Vec::new() }
    }

    fn run(&mut self) {
        while self.at < self.text.len() {
            match (self.text[self.at], self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(0, false),
                ('\'', _) => self.quote(),
                ('r', Some('"' | '#')) if self.starts_word() => self.raw(1),
                ('b' | 'c', Some('r')) if self.starts_word() => self.raw(2),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// The character before is not part of a word: `r"` opens a raw string, `for"` does not.
    fn starts_word(&self) -> bool {
        let before = self.at.checked_sub(1).map(|index| self.text[index]);
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    }

    /// Takes one character, showing it as `shown`; line ends always stay.
    fn take(&mut self, shown: char) -> char {
        let character = self.text[self.at];
        self.at += 1;
        if character == '\n' {
            self.line += 1;
            self.masked.push('\n');
        } else {
            self.masked.push(shown);
        }
        character
    }

    fn keep(&mut self) {
        let character = self.text[self.at];
        self.take(character);
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut content = String::new();
        while self.peek(0).is_some_and(|character| character != '\n') {
            content.push(self.take(' '));
        }
        self.comments.push((line, content));
    }

    fn block_comment(&mut self) {
        let line = self.line;
        let mut content = String::new();
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            let pair = (self.peek(0), self.peek(1));
            if pair == (Some('/'), Some('*')) {
                depth += 1;
            } else if pair == (Some('*'), Some('/')) {
                depth -= 1;
            } else {
                content.push(self.take(' '));
                continue;
            }
            self.take(' ');
            self.take(' ');
            if depth == 0 {
                break;
            }
        }
        self.comments.push((line, content));
    }

    /// A raw string, if that is what follows its prefix of `prefix` letters; otherwise a word like any other.
    fn raw(&mut self, prefix: usize) {
        let hashes = self.text[self.at + prefix..].iter().take_while(|character| **character == '#').count();
        if self.peek(prefix + hashes) != Some('"') {
            self.keep();
            return;
        }
        for _ in 0..prefix + hashes {
            self.keep();
        }
        self.string(hashes, true);
    }

    /// From the opening quote to the closing one with its hashes.
    fn string(&mut self, hashes: usize, raw: bool) {
        let line = self.line;
        let mut content = String::new();
        self.keep();
        while let Some(character) = self.peek(0) {
            if character == '\\' && !raw {
                content.push(self.take('_'));
                if self.at < self.text.len() {
                    content.push(self.take('_'));
                }
                continue;
            }
            if character == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                for _ in 0..=hashes {
                    self.keep();
                }
                break;
            }
            content.push(self.take('_'));
        }
        self.strings.push((line, content));
    }

    /// A character literal is hidden (it may be a brace or a quote); a lifetime stays.
    fn quote(&mut self) {
        self.keep();
        let escaped = self.peek(0) == Some('\\');
        if !escaped && self.peek(1) != Some('\'') {
            return;
        }
        self.take('_');
        if escaped {
            self.take('_');
        }
        while self.peek(0).is_some_and(|character| character != '\'') {
            self.take('_');
        }
        if self.at < self.text.len() {
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::parse(Path::new("crates/a/src/b.rs"), text).code.join("\n")
    }

    #[test]
    fn comments_go_and_strings_are_hidden() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* { /* } */ */ b"), format!("a{}b", " ".repeat(17)));
        assert_eq!(code(r#"f("a\"}") }"#), r#"f("____") }"#);
        assert_eq!(code("r#\"a\"}\"# }"), "r#\"___\"# }");
        assert_eq!(code("br\"\\\" }"), "br\"_\" }");
    }

    #[test]
    fn characters_are_hidden_and_lifetimes_stay() {
        assert_eq!(code("'{' '\\'' '\\u{7d}' 'a'"), "'_' '__' '______' '_'");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("'outer: loop { break 'outer; }"), "'outer: loop { break 'outer; }");
        assert_eq!(code("'\"' x"), "'_' x");
    }

    #[test]
    fn tests_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { x(\"}\") }\n}\nfn c() {}\n";
        let source = Source::parse(Path::new("crates/a/src/b.rs"), text);
        assert_eq!(source.code.join("|"), "fn a() {}|||||fn c() {}|");
        assert_eq!(source.length, 2);
        assert!(source.strings.is_empty());
        let elsewhere =
            Source::parse(Path::new("crates/a/src/b.rs"), "#[cfg(test)]\nmod tests;\nfn a() {}\n");
        assert_eq!(elsewhere.length, 1);
        assert!(Source::parse(Path::new("crates/a/tests/it/main.rs"), "fn a() {}").is_test);
        assert!(Source::parse(Path::new("crates/a/src/tests.rs"), "fn a() {}").is_test);
    }

    #[test]
    fn packages_have_their_folders_name() {
        assert_eq!(package_of(Path::new("crates/model/src/lib.rs")), "model");
        assert_eq!(package_of(Path::new("xtask/src/main.rs")), "xtask");
    }
}

//! Lengths: a file that is too long holds two thoughts, a function that is too long holds three.

use super::{
    Finding,
    source::{Source, item_end},
};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn findings(source: &Source) -> Vec<Finding> {
    if source.is_test {
        return Vec::new();
    }
    let mut findings = long_functions(source);
    if source.length > FILE_LINES_MAX {
        findings.push(Finding {
            rule: "file-length",
            key: source.key(),
            amount: source.length,
            place: source.key(),
            say: format!("{} lines without tests; at most {FILE_LINES_MAX}", source.length),
        });
    }
    findings
}

fn long_functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        // As clippy counts: what stands between the braces; blank lines and comments are free.
        let item = &source.code[number..item_end(&source.code, number)];
        let first = item.iter().position(|line| line.contains('{')).map_or(item.len(), |open| open + 1);
        let body = item.get(first..item.len() - 1).unwrap_or_default();
        let lines = body.iter().filter(|line| !line.trim().is_empty()).count();
        if lines > FUNCTION_LINES_MAX {
            findings.push(Finding {
                rule: "function-length",
                key: format!("{}::{name}", source.key()),
                amount: lines,
                place: source.place(number),
                say: format!("fn {name} has {lines} lines; at most {FUNCTION_LINES_MAX}"),
            });
        }
    }
    findings
}

/// The name, if a function begins on this line. `fn(` is a type, not a function.
fn function_name(line: &str) -> Option<&str> {
    let at = line.find("fn ")?;
    let before = line[..at].chars().next_back();
    if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
        return None;
    }
    let rest = line[at + 3..].trim_start();
    let end =
        rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn source(text: &str) -> Source {
        Source::parse(Path::new("crates/a/src/b.rs"), text)
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    x();\n".repeat(lines))
    }

    #[test]
    fn functions_are_measured() {
        assert!(findings(&source(&function(70))).is_empty());
        let found = findings(&source(&function(71).replace("f()", "f() -> [u8; 4]")));
        assert_eq!((found[0].key.as_str(), found[0].amount), ("crates/a/src/b.rs::f", 71));
        assert!(findings(&source(&format!("#[cfg(test)]\nmod tests {{\n{}}}", function(100)))).is_empty());
    }

    #[test]
    fn comments_and_blank_lines_are_free() {
        let text = format!("fn f() {{\n{}}}\n", "    // why\n\n".repeat(100));
        assert!(findings(&source(&text)).is_empty());
    }

    #[test]
    fn files_are_measured() {
        assert!(findings(&source(&"use a;\n".repeat(700))).is_empty());
        assert_eq!(findings(&source(&"use a;\n".repeat(701)))[0].rule, "file-length");
    }

    #[test]
    fn names_of_functions() {
        assert_eq!(function_name("pub(crate) async fn go_on<T>(x: T) {"), Some("go_on"));
        assert_eq!(function_name("let f: fn (u8) = g;"), None);
        assert_eq!(function_name("let often = 1;"), None);
    }
}

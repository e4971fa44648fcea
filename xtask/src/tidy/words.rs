//! Words that belong into one room only (ARCHITECTURE.md, invariants I5, I13 and I16).

use super::{Finding, source::Source};

/// Crates that make a binary of their own; their `main.rs` and `config.rs` may read the environment.
const BINARIES: [&str; 5] = ["server", "cli", "dyno", "builder", "node"];
/// Crates which speak to a terminal or to a build log.
const PRINTERS: [&str; 5] = ["cli", "server", "builder", "dyno", "xtask"];
/// Crates whose task is the kernel.
const UNSAFE: [&str; 2] = ["runtime", "dyno"];
const TODO_KINDS: [&str; 5] = ["correctness", "security", "robustness", "performance", "cleanup"];
/// A crate's page of prose is at least so long.
const PAGE_LINES_MIN: usize = 3;

pub(super) fn findings(source: &Source) -> Vec<Finding> {
    let mut findings = todos(source);
    if source.is_test {
        return findings;
    }
    findings.extend(code_words(source));
    findings.extend(shells(source));
    findings.extend(statements(source));
    findings.extend(page(source));
    findings
}

fn finding(source: &Source, rule: &'static str, line: usize, say: impl Into<String>) -> Finding {
    Finding { rule, key: source.key(), amount: 1, place: source.place(line), say: say.into() }
}

fn file_is(source: &Source, names: &[&str]) -> bool {
    source.path.file_name().is_some_and(|name| names.iter().any(|wanted| name == *wanted))
}

fn reads_environment(source: &Source) -> bool {
    let build_script = file_is(source, &["build.rs"]);
    let in_config =
        source.path.iter().any(|part| part == "config") || file_is(source, &["main.rs", "config.rs"]);
    let binary = BINARIES.contains(&source.package.as_str()) && in_config;
    let small_binary = source.path.iter().any(|part| part == "bin");
    build_script || binary || small_binary || source.package == "xtask"
}

fn code_words(source: &Source) -> Vec<Finding> {
    let package = source.package.as_str();
    let status_free = ["api", "router", "git", "server"].contains(&package)
        && file_is(source, &["error.rs", "answer.rs", "codes.rs"]);
    let rules: [(&'static str, bool, &[&str], &str); 4] = [
        (
            "environment",
            reads_environment(source),
            &["env::var(", "env::var_os(", "env::vars("],
            "the environment is read in the binaries",
        ),
        (
            "status",
            status_free,
            &["StatusCode::"],
            "status codes are given where answers are made: error.rs, answer.rs, codes.rs",
        ),
        (
            "print",
            PRINTERS.contains(&package) || source.path.iter().any(|part| part == "examples"),
            &["println!", "print!(", "dbg!("],
            "only the faces print; use tracing",
        ),
        (
            "unsafe",
            UNSAFE.contains(&package),
            &["unsafe {", "unsafe fn", "unsafe impl"],
            "unsafe lives in runtime and dyno",
        ),
    ];
    let mut findings = Vec::new();
    for (rule, free, words, say) in rules {
        if free {
            continue;
        }
        for (number, line) in source.code.iter().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(finding(source, rule, number, say));
            }
        }
    }
    findings
}

/// A shell that gets a line made here: `["bash", "-c", line]`, `format!("sh -c {line}")`. A script that is a constant,
/// with its values as arguments (`["-c", SCRIPT, "bash", value]`), is how it should be.
fn shells(source: &Source) -> Vec<Finding> {
    const SHELLS: [&str; 5] = ["sh", "bash", "/bin/sh", "/bin/bash", "dash"];
    const SPELLED: [&str; 4] = ["sh -c ", "bash -c ", "sh -lc ", "bash -lc "];
    let mut findings = Vec::new();
    for (index, (line, text)) in source.strings.iter().enumerate() {
        let spelled = text.contains('{') && SPELLED.iter().any(|word| text.contains(word));
        let before = source.strings[..index].iter().rev().take(2);
        let vector = ["-c", "-lc"].contains(&text.as_str())
            && before
                .into_iter()
                .any(|(at, earlier)| SHELLS.contains(&earlier.as_str()) && line.abs_diff(*at) <= 3)
            && !gives_constant(&source.code[*line]);
        if (spelled || vector) && source.package != "xtask" {
            let say = "no shell line is built here; give a constant script its values as arguments";
            findings.push(finding(source, "shell", *line, say));
        }
    }
    findings
}

/// The masked line has `"__", NAME` with a constant's name.
fn gives_constant(code: &str) -> bool {
    code.split("\"__\",").skip(1).any(|rest| {
        let rest = rest.trim_start();
        let end = rest
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(rest.len());
        end > 0 && rest[..end].chars().all(|character| character.is_ascii_uppercase() || character == '_')
    })
}

fn statements(source: &Source) -> Vec<Finding> {
    const OPENINGS: [&str; 7] =
        ["SELECT ", "INSERT INTO ", "INSERT OR ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA ", "ALTER TABLE "];
    if ["store", "xtask"].contains(&source.package.as_str()) {
        return Vec::new();
    }
    let is_statement = |text: &str| {
        let text = text.trim_start();
        OPENINGS.iter().any(|opening| text.starts_with(opening))
            || (text.starts_with("UPDATE ") && text.contains(" SET "))
    };
    let statements = source.strings.iter().filter(|(_, text)| is_statement(text));
    statements.map(|(line, _)| finding(source, "sql", *line, "SQL lives in store")).collect()
}

/// `TODO(kind): ...`, and no other word for it.
fn todos(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.package == "xtask" {
        return findings;
    }
    for (line, text) in &source.comments {
        let named = text.split("TODO").skip(1).all(|rest| {
            TODO_KINDS.iter().any(|kind| {
                rest.strip_prefix('(')
                    .and_then(|rest| rest.strip_prefix(kind))
                    .is_some_and(|rest| rest.starts_with("): "))
            })
        });
        if !named || ["FIXME", "XXX", "HACK"].iter().any(|word| text.contains(word)) {
            findings.push(finding(
                source,
                "todo",
                *line,
                format!("say TODO(kind): with kind among {}", TODO_KINDS.join(", ")),
            ));
        }
    }
    findings
}

/// A crate's first lines say what it is for and what it refuses.
fn page(source: &Source) -> Option<Finding> {
    if !source.path.ends_with("src/lib.rs") {
        return None;
    }
    let lines = source.comments.iter().take_while(|(_, text)| text.starts_with("//!")).count();
    let first = source.comments.first().is_some_and(|(line, _)| *line == 0);
    let say = format!("lib.rs opens with at least {PAGE_LINES_MIN} lines of prose (//!)");
    (!first || lines < PAGE_LINES_MIN).then(|| finding(source, "page", 0, say))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The rules that a file breaks, one word each.
    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        findings(&Source::parse(Path::new(path), text)).into_iter().map(|finding| finding.rule).collect()
    }

    const ENGINE: &str = "crates/engine/src/a.rs";

    #[test]
    fn the_environment() {
        assert_eq!(rules(ENGINE, "let a = std::env::var(\"A\");"), ["environment"]);
        assert!(rules("crates/server/src/config.rs", "let a = std::env::var(\"A\");").is_empty());
        assert_eq!(rules("crates/server/src/up.rs", "let a = std::env::var(\"A\");"), ["environment"]);
        assert!(rules(ENGINE, "// std::env::var(\nlet a = \"env::var(\";").is_empty());
    }

    #[test]
    fn shells() {
        assert_eq!(rules(ENGINE, "Command::new(\"sh\").arg(\"-c\").arg(line);"), ["shell"]);
        assert_eq!(rules(ENGINE, "vec![\"/bin/bash\", \"-c\", line]"), ["shell"]);
        assert_eq!(rules(ENGINE, "format!(\"sh -c {line}\")"), ["shell"]);
        assert!(rules(ENGINE, "[\"/bin/bash\", \"-c\", LAUNCHER, \"bash\", command]").is_empty());
        assert!(rules(ENGINE, "const LAUNCHER: &str = \"exec bash -c \\\"$1\\\"\";").is_empty());
        assert!(rules(ENGINE, "Command::new(\"git\").arg(\"-c\").arg(\"a=b\");").is_empty());
    }

    #[test]
    fn sql() {
        assert_eq!(rules(ENGINE, "query(\"SELECT 1\")"), ["sql"]);
        assert_eq!(rules(ENGINE, "query(\"\n    UPDATE a SET b = 1\")"), ["sql"]);
        assert!(rules(ENGINE, "say(\"UPDATE your remote\")").is_empty());
        assert!(rules("crates/store/src/a.rs", "query(\"SELECT 1\")").is_empty());
    }

    #[test]
    fn status_print_unsafe() {
        assert_eq!(rules("crates/api/src/a.rs", "StatusCode::OK"), ["status"]);
        assert!(rules("crates/api/src/error.rs", "StatusCode::OK").is_empty());
        assert_eq!(rules(ENGINE, "println!(\"a\");"), ["print"]);
        assert_eq!(rules(ENGINE, "unsafe { x() }"), ["unsafe"]);
        assert!(rules("crates/engine/tests/it/main.rs", "println!(\"a\");").is_empty());
    }

    #[test]
    fn todo_has_a_kind() {
        assert_eq!(rules(ENGINE, "// TODO: later"), ["todo"]);
        assert_eq!(rules(ENGINE, "// FIXME"), ["todo"]);
        assert!(rules(ENGINE, "// TODO(cleanup): one word for both").is_empty());
    }

    #[test]
    fn a_crate_opens_with_its_page() {
        assert_eq!(rules("crates/engine/src/lib.rs", "//! Engine.\nmod a;"), ["page"]);
        assert!(rules("crates/engine/src/lib.rs", "//! What.\n//!\n//! Why.\nmod a;").is_empty());
    }
}

//! What the command line says of itself.

use std::process::Command;

use crate::harness::{Platform, app, ok, renga, text};

const BASH: &str = r#"
source <("$1" completion bash)
COMP_LINE=$2 COMP_POINT=${#2}
_renga
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn help_shows_all_and_one_and_a_topic() {
    let all = renga(&["help"]).output().unwrap();
    for word in ["Begin", "What runs", "ps ", ":scale", "renga help COMMAND"] {
        assert!(text(&all.stdout).contains(word), "{word}: {}", text(&all.stdout));
    }
    assert_eq!(text(&renga(&[]).output().unwrap().stdout), text(&all.stdout));
    let one = text(&renga(&["help", "ps:scale"]).output().unwrap().stdout);
    assert!(one.contains("Usage: renga ps:scale") && one.contains("Examples:"), "{one}");
    let topic = text(&renga(&["help", "git"]).output().unwrap().stdout);
    assert!(topic.starts_with("Commands of git:\n  git:remote "), "{topic}");
}

#[test]
fn a_word_that_is_no_command_is_met_with_what_was_meant() {
    for words in [&["relases"][..], &["help", "relases"]] {
        let refused = renga(words).output().unwrap();
        let said = text(&refused.stderr);
        assert!(said.contains("Did you mean releases?") && said.contains("renga help"), "{said}");
        assert_eq!(refused.status.code(), Some(127));
    }
}

#[test]
fn pages_are_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("man1");
    let said = renga(&["man", folder.to_str().unwrap()]).output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    let page = std::fs::read_to_string(folder.join("renga-ps-scale.1")).unwrap();
    assert!(page.contains("ps:scale") && page.contains("\\-\\-app"), "{page}");
    assert!(folder.join("renga.1").exists());
    let refused = renga(&["man", "/proc/no"]).output().unwrap();
    assert_eq!((refused.status.code(), text(&refused.stderr).contains("Could not write")), (Some(1), true));
}

#[test]
fn bash_completes_past_colons_and_knows_the_apps() {
    let platform = Platform::new(|_| ok(&serde_json::json!([app("times"), app("tides"), app("other")])));
    let program = renga(&[]).get_program().to_owned();
    let complete = |line: &str| {
        let line = line.replacen("renga", program.to_str().unwrap(), 1);
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", BASH, "bash"]).arg(&program).arg(line);
        let done = bash.env("RENGA_DATA_DIR", platform.dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Bash has already what stands before the colon.
    assert_eq!(complete("renga ps:s"), ["scale", "stop"]);
    assert_eq!(complete("renga releases:i"), ["info"]);
    assert_eq!(complete("renga ps --js"), ["--json"]);
    assert_eq!(complete("renga ps -a ti"), ["times", "tides"]);
    assert_eq!(complete("renga completion "), ["bash", "zsh", "fish"]);
}

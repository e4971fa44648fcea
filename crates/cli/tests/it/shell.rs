//! `exec` and `env`, as shells see them.

use std::{fs, process::Command};

use serde_json::json;

use crate::harness::{Platform, ok, text};

fn platform() -> Platform {
    Platform::new(|_| ok(&json!([])))
}

#[test]
fn a_program_is_pointed_at_the_platform_and_its_exit_code_is_ours() {
    let platform = platform();
    let script = "printf '%s|' \"$HEROKU_HOST\" \"$HEROKU_API_KEY\" \"$HEROKU_GIT_HOST\" \"$DISABLE_TELEMETRY\"; exit 7";
    let output = platform.run(&["exec", "--", "sh", "-c", script]);
    assert_eq!(text(&output.stdout), format!("{}|T0KEN|localhost:44443|true|", platform.api));
    assert_eq!(output.status.code(), Some(7));
    // Flags behind the program are the program's.
    assert_eq!(text(&platform.run(&["exec", "printf", "%s", "--data-dir"]).stdout), "--data-dir");
    let output = platform.run(&["exec", "--", "no-such-program"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("no-such-program"));
    assert_eq!(platform.run(&["exec", "--", "/"]).status.code(), Some(126));
}

#[test]
fn the_key_of_another_platform_stays_out() {
    let platform = platform();
    fs::remove_file(platform.dir.path().join("token")).unwrap();
    let show = ["exec", "--", "sh", "-c", "echo ${HEROKU_API_KEY-unset}"];
    let output = platform.renga(&show).env("HEROKU_API_KEY", "HRKU-real").output().unwrap();
    assert_eq!(text(&output.stdout), "unset\n");
    let output = platform.renga(&["env", "--no-token"]).env("HEROKU_API_KEY", "HRKU-real").output().unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("unset HEROKU_API_KEY") && !said.contains("HRKU-real"), "{said}");
}

#[test]
fn an_evaluated_shell_has_the_same_variables_as_a_program() {
    let platform = platform();
    let exports = text(&platform.run(&["env"]).stdout);
    let shown = |command: &mut Command| {
        let shown = text(&command.output().unwrap().stdout);
        let ours = ["HEROKU", "GIT_CONFIG_", "NODE_", "RENGA", "NO_PROXY", "no_proxy", "DISABLE"];
        let mut lines: Vec<String> = shown
            .lines()
            .filter(|line| ours.iter().any(|name| line.starts_with(name)))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{exports}\nenv")]).env_clear();
    shell.env("PATH", "/usr/bin:/bin").env("GIT_CONFIG_NOSYSTEM", "1");
    let evaluated = shown(&mut shell);
    assert!(evaluated.len() > 15, "{evaluated:#?}");
    assert_eq!(evaluated, shown(&mut platform.renga(&["exec", "--", "env"])));
}

#[test]
fn what_git_was_configured_with_before_stays() {
    let platform = platform();
    let corporate = platform.dir.path().join("corporate.pem");
    fs::write(&corporate, "CORPORATE\n").unwrap();
    let mut command =
        platform.renga(&["exec", "--", "git", "config", "--get-regexp", "^(user.name|http|credential)"]);
    command.envs([
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "user.name"),
        ("GIT_CONFIG_VALUE_0", "me"),
    ]);
    let shown = text(&command.output().unwrap().stdout);
    assert!(shown.starts_with("user.name me\nhttp.https://localhost:44443.sslcainfo "), "{shown}");
    assert!(shown.contains("credential.https://localhost:44443.helper \ncredential"), "{shown}");
    let mut command = platform.renga(&["exec", "--", "sh", "-c", "cat \"$GIT_SSL_CAINFO\""]);
    let merged = text(&command.env("GIT_SSL_CAINFO", &corporate).output().unwrap().stdout);
    assert_eq!(merged, "CORPORATE\nno certificate\n");
}

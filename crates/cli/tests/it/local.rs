//! `local`: real processes, and none of them left behind.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{ChildStdout, Stdio},
};

use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::{Guarded, renga, text, until};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, content)| fs::write(dir.path().join(name), content).unwrap());
    dir
}

fn start(dir: &tempfile::TempDir, args: &[&str]) -> (Guarded, BufReader<ChildStdout>) {
    let mut command = renga(args);
    let mut child = Guarded(command.current_dir(dir.path()).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap());
    (child, lines)
}

/// What a process said, without time and name.
fn said(lines: &mut BufReader<ChildStdout>, name: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "{name} never said it");
        if let Some((head, text)) = line.split_once(" | ")
            && head.contains(name)
        {
            return text.trim_end().to_owned();
        }
    }
}

#[test]
fn processes_have_their_variables_and_ports() {
    let dir = folder(&[
        ("Procfile", "web: echo $PORT $GREETING\nworker: echo $PORT $PS; sleep 30\n"),
        (".env", "GREETING='hi there'\nPORT=6000\n"),
    ]);
    let output = renga(&["local"]).current_dir(dir.path()).output().unwrap();
    let shown = text(&output.stdout);
    let lines: Vec<_> = shown.lines().filter_map(|line| line.split_once(' ')).map(|(_, line)| line).collect();
    assert!(
        lines.contains(&"web.1    | 6000 hi there")
            && lines.contains(&"web.1    | Process exited with status 0"),
        "{shown}"
    );
    assert!(lines.contains(&"worker.1 | Process ended by signal 15"), "{shown}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_first_that_fails_gives_the_code() {
    let dir = folder(&[("Procfile", "web: sleep 30\nbad: exit 9\n")]);
    let output = renga(&["local"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
    let output = renga(&["local", "cron"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("no process type cron"));
}

#[test]
fn an_interrupt_ends_grandchildren_too() {
    // The shell's child ignores the polite signal and outlives the shell.
    let stubborn = "web: sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait\n";
    let dir = folder(&[("Procfile", stubborn)]);
    let (mut child, mut lines) = start(&dir, &["local"]);
    let grandchild = Pid::from_raw(said(&mut lines, "web.1").parse().unwrap()).unwrap();
    assert!(test_kill_process(grandchild).is_ok());
    child.signal(Signal::INT);
    assert_eq!(said(&mut lines, "renga"), "Stopping all processes with SIGTERM");
    assert_eq!(child.code(), Some(130));
    until("the grandchild is gone", || test_kill_process(grandchild).is_err().then_some(()));
}

#[test]
fn asking_twice_does_not_wait() {
    let dir = folder(&[("Procfile", "web: trap '' TERM; echo ready; while :; do sleep 1; done\n")]);
    let (mut child, mut lines) = start(&dir, &["local"]);
    assert_eq!(said(&mut lines, "web.1"), "ready");
    child.signal(Signal::TERM);
    assert_eq!(said(&mut lines, "renga"), "Stopping all processes with SIGTERM");
    child.signal(Signal::TERM);
    assert_eq!(said(&mut lines, "web.1"), "Process ended by signal 9");
    assert_eq!(child.code(), Some(130));
}

#[test]
fn one_command_gets_the_same_variables() {
    let dir = folder(&[(".env.test", "A=1\n"), (".env", "A=0\nB=2\n")]);
    let run = |args: &[&str]| renga(args).current_dir(dir.path()).output().unwrap();
    assert_eq!(text(&run(&["local:run", "echo $A $B $PORT"]).stdout), "0 2 5000\n");
    assert_eq!(
        text(
            &run(&["local:run", "-e", ".env,.env.test", "-p", "7", "--", "sh", "-c", "echo $A $B $PORT"])
                .stdout
        ),
        "1 2 7\n"
    );
    assert_eq!(run(&["local:run", "exit 5"]).status.code(), Some(5));
    let output = run(&["local:run", "-e", "nowhere", "true"]);
    assert!(text(&output.stderr).contains("Could not read the environment file nowhere"));
    let output = run(&["local"]);
    assert!(text(&output.stderr).contains("Could not read the Procfile"), "{}", text(&output.stderr));
}

//! From start to exit.

use std::{fs, io::Write, process::Command, time::Duration};

use renga_model::ExitReason;
use renga_supervision::{Control, ControlAnswer, StartAnswer};

use crate::harness::{Dyno, alive, eventually, kill};

#[test]
fn real_exit_codes_are_handed_out() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("true", 0), ("exec /nowhere", 127)] {
        let (exit, _) = Dyno::bash(script).outcome();
        assert_eq!((exit.code, exit.reason), (code, ExitReason::Exited), "{script}");
    }
}

#[test]
fn real_a_missing_program_is_127_and_a_plain_file_126() {
    let (exit, lines) = Dyno::new(&["no-such-program"]).outcome();
    assert_eq!(exit.code, 127);
    assert!(lines[0].contains("no-such-program"), "{lines:?}");
    assert_eq!(Dyno::new(&["/etc/passwd"]).outcome().0.code, 126);
}

#[test]
fn real_nothing_is_left_but_the_dynos_directory() {
    let dyno = Dyno::bash("echo done").start();
    dyno.wait_exit();
    eventually("the supervisor's end", || {
        (!alive(dyno.state.as_ref().unwrap().supervisor_pid)).then_some(())
    });
    assert_eq!(dyno.cgroups("app"), Vec::<std::path::PathBuf>::new());
    let mut names: Vec<_> =
        fs::read_dir(&dyno.spec.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["control.sock", "exec.sock", "exit.json", "log", "state.json", "supervisor.log"]);
    assert_eq!(dyno.supervisor_log(), "");
}

#[test]
fn real_too_much_memory_ends_the_dyno_and_says_so() {
    let mut dyno = Dyno::python("x = bytearray(200 << 20)");
    dyno.spec.memory_hard_bytes = 64 << 20;
    let (exit, _) = dyno.outcome();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OutOfMemory));
    let peak = exit.memory_peak_bytes.unwrap();
    assert!((63 << 20..=64 << 20).contains(&peak), "{peak}");
}

#[test]
fn real_a_worker_out_of_memory_takes_the_whole_dyno_down() {
    let mut dyno = Dyno::bash("python3 -c 'x = bytearray(200 << 20)'; sleep 100");
    dyno.spec.memory_hard_bytes = 64 << 20;
    let (exit, _) = dyno.outcome();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OutOfMemory));
}

#[test]
fn real_sigterm_reaches_every_process_and_the_last_one_is_waited_for() {
    let child = "trap \"sleep 0.3; echo child; exit 0\" TERM; echo ready; while :; do sleep 0.05; done";
    let dyno =
        Dyno::bash(&format!("trap 'echo main; exit 3' TERM; bash -c '{child}' & wait; sleep 9")).start();
    dyno.wait_line("ready");
    dyno.stop(10_000);
    let exit = dyno.wait_exit();
    assert_eq!((exit.code, exit.reason), (3, ExitReason::Exited));
    let lines = dyno.lines();
    assert!(lines.contains(&"main".into()) && lines.contains(&"child".into()), "{lines:?}");
}

#[test]
fn real_a_command_that_does_not_mind_gets_143() {
    let dyno = Dyno::bash("echo ready; exec sleep 100").start();
    dyno.wait_line("ready");
    dyno.stop(10_000);
    let exit = dyno.wait_exit();
    assert_eq!((exit.code, exit.reason), (143, ExitReason::Exited));
}

#[test]
fn real_ignoring_sigterm_ends_in_sigkill_after_the_grace() {
    let dyno = Dyno::bash("trap '' TERM; echo ready; while :; do sleep 1; done").start();
    dyno.wait_line("ready");
    let status = |dyno: &Dyno| dyno.control(&Control::Status);
    assert_eq!(status(&dyno), ControlAnswer::Status { stopping: false, attached: false });
    let asked = std::time::Instant::now();
    dyno.stop(400);
    assert_eq!(status(&dyno), ControlAnswer::Status { stopping: true, attached: false });
    let exit = dyno.wait_exit();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::GraceOver));
    assert!(asked.elapsed() >= Duration::from_millis(400));
}

#[test]
fn real_asking_again_with_less_grace_shortens_it() {
    let dyno = Dyno::bash("trap '' TERM; echo ready; while :; do sleep 1; done").start();
    dyno.wait_line("ready");
    dyno.stop(3_600_000);
    dyno.stop(0);
    let exit = dyno.wait_exit();
    assert_eq!((exit.code, exit.reason), (137, ExitReason::Exited));
}

#[test]
fn real_a_stop_at_the_very_start_is_not_lost() {
    for _ in 0..10 {
        let dyno = Dyno::new(&["sleep", "100"]).start();
        dyno.stop(15_000);
        let exit = dyno.wait_exit();
        assert_eq!((exit.code, exit.reason), (143, ExitReason::Exited));
    }
}

#[test]
fn real_the_time_to_live_stops_it() {
    let mut dyno = Dyno::bash("exec sleep 100");
    dyno.spec.time_to_live = Some(Duration::from_millis(200));
    let (exit, _) = dyno.outcome();
    assert_eq!((exit.code, exit.reason), (143, ExitReason::Exited));
}

#[test]
fn real_the_supervisor_survives_whoever_started_it() {
    let mut dyno = Dyno::bash("while :; do echo tick; sleep 0.05; done");
    let spec = dyno.temp().join("spec.json");
    fs::File::create(&spec).unwrap().write_all(&serde_json::to_vec(&dyno.spec).unwrap()).unwrap();
    let script = format!("{} < {} ; sleep 100", env!("CARGO_BIN_EXE_renga-dyno"), spec.display());
    let mut starter = Command::new("setsid").args(["bash", "-c", &script]).spawn().unwrap();
    let state = eventually("the start", || dyno.files().read_state().unwrap());
    dyno.state = Some(state.clone());
    dyno.wait_line("tick");
    let stat = fs::read_to_string(format!("/proc/{}/stat", state.supervisor_pid)).unwrap();
    let session: u32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap();
    assert_ne!(session, starter.id());
    for signal in [libc::SIGHUP, libc::SIGTERM, libc::SIGINT] {
        kill(state.supervisor_pid, signal);
    }
    kill(-i32::try_from(starter.id()).unwrap(), libc::SIGKILL);
    starter.wait().unwrap();
    let before = dyno.lines().len();
    eventually("more output", || (dyno.lines().len() > before + 3).then_some(()));
    dyno.stop(5_000);
    assert_eq!(dyno.wait_exit().code, 143);
}

#[test]
fn real_no_dyno_runs_without_its_supervisor() {
    let dyno = Dyno::bash("trap '' HUP TERM; echo ready; while :; do sleep 1; done").start();
    dyno.wait_line("ready");
    let state = dyno.state.clone().unwrap();
    kill(state.supervisor_pid, libc::SIGKILL);
    eventually("the init's end", || (!alive(state.init_pid)).then_some(()));
    assert_eq!(dyno.files().read_exit().unwrap(), None);
}

#[test]
fn real_what_can_not_start_says_why_and_leaves_nothing() {
    type Spoil = fn(&mut Dyno);
    let cases: [(Spoil, &str); 5] = [
        (|dyno| dyno.spec.netns = "/nowhere".into(), "/nowhere"),
        (|dyno| dyno.spec.version = 99, "version 99"),
        (|dyno| dyno.spec.cwd = "/nowhere".into(), "no folder /nowhere"),
        (|dyno| dyno.spec.argv.clear(), "no command"),
        (|dyno| dyno.spec.cgroup = "../x".into(), "cgroup"),
    ];
    for (spoil, expected) in cases {
        let mut dyno = Dyno::bash("true");
        spoil(&mut dyno);
        let StartAnswer::Failed(why) = dyno.try_start() else { panic!("it started: {expected}") };
        assert!(why.contains(expected), "{why}");
        assert!(!dyno.spec.directory.join("runtime").exists());
        assert!(!dyno.spec.cgroup.starts_with("renga") || dyno.cgroups("app").is_empty());
    }
}

#[test]
fn real_a_folder_that_the_dynos_root_can_not_pass_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let mut dyno = Dyno::bash("true");
    fs::set_permissions(dyno.temp(), fs::Permissions::from_mode(0o700)).unwrap();
    let StartAnswer::Failed(why) = dyno.try_start() else { panic!("it started") };
    assert!(why.contains(&dyno.temp().display().to_string()) && why.contains("o+x"), "{why}");
}

//! Clients of `attach.sock`.

use std::{
    io::Read,
    os::unix::{fs::MetadataExt, net::UnixStream},
    time::Duration,
};

use renga_supervision::{Control, ControlAnswer, InputFrame};

use crate::harness::{Dyno, eventually};

#[test]
fn real_pipes_carry_input_output_its_end_and_the_code() {
    let dyno = Dyno::bash("echo hello; echo error >&2; cat; echo bye; exit 9").attached(None).start();
    let socket = std::fs::metadata(dyno.files().attach()).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (12_345, 0o600));
    let mut client = dyno.client();
    client.expect("hello\nerror\n");
    client.type_in("echo this\n");
    client.expect("echo this\n");
    assert_eq!(dyno.control(&Control::Status), ControlAnswer::Status { stopping: false, attached: true });
    client.send(&InputFrame::Eof);
    assert_eq!(client.finish(), ("bye\n".into(), Some(9)));
    assert_eq!(dyno.wait_exit().code, 9);
}

#[test]
fn real_a_terminal_echoes_resizes_interrupts_and_ends() {
    let dyno = Dyno::new(&["bash", "--norc", "-i"]).attached(Some((100, 30)));
    let mut dyno = dyno;
    dyno.spec.env.insert("PS1".into(), renga_model::Secret::new("READY> "));
    dyno.spec.env.insert("TERM".into(), renga_model::Secret::new("dumb"));
    let dyno = dyno.start();
    let mut client = dyno.client();
    client.expect("READY> ");
    client.type_in("stty size; tty; test -w $(tty) && echo own''ed\n");
    client.expect("30 100\r\n");
    client.expect("/dev/pts/0\r\n");
    client.expect("owned\r\n");
    client.type_in("trap 'echo winch $(stty size)' WINCH; sleep 0.2; echo tra''pped\n");
    client.expect("trapped\r\n");
    client.send(&InputFrame::Resize { columns: 132, rows: 43 });
    client.type_in("\n");
    client.expect("winch 43 132");
    // Each program says itself that it is in the foreground.
    let program = "bash -c 'echo run\"\"ning; exec sleep 100'\n";
    client.type_in(program);
    client.expect("running\r\n");
    client.type_in("\u{3}");
    client.expect("READY> ");
    client.type_in(program);
    client.expect("running\r\n");
    client.send(&InputFrame::Signal(libc::SIGINT));
    client.expect("READY> ");
    client.type_in("(exit 12)\n");
    client.expect("READY> ");
    client.send(&InputFrame::Eof);
    let (rest, code) = client.finish();
    assert_eq!(code, Some(12), "{rest}");
    assert_eq!(dyno.wait_exit().code, 12);
}

#[test]
fn real_job_control_works() {
    let mut dyno = Dyno::new(&["bash", "--norc", "-i"]).attached(Some((80, 24)));
    dyno.spec.env.insert("PS1".into(), renga_model::Secret::new("READY> "));
    let dyno = dyno.start();
    let mut client = dyno.client();
    let first = client.expect("READY> ");
    assert!(!first.contains("no job control"), "{first}");
    client.type_in("exit\n");
    assert_eq!(client.finish().1, Some(0));
}

#[test]
fn real_all_output_waits_for_a_client_that_comes_late() {
    let dyno = Dyno::bash("seq 1 5000; exit 3").attached(None).start();
    eventually("the end of the init", || {
        (!crate::harness::alive(dyno.state.as_ref().unwrap().init_pid)).then_some(())
    });
    assert_eq!(dyno.files().read_exit().unwrap(), None);
    let (output, code) = dyno.client().finish();
    assert_eq!(code, Some(3));
    assert_eq!(output, (1..=5000).map(|number| format!("{number}\n")).collect::<String>());
    assert_eq!(dyno.wait_exit().code, 3);
}

#[test]
fn real_a_slow_client_slows_the_dyno_and_gets_everything() {
    let dyno = Dyno::python("for i in range(300000): print(i)").attached(None).start();
    let mut client = dyno.client();
    client.expect("1000\n");
    std::thread::yield_now();
    let (output, code) = client.finish();
    assert_eq!(code, Some(0));
    assert!(output.ends_with("299998\n299999\n"));
    assert_eq!(output.lines().count(), 300_000 - 1001);
}

#[test]
fn real_a_terminal_dyno_that_ends_alone_keeps_its_output_too() {
    let dyno = Dyno::bash("echo last words; exit 4").attached(Some((80, 24))).start();
    let (output, code) = dyno.client().finish();
    assert_eq!((output.as_str(), code), ("last words\r\n", Some(4)));
}

#[test]
fn real_nobody_came_and_somebody_wants_it_gone() {
    let dyno = Dyno::bash("echo unheard; exit 2").attached(None).start();
    eventually("the end of the init", || {
        (!crate::harness::alive(dyno.state.as_ref().unwrap().init_pid)).then_some(())
    });
    dyno.stop(0);
    assert_eq!(dyno.wait_exit().code, 2);
}

#[test]
fn real_a_second_client_is_turned_away_and_a_later_one_served() {
    let dyno =
        Dyno::bash("trap 'echo hup' HUP; echo up; while :; do sleep 0.05; done").attached(None).start();
    let mut first = dyno.client();
    first.expect("up\n");
    let mut second = UnixStream::connect(dyno.files().attach()).unwrap();
    assert_eq!(second.read(&mut [0; 8]).unwrap(), 0, "closed at once");
    drop(first);
    eventually("the hangup to be noticed", || {
        let status = dyno.control(&Control::Status);
        (status == ControlAnswer::Status { stopping: false, attached: false }).then_some(())
    });
    let mut third = dyno.client();
    third.send(&InputFrame::Signal(libc::SIGHUP));
    third.expect("hup\n");
    dyno.stop(0);
    assert_eq!(third.finish().1, Some(137));
}

#[test]
fn real_a_client_that_goes_hangs_up_on_all_processes() {
    let dyno = Dyno::bash("sleep 1000 & echo up; wait; sleep 1000").attached(None).start();
    let mut client = dyno.client();
    client.expect("up\n");
    drop(client);
    assert_eq!(dyno.wait_exit().code, 129, "128 + SIGHUP");
}

#[test]
fn real_who_minds_no_hangup_is_asked_three_times_and_goes_on() {
    let script =
        "hups=0; trap 'hups=$((hups+1)); echo $hups >hups' HUP; echo up; while :; do sleep 0.01; done";
    let mut dyno = Dyno::bash(script).attached(None);
    dyno.spec.hangup_interval = Some(Duration::from_millis(250));
    let dyno = dyno.start();
    let mut client = dyno.client();
    client.expect("up\n");
    drop(client);
    let hups = || std::fs::read_to_string(dyno.app_file("hups")).unwrap_or_default();
    eventually("the third hangup", || (hups() == "3\n").then_some(()));
    // A fourth would have come by then.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(hups(), "3\n");
    assert_eq!(dyno.files().read_exit().unwrap(), None, "it runs");
    dyno.stop(0);
    assert_eq!(dyno.wait_exit().code, 137);
}

#[test]
fn real_nonsense_on_the_socket_is_a_hangup() {
    use std::io::Write;
    let dyno = Dyno::bash("echo up; sleep 1000").attached(None).start();
    let mut client = dyno.client();
    client.expect("up\n");
    client.socket.write_all(&[0xff; 64]).unwrap();
    assert_eq!(dyno.wait_exit().code, 129);
    assert!(dyno.supervisor_log().contains("nonsense"));
}

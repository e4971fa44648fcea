//! Processes inside a dyno that runs.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use renga_supervision::InputFrame;

use crate::harness::{Dyno, eventually};

const SLEEPER: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done";

fn sleeper() -> Dyno {
    let dyno = Dyno::bash(SLEEPER).start();
    dyno.wait_line("ready");
    dyno
}

/// What tells a process's rights and place, one line each.
const WHO: &str = "id -u; id -G; grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; \
                   for n in user mnt pid ipc uts net cgroup; do readlink /proc/self/ns/$n; done; \
                   cat /proc/self/cgroup; ulimit -a; pwd";

#[test]
fn real_it_is_what_the_command_is() {
    let file = "/tmp/who";
    let mut dyno = Dyno::bash(&format!("({WHO}) >{file}; echo $A; {SLEEPER}"));
    dyno.spec.env.insert("A".into(), renga_model::Secret::new("1"));
    let dyno = dyno.start();
    eventually("the command's account", || {
        std::fs::read_to_string(dyno.spec.rootfs.join("tmp/who")).ok().filter(|text| text.ends_with("/app\n"))
    });
    let (said, code) = dyno
        .exec(&format!("diff <({WHO}) {file} && echo the same; echo $A $ADDED $HOME; exit 7"), None)
        .finish();
    assert_eq!((said.as_str(), code), ("the same\n1 too /over\n", Some(7)));
    let mut client = dyno.exec("cat; echo bye", None);
    client.type_in("through\n");
    client.expect("through\n");
    client.send(&InputFrame::Eof);
    assert_eq!(client.finish(), ("bye\n".into(), Some(0)));
    dyno.stop(5_000);
    assert_eq!(dyno.wait_exit().code, 0);
}

#[test]
fn real_it_has_no_descriptor_of_ours_and_cannot_look_into_the_init() {
    let dyno = sleeper();
    for tty in [None, Some((80, 24))] {
        let (said, code) =
            dyno.exec("ls /proc/self/fd | sort -n | tr '\\n' ' '; echo; ls -l /proc/self/fd/2", tty).finish();
        assert_eq!(code, Some(0), "{said}");
        // The fourth is the folder that ls reads.
        assert!(said.starts_with("0 1 2 3 "), "{said}");
        assert!(said.contains(if tty.is_some() { "/dev/pts/" } else { "pipe:" }), "{said}");
    }
    for secret in ["/proc/1/mem", "/proc/1/environ", "/proc/1/fd/3", "/proc/1/maps"] {
        let (said, code) = dyno.exec(&format!("head -c 1 {secret}; exit ${{PIPESTATUS[0]}}"), None).finish();
        assert_ne!(code, Some(0), "{secret}: {said}");
        assert!(said.contains("Permission denied"), "{secret}: {said}");
    }
    dyno.stop(0);
    dyno.wait_exit();
}

#[test]
fn real_a_terminal_inside_resizes_interrupts_and_ends() {
    let dyno = sleeper();
    let mut client = dyno.exec("exec bash --norc -i", Some((100, 30)));
    client.type_in("PS1=''REA''DY; stty size; test -w $(tty) && echo own''ed\n");
    client.expect("30 100\r\n");
    client.expect("owned\r\n");
    client.send(&InputFrame::Resize { columns: 132, rows: 43 });
    client.type_in("stty size; echo now''here\n");
    client.expect("43 132\r\n");
    client.expect("nowhere");
    client.type_in("bash -c 'echo run\"\"ning; exec sleep 100'\n");
    client.expect("running\r\n");
    client.type_in("\u{3}");
    client.expect("READY");
    client.type_in("exit 12\n");
    assert_eq!(client.finish().1, Some(12));
    dyno.stop(0);
    dyno.wait_exit();
}

#[test]
fn real_it_ends_with_its_client() {
    let dyno = sleeper();
    // No command line of this look has the number in it.
    let look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q 'sleep 471[1]'";
    let alive = || dyno.exec(look, None).finish().1 == Some(0);
    for tty in [None, Some((80, 24))] {
        let mut client = dyno.exec("echo up; exec sleep 4711", tty);
        client.expect("up");
        eventually("it to sleep", || alive().then_some(()));
        drop(client);
        eventually("it to end", || (!alive()).then_some(()));
    }
    dyno.stop(0);
    dyno.wait_exit();
}

#[test]
fn real_it_ends_with_the_dyno_and_does_not_hold_it_up() {
    let dyno = sleeper();
    let mut stubborn = dyno.exec("trap '' TERM HUP INT; echo up; while :; do sleep 0.02; done", None);
    stubborn.expect("up\n");
    let mut shell = dyno.exec("exec bash --norc -i", Some((80, 24)));
    shell.type_in("echo he''re\n");
    shell.expect("here");
    let begun = std::time::Instant::now();
    dyno.stop(15_000);
    assert_eq!(dyno.wait_exit().code, 0);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    // Their code, or none: the dyno's end was quicker.
    stubborn.finish();
    shell.finish();
}

#[test]
fn real_what_cannot_be_run_says_so_and_nonsense_is_cut_off() {
    let dyno = sleeper();
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x05\0\0\0\x05junk", b"\x02\0\0\0\x01x", b""] {
        let mut socket = UnixStream::connect(dyno.files().exec()).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(socket.read(&mut [0; 8]).unwrap(), 0, "{bytes:?}");
    }
    let (said, code) = dyno.exec("exec no-such-program", None).finish();
    assert_eq!(code, Some(127), "{said}");
    // The seventeenth is one too many.
    let sessions: Vec<_> = (0..16)
        .map(|_| {
            let mut client = dyno.exec("echo up; cat", None);
            client.expect("up\n");
            client
        })
        .collect();
    let mut one_more = UnixStream::connect(dyno.files().exec()).unwrap();
    assert_eq!(one_more.read(&mut [0; 8]).unwrap(), 0);
    drop(sessions);
    eventually("room", || dyno.exec_or_nothing("echo again").contains("again").then_some(()));
    assert_eq!(dyno.files().read_exit().unwrap(), None);
    dyno.stop(0);
    dyno.wait_exit();
}

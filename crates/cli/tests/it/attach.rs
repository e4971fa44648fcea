//! `run` at the other end of a real rendezvous, with pipes and with a terminal.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::fd::OwnedFd,
    process::Stdio,
    sync::mpsc,
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::json;

use crate::harness::{Authority, Guarded, Platform, TlsStream, accept_tls, dyno, ok, read_line, text, until};

/// A platform whose dyno is played by `process`, which gets what came before the greeting: the secret.
fn platform(process: impl FnOnce(TcpListener, Authority) + Send + 'static) -> Platform {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let attach_url = format!("rendezvous://localhost:{}/SECRET", listener.local_addr().unwrap().port());
    let platform = Platform::new(move |request| match request.method.as_str() {
        "POST" => ok(&dyno("run.1", "starting", Some(&attach_url))),
        _ => ok(&json!([])),
    });
    let authority = Authority::new();
    fs::write(platform.dir.path().join("ca.pem"), &authority.pem).unwrap();
    thread::spawn(move || process(listener, authority));
    platform
}

fn greeted(listener: &TcpListener, authority: &Authority) -> TlsStream {
    let mut stream = accept_tls(listener, &authority.config);
    assert_eq!(read_line(&mut stream), "SECRET");
    send(&mut stream, b"rendezvous\r\n");
    stream
}

/// A record of its own.
fn send(stream: &mut TlsStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
}

const STATUS: &str = "\u{FFFF} heroku-command-exit-status: 42\n";

#[test]
fn a_ca_that_is_not_trusted_is_named_with_what_to_set() {
    // The authority of a platform before this one, and a stranger.
    let mut stranger = rcgen::CertificateParams::new(Vec::new()).unwrap();
    stranger.distinguished_name.push(rcgen::DnType::CommonName, "A stranger");
    let stranger = stranger.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    for trusted in [Authority::new().pem, stranger.pem()] {
        let platform = platform(|listener, authority| {
            // The client leaves in the middle of the handshake.
            drop(accept_tls(&listener, &authority.config).read(&mut [0]));
        });
        fs::write(platform.dir.path().join("ca.pem"), trusted).unwrap();
        let output = platform.renga(&["run", "-a", "times", "--", "true"]).output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("is signed by a CA that is not trusted"), "{said}");
        assert!(said.contains("RENGA_CA=FILE") && !said.contains("invalid peer"), "{said}");
    }
}

#[test]
fn bytes_go_both_ways_and_the_exit_code_comes_back() {
    let platform = platform(|listener, authority| {
        let mut stream = greeted(&listener, &authority);
        let mut input = Vec::new();
        while input.last() != Some(&0x04) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            input.push(byte[0]);
        }
        input.pop();
        send(&mut stream, &input);
        // The line may come in pieces.
        STATUS.as_bytes().chunks(5).for_each(|piece| send(&mut stream, piece));
    });
    let mut child = platform.renga(&["run", "-a", "times", "--", "cat", "two words"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent: Vec<u8> = (0..200_000u32).map(|n| [b'a', b'\r', b'\n', 0xC3][n as usize % 4]).collect();
    child.stdin.take().unwrap().write_all(&sent).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    assert!(output.stdout == sent, "{} of {} bytes", output.stdout.len(), sent.len());
    assert_eq!(text(&output.stderr), "Running cat \"two words\" on ⬢ times... up, run.1 (Basic)\n");
    let asked = platform.requests().into_iter().find(|request| request.method == "POST").unwrap().body;
    assert_eq!((&asked["attach"], &asked["force_no_tty"]), (&json!(true), &json!(true)));
    let command = asked["command"].as_str().unwrap();
    assert_eq!(command, "( cat \"two words\" ) ; echo \"\u{FFFF} heroku-command-exit-status: $?\"");
}

#[test]
fn what_comes_with_the_greeting_is_not_lost_and_an_end_without_a_code_is_told() {
    let platform = platform(|listener, authority| {
        let mut stream = accept_tls(&listener, &authority.config);
        read_line(&mut stream);
        send(&mut stream, b"rendezvous\r\nearly");
        send(&mut stream, b" and late");
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    let output = platform.run(&["run", "-a", "times", "--no-tty", "true"]);
    assert_eq!(text(&output.stdout), "early and late");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("run.1 was stopped"), "{}", text(&output.stderr));
}

#[test]
fn a_stranger_is_not_talked_to() {
    let platform = platform(|listener, _| {
        let other = Authority::new();
        let mut stream = accept_tls(&listener, &other.config);
        let mut byte = [0];
        assert!(stream.read_exact(&mut byte).is_err(), "the secret was told");
    });
    let output = platform.run(&["run", "-a", "times", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("Could not attach to run.1"), "{}", text(&output.stderr));
}

// === terminals ===

struct Terminal {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let terminal = Self { ours, theirs };
        terminal.resize(100, 30);
        terminal
    }

    fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(&self.theirs, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();
    }

    /// Flags that raw mode changes; how the terminal works otherwise is not ours.
    fn modes(&self) -> (u32, u32) {
        let modes = tcgetattr(&self.theirs).unwrap();
        (modes.local_modes.bits(), modes.output_modes.bits())
    }

    fn run(&self, platform: &Platform, args: &[&str]) -> Guarded {
        let mut command = platform.renga(args);
        let end = || Stdio::from(self.theirs.try_clone().unwrap());
        Guarded(
            command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(Stdio::null()).spawn().unwrap(),
        )
    }

    fn type_in(&self, keys: &[u8]) {
        rustix::io::write(&self.ours, keys).unwrap();
    }
}

#[test]
fn a_terminal_is_raw_meanwhile_and_as_before_afterwards() {
    let (seen, sees) = mpsc::channel();
    let platform = platform(move |listener, authority| {
        let mut stream = greeted(&listener, &authority);
        // Ctrl-C is a key like any other.
        let mut keys = [0; 3];
        stream.read_exact(&mut keys).unwrap();
        seen.send(keys).unwrap();
        send(&mut stream, STATUS.as_bytes());
    });
    let terminal = Terminal::new();
    let before = terminal.modes();
    let mut child = terminal.run(&platform, &["run", "-a", "times", "bash"]);
    until("raw mode", || (terminal.modes() != before).then_some(()));
    terminal.type_in(b"a\x03b");
    assert_eq!(&sees.recv_timeout(crate::harness::DEADLINE).unwrap(), b"a\x03b");
    assert_eq!(child.code(), Some(42));
    assert_eq!(terminal.modes(), before);
    let asked = platform.requests().into_iter().find(|request| request.method == "POST").unwrap().body;
    assert_eq!(asked["env"], json!({ "TERM": "xterm", "COLUMNS": 100, "LINES": 30 }));
    assert_eq!(asked["force_no_tty"], json!(null));
}

#[test]
fn signals_and_impatience_leave_the_terminal_in_order() {
    for impatient in [false, true] {
        let platform = platform(|listener, authority| {
            let mut stream = greeted(&listener, &authority);
            // Never says a word; ends when the client has gone.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
        });
        let terminal = Terminal::new();
        let before = terminal.modes();
        let mut child = terminal.run(&platform, &["run", "-a", "times", "bash"]);
        until("raw mode", || (terminal.modes() != before).then_some(()));
        if impatient {
            let code = until("four interrupts are enough", || {
                terminal.type_in(b"\x03");
                child.0.try_wait().unwrap()
            });
            assert_eq!(code.code(), Some(130));
        } else {
            child.signal(Signal::TERM);
            assert_eq!(child.code(), Some(143));
        }
        assert_eq!(terminal.modes(), before);
    }
}

#[test]
fn a_window_that_changes_is_told_of() {
    let (seen, sees) = mpsc::channel();
    let platform = platform(move |listener, authority| {
        let mut session = greeted(&listener, &authority);
        let mut window = accept_tls(&listener, &authority.config);
        assert_eq!(read_line(&mut window), "SECRET/window");
        send(&mut window, b"window\r\n");
        seen.send(read_line(&mut window)).unwrap();
        send(&mut session, STATUS.as_bytes());
    });
    let terminal = Terminal::new();
    let before = terminal.modes();
    let mut child = terminal.run(&platform, &["run", "-a", "times", "bash"]);
    until("raw mode", || (terminal.modes() != before).then_some(()));
    terminal.resize(77, 22);
    // The terminal does not control the process here, so the kernel does not tell it.
    let told = until("the size is told", || {
        if child.0.try_wait().unwrap().is_none() {
            child.signal(Signal::WINCH);
        }
        sees.try_recv().ok()
    });
    assert_eq!(told, "77 22");
    assert_eq!(child.code(), Some(42));
}

//! Measures how long an app takes to boot, beside it in the same dyno: `boot COMMAND [ARGUMENT...]` starts the command,
//! asks `$PORT` until it answers 200, prints the time between the two, and ends both.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// Longer than any app of the benches.
const BOOT_MAX: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a number");
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let started = Instant::now();
    let mut app = Command::new(&words[0]).args(&words[1..]).spawn().expect("the command starts");
    while !answers(port) {
        assert!(started.elapsed() < BOOT_MAX, "no 200 within {BOOT_MAX:?}");
        sleep(PAUSE);
    }
    println!("boot-ms={}", started.elapsed().as_millis());
    app.kill().expect("the app runs");
    app.wait().expect("the app has ended");
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")?;
        let mut head = vec![0; 12];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    ask().is_ok_and(|head| head.ends_with(b" 200"))
}

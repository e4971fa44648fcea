//! Clients of the router bench, on plain connections:
//!
//! * `clients rate HOST:PORT NAME PATH RATE SECONDS CONNECTIONS` asks RATE times a second, whether or not answers come,
//!   and prints `COUNT P50_US P99_US MAX_US`. A request that waits for its connection has begun when it was due.
//! * `clients connect HOST:PORT NAME SECONDS CONNECTIONS` makes a connection for each request, and prints their number.
//! * `clients echo HOST:PORT NAME SECONDS CONNECTIONS` upgrades, and sends and receives small frames in turns; printed is
//!   the number of those that came back.
//!
//! NAME is the `Host`. Anything but the expected answer ends it all.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    process::exit,
    thread,
    time::{Duration, Instant},
};

/// Heads and bodies of the bench's small answers fit in here.
const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// A masked text frame of 32 bytes, and as many of them as `echo` needs: one.
const FRAME: &[u8; 38] = b"\x81\xa0\x00\x00\x00\x0001234567890123456789012345678901";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["rate", address, name, path, rate, seconds, connections] => {
            let (count, seconds) = (number(connections), number(seconds));
            let pause = Duration::from_secs(1) * count / number(rate);
            let begin = Instant::now() + Duration::from_millis(50);
            let end = begin + Duration::from_secs(seconds.into());
            let request = get(name, path, "");
            let spread = |client: u32| begin + pause * client / count;
            report(each(count, |client| paced(address, &request, spread(client), pause, end)));
        }
        ["connect", address, name, seconds, connections] => {
            let end = Instant::now() + Duration::from_secs(number(seconds).into());
            let request = get(name, "/", "Connection: close\r\n");
            println!("{}", each(number(connections), |_| fresh(address, &request, end)).iter().sum::<u64>());
        }
        ["echo", address, name, seconds, connections] => {
            let end = Instant::now() + Duration::from_secs(number(seconds).into());
            let request = get(
                name,
                "/echo",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            );
            println!("{}", each(number(connections), |_| upgraded(address, &request, end)).iter().sum::<u64>());
        }
        _ => fail("usage: see the head of clients.rs"),
    }
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(1)
}

fn number(word: &str) -> u32 {
    word.parse().ok().filter(|number| *number > 0).unwrap_or_else(|| fail(&format!("no number: {word}")))
}

fn get(name: &str, path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n{more}\r\n")
}

/// A thread for each of `count` clients.
fn each<T: Send>(count: u32, client: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let client = &client;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..count).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| exit(1))).collect()
    })
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| fail(&format!("{address}: {error}")));
    stream.set_nodelay(true).unwrap_or_else(|error| fail(&error.to_string()));
    stream
}

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_else(|error| fail(&error.to_string()));
}

/// Reads a head, and the bytes of its `Content-Length`. Answers come one at a time, so nothing follows them.
fn answer(stream: &mut TcpStream, status: &str) {
    let (mut buffer, mut filled) = ([0; ANSWER_BYTES_MAX], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(count @ 1..) => filled += count,
            _ => fail(&format!("cut short: {}", String::from_utf8_lossy(&buffer[..filled]))),
        }
        let Some(head) = buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        if text.split(' ').nth(1) != Some(status) {
            fail(&text);
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if filled >= head + 4 + length.map_or(0, |length| length.parse().unwrap_or(usize::MAX)) {
            return;
        }
    }
}

/// Microseconds of every request.
fn paced(address: &str, request: &str, first: Instant, pause: Duration, end: Instant) -> Vec<u128> {
    let (mut stream, mut micros, mut due) = (connect(address), Vec::new(), first);
    while due < end {
        let early = due.saturating_duration_since(Instant::now());
        thread::sleep(early);
        // Waking late is this program's own doing; being late because the last answer was is not.
        let begin = if early.is_zero() { due } else { Instant::now() };
        send(&mut stream, request.as_bytes());
        answer(&mut stream, "200");
        micros.push(begin.elapsed().as_micros());
        due += pause;
    }
    micros
}

fn fresh(address: &str, request: &str, end: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        let mut stream = connect(address);
        send(&mut stream, request.as_bytes());
        answer(&mut stream, "200");
        count += 1;
        // The server closes first, so that it, not this side, keeps the port for a while.
        if !matches!(stream.read(&mut [0]), Ok(0)) {
            fail("bytes after the answer");
        }
    }
    count
}

fn upgraded(address: &str, request: &str, end: Instant) -> u64 {
    let (mut stream, mut count, mut frame) = (connect(address), 0, [0; FRAME.len()]);
    send(&mut stream, request.as_bytes());
    answer(&mut stream, "101");
    while Instant::now() < end {
        send(&mut stream, FRAME);
        if stream.read_exact(&mut frame).is_err() || frame != *FRAME {
            fail("a frame did not come back");
        }
        count += 1;
    }
    count
}

fn report(micros: Vec<Vec<u128>>) {
    let mut micros = micros.concat();
    micros.sort_unstable();
    let at = |part: usize| micros[(micros.len() * part / 100).min(micros.len() - 1)];
    println!("{} {} {} {}", micros.len(), at(50), at(99), at(100));
}

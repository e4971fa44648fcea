//! `load HOST:PORT TOKENS PLAN`: asks what the plan says and tells how long the answers took.
//!
//! A line of the plan is `CLIENT<tab>KIND<tab>METHOD<tab>PATH<tab>BODY`. Each client asks its lines one after another, on
//! one connection, with its line of the file of tokens; all begin together. Printed is a line per kind: `KIND COUNT
//! P50_US P99_US MAX_US BYTES`, and at the end `seconds N`. A status of 300 or more ends it all.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::exit,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

struct Ask {
    kind: String,
    request: Vec<u8>,
}

struct Told {
    kind: String,
    micros: u128,
    bytes: usize,
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [host, tokens, plan] = &words[..] else { fail("usage: load HOST:PORT TOKENS PLAN") };
    let tokens: Vec<String> = read(tokens).lines().map(str::to_owned).collect();
    let mut asks: BTreeMap<usize, Vec<Ask>> = BTreeMap::new();
    for line in read(plan).lines() {
        let parts: Vec<&str> = line.splitn(5, '\t').collect();
        let [client, kind, method, path, body] = parts[..] else { fail(&format!("no line of a plan: {line}")) };
        let client: usize = client.parse().unwrap_or_else(|_| fail(line));
        let request = request(host, &tokens[client % tokens.len()], method, path, body);
        asks.entry(client).or_default().push(Ask { kind: kind.to_owned(), request });
    }
    let barrier = Arc::new(Barrier::new(asks.len()));
    let clients: Vec<_> = asks
        .into_values()
        .map(|asks| {
            let (host, barrier) = (host.clone(), barrier.clone());
            thread::spawn(move || client(&host, &asks, &barrier))
        })
        .collect();
    let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap_or_else(|_| exit(1))).collect();
    let begin = ended.iter().map(|(begin, _)| *begin).min().unwrap_or_else(Instant::now);
    report(ended.into_iter().flat_map(|(_, told)| told).collect());
    println!("seconds {:.3}", begin.elapsed().as_secs_f64());
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(1)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")))
}

fn request(host: &str, token: &str, method: &str, path: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/vnd.heroku+json; version=3\r\n\
         Authorization: Bearer {token}\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn client(host: &str, asks: &[Ask], barrier: &Barrier) -> (Instant, Vec<Told>) {
    let mut connection = None;
    let mut told = Vec::with_capacity(asks.len());
    barrier.wait();
    let begin = Instant::now();
    for ask in asks {
        let asked = Instant::now();
        let reader = connection.get_or_insert_with(|| connect(host));
        let (bytes, closes) = exchange(reader, &ask.request);
        told.push(Told { kind: ask.kind.clone(), micros: asked.elapsed().as_micros(), bytes });
        if closes {
            connection = None;
        }
    }
    (begin, told)
}

fn connect(host: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(host).unwrap_or_else(|error| fail(&format!("{host}: {error}")));
    stream.set_nodelay(true).unwrap_or_else(|error| fail(&error.to_string()));
    BufReader::with_capacity(256 * 1024, stream)
}

/// Bytes of the body, and whether the connection ends.
fn exchange(reader: &mut BufReader<TcpStream>, request: &[u8]) -> (usize, bool) {
    reader.get_mut().write_all(request).unwrap_or_else(|error| fail(&error.to_string()));
    let (mut status, mut length, mut closes, mut line) = (0u16, None, false, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            fail("the server closed the connection");
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if let Some((name, value)) = text.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse::<usize>().ok(),
                "connection" => closes = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length.unwrap_or_else(|| fail("an answer without Content-Length"))];
    reader.read_exact(&mut body).unwrap_or_else(|error| fail(&error.to_string()));
    if !(200..300).contains(&status) {
        fail(&format!("{}\n{status} {}", String::from_utf8_lossy(request), String::from_utf8_lossy(&body)));
    }
    (body.len(), closes)
}

fn report(told: Vec<Told>) {
    let mut kinds: BTreeMap<String, (Vec<u128>, usize)> = BTreeMap::new();
    for one in told {
        let (micros, bytes) = kinds.entry(one.kind).or_default();
        micros.push(one.micros);
        *bytes = one.bytes;
    }
    for (kind, (mut micros, bytes)) in kinds {
        micros.sort_unstable();
        let at = |part: usize| micros[(micros.len() * part / 100).min(micros.len() - 1)];
        println!("{kind} {} {} {} {} {bytes}", micros.len(), at(50), at(99), at(100));
    }
}

//! A dyno that writes down every byte the router sends it, and takes nothing for granted: what it cannot parse as
//! exactly one request after another is a fault.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// One request as the dyno sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Request line and header lines, without their ends.
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        self.lines[0].escape_ascii().to_string()
    }

    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let split = |line: &Vec<u8>| {
            let colon = line.iter().position(|b| *b == b':')?;
            let value = line[colon + 1..].trim_ascii();
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| value.escape_ascii().to_string())
        };
        self.lines[1..].iter().filter_map(split).collect()
    }
}

#[derive(Default)]
struct Book {
    whole: Vec<Seen>,
    faults: Vec<String>,
}

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    /// Ends with the test.
    _tasks: JoinSet<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, book) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Book::default())));
        let shared = book.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                open.spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, book, _tasks: tasks }
    }

    /// What came since the last time: whole requests, and what was wrong with the rest. A request that broke off is
    /// neither.
    pub(crate) fn take(&self) -> (Vec<Seen>, Vec<String>) {
        let book = std::mem::take(&mut *self.book.lock().unwrap());
        (book.whole, book.faults)
    }
}

/// Every answer is `ok`, over a connection that is kept.
async fn serve(mut stream: TcpStream, book: Arc<Mutex<Book>>) {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Ok(Some((seen, length))) => {
                bytes.drain(..length);
                book.lock().unwrap().whole.push(seen);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    return;
                }
            }
            Err(fault) => {
                book.lock().unwrap().faults.push(format!("{fault} in {}", bytes.escape_ascii()));
                return;
            }
        }
    }
}

// === a parser that forgives nothing ===

/// The first request and its length, or nothing while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let lines: Vec<Vec<u8>> = split_lines(&bytes[..end])?;
    check_request_line(&lines[0])?;
    for line in &lines[1..] {
        check_header(line)?;
    }
    let mut seen = Seen { lines, body: Vec::new() };
    let head = end + 4;
    let (lengths, codings) = (seen.values("content-length"), seen.values("transfer-encoding"));
    let rest = &bytes[head..];
    let length = match (&lengths[..], &codings[..]) {
        ([], []) => Some(0),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| format!("Content-Length {length}"))?;
            (rest.len() >= length).then(|| {
                seen.body = rest[..length].to_vec();
                length
            })
        }
        ([], [coding]) if coding == "chunked" => chunks(rest, &mut seen.body)?,
        _ => return Err(format!("framed by {lengths:?} and {codings:?}")),
    };
    let hosts = seen.values("host");
    if hosts.len() != 1 {
        return Err(format!("hosts: {hosts:?}"));
    }
    Ok(length.map(|length| (seen, head + length)))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn split_lines(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        lines.push(bytes[..end].to_vec());
        bytes = &bytes[end + 2..];
    }
    lines.push(bytes.to_vec());
    let clean = |line: &Vec<u8>| line.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f));
    match lines.iter().find(|line| !clean(line)) {
        Some(line) => Err(format!("a control character in {}", line.escape_ascii())),
        None => Ok(lines),
    }
}

fn check_request_line(line: &[u8]) -> Result<(), String> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    match words[..] {
        [method, target, b"HTTP/1.1"] if is_token(method) && !target.is_empty() => Ok(()),
        _ => Err(format!("the request line {}", line.escape_ascii())),
    }
}

fn check_header(line: &[u8]) -> Result<(), String> {
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    let good = name.len() < line.len() && is_token(name);
    if good { Ok(()) } else { Err(format!("the header {}", line.escape_ascii())) }
}

fn is_token(bytes: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(legal)
}

/// Decodes chunks without extensions or trailers; their length as they came, or nothing while they are not whole.
fn chunks(bytes: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[at..at + line]).map_err(|error| error.to_string())?;
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(text, 16).ok().filter(|_| plain);
        let size = size.ok_or_else(|| format!("the chunk size {text:?}"))?;
        let data = at + line + 2;
        let Some(chunk) = bytes.get(data..data + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err(format!("the end of a chunk of {size} bytes"));
        }
        body.extend_from_slice(&chunk[..size]);
        at = data + size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

//! HTTP/2 of hand-made frames: what no client library would send must reach no dyno as something else, and floods end.

use std::time::Duration;

use renga_router::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    corpus::one_thread,
    hostile::{GROWTH_MEGABYTES_MAX, resident_megabytes},
    recorder::Recorder,
    rig::{Backend, DEADLINE, Rig, patient_limits},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// A flood that is still taken in after this much is one without an end.
const FLOOD_BYTES_MAX: usize = 64 * 1024 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Each as a literal that nobody remembers, without Huffman's code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            // The codes of lengths above 126 are not needed here.
            bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "app.localhost"), (":path", "/")];

/// A good head, with one field instead of its namesake, or behind them.
fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut fields = GOOD.to_vec();
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some(field) => field.1 = value,
        None => fields.push((name, value)),
    }
    fields
}

/// What becomes of the first stream: its status if the answer is one of ours or the dyno's, 0 if it, or all, was refused.
async fn fate(rig: &Rig, frames: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat()).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = bytes.get(..3).map(|l| usize::from(l[1]) << 8 | usize::from(l[2])) {
            let Some(payload) = bytes.get(9..9 + length) else { break };
            match bytes[3] {
                RST_STREAM | GOAWAY => return 0,
                // The table of HPACK has some statuses whole; the others are refusals, too.
                HEADERS => return if payload[0] == 0x88 { 200 } else { 400 },
                _ => bytes.drain(..9 + length),
            };
        }
        let read = timeout(DEADLINE, stream.read_buf(&mut bytes)).await.expect("something comes");
        if !matches!(read, Ok(1..)) {
            return 0;
        }
    }
}

fn request(fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, 1, &block(fields))
}

#[tokio::test]
async fn malformed_requests_reach_no_dyno() {
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    assert_eq!(fate(&rig, &request(&GOOD, true)).await, 200);
    assert_eq!(dyno.take().0.len(), 1);
    let mut cases: Vec<Vec<(&str, &str)>> = vec![
        with(":path", "/a HTTP/1.1\r\nX-Smuggled: 1\r\n\r\n"),
        with(":path", "/a\nb"),
        with(":path", "/a b"),
        with(":path", "/\0"),
        with(":path", ""),
        with(":path", "a"),
        with(":path", "*"),
        with(":method", "GET /smuggled HTTP/1.1\r\nX:"),
        with(":method", "G T"),
        with(":method", ""),
        with(":method", "CONNECT"),
        with(":authority", "app.localhost\r\nX: y"),
        with(":authority", "user@app.localhost"),
        with(":authority", "app.localhost, b"),
        with(":authority", "app.localhost/x"),
        with(":authority", ""),
        with("host", "b.localhost"),
        with("x", "a\r\nSmuggled: 1"),
        with("x", "a\nb"),
        with("x", "a\rb"),
        with("x", "a\0b"),
        with("x\r\ny", "a"),
        with("x y", "a"),
        with("x:y", "a"),
        with("", "a"),
        with("X-Upper", "a"),
        with("connection", "close"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "websocket"),
        with("proxy-connection", "close"),
        with("keep-alive", "5"),
        with(":status", "200"),
        with(":unknown", "a"),
        with("content-length", "5"),
        with("content-length", "+0"),
        with("content-length", "0, 0"),
        with(":scheme", "ftp"),
    ];
    for missing in 0..GOOD.len() {
        let rest = (0..GOOD.len()).filter(|at| *at != missing);
        cases.push(rest.map(|at| GOOD[at]).collect());
    }
    let behind = [("x", "a"), GOOD[0], GOOD[1], GOOD[2], GOOD[3]];
    cases.push(behind.to_vec());
    cases.push(GOOD.iter().chain(&GOOD[3..]).copied().collect());
    for case in cases {
        let fate = fate(&rig, &request(&case, true)).await;
        let (seen, faults) = dyno.take();
        assert!(fate != 200 && seen.is_empty() && faults.is_empty(), "{case:?}: {fate}, {seen:?} {faults:?}");
    }
    assert_eq!(rig.get("/").await.status, 200);
}

#[tokio::test]
async fn bodies_that_belie_their_length_are_no_requests() {
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    for (length, body) in [("3", "hello"), ("8", "hello"), ("5", "")] {
        let mut fields = with("content-length", length);
        fields[0].1 = "POST";
        let bytes = [request(&fields, false), frame(DATA, END_STREAM, 1, body.as_bytes())].concat();
        assert_ne!(fate(&rig, &bytes).await, 200, "{length}");
        assert_eq!(rig.get("/").await.status, 200);
        let (seen, faults) = dyno.take();
        assert!(seen.len() == 1 && faults.is_empty(), "{length}: {seen:?} {faults:?}");
    }
}

/// Sends `again` until the router ends the connection or takes no more; nothing that comes back is read.
async fn flood(rig: &Rig, begin: Vec<u8>, mut again: impl FnMut(u32) -> Vec<u8>) -> usize {
    let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &begin].concat()).await.unwrap();
    let (mut sent, mut number) = (0, 0);
    while sent < FLOOD_BYTES_MAX {
        let mut bytes = Vec::new();
        for _ in 0..256 {
            bytes.extend(again(number));
            number += 1;
        }
        match timeout(Duration::from_millis(700), stream.write_all(&bytes)).await {
            Ok(Ok(())) => sent += bytes.len(),
            _ => break,
        }
    }
    sent
}

#[tokio::test]
async fn floods_of_frames_end() {
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    let head = |stream: u32, flags: u8| frame(HEADERS, flags, stream, &block(&GOOD));
    let field = block(&[("x", "0123456789012345678901234567890123456789")]);
    let continued = frame(CONTINUATION, 0, 1, &field);
    let empty = frame(CONTINUATION, 0, 1, &[]);
    let odd = |number: u32| 2 * number + 1;
    for (name, sent) in [
        ("continuations", flood(&rig, head(1, END_STREAM), |_| continued.clone()).await),
        ("empty continuations", flood(&rig, head(1, END_STREAM), |_| empty.clone()).await),
        (
            "resets",
            flood(&rig, vec![], |number| {
                let reset = frame(RST_STREAM, 0, odd(number), &8_u32.to_be_bytes());
                [head(odd(number), END_HEADERS | END_STREAM), reset].concat()
            })
            .await,
        ),
        ("requests", flood(&rig, vec![], |number| head(odd(number), END_HEADERS | END_STREAM)).await),
        ("settings", flood(&rig, vec![], |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])).await),
        ("pings", flood(&rig, vec![], |_| frame(PING, 0, 0, &[0; 8])).await),
        ("empty data", flood(&rig, head(1, END_HEADERS), |_| frame(DATA, 0, 1, &[])).await),
    ] {
        assert!(sent < FLOOD_BYTES_MAX, "{name}: {sent} bytes were taken");
        assert_eq!(rig.get("/").await.status, 200, "after {name}");
    }
}

/// Who says a little all the time, and never enough, has no more time than who is silent.
#[tokio::test]
async fn frames_that_drip_have_the_time_of_a_head() {
    let limits = Limits { header_read_timeout: Duration::from_millis(500), ..patient_limits() };
    let rig = Rig::with(limits).await;
    let dripped = frame(CONTINUATION, 0, 1, &[0]);
    let ping = frame(PING, 0, 0, &[0; 8]);
    for (name, first, drip) in [
        ("a head", frame(HEADERS, END_STREAM, 1, &block(&GOOD)), dripped),
        ("signs of life", vec![], ping),
        ("a preface", PREFACE[..1].to_vec(), vec![]),
    ] {
        let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let begin = if drip.is_empty() { &first } else { &[begin, first].concat() };
        stream.write_all(begin).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let dripping = async {
            while write.write_all(&drip).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Or it is told to go away.
        let ended = async {
            let mut head = [0; 9];
            while read.read_exact(&mut head).await.is_ok() && head[3] != GOAWAY {
                let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                read.read_exact(&mut vec![0; length]).await.unwrap();
            }
        };
        let over = async {
            tokio::select! { () = dripping => {} () = ended => {} }
        };
        timeout(DEADLINE, over).await.unwrap_or_else(|_| panic!("{name} without an end"));
    }
}

#[tokio::test]
async fn frames_that_mean_nothing_change_nothing() {
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    let mut bytes = Vec::new();
    for stream in 0..1_000_u32 {
        bytes.extend(frame(PRIORITY, 0xff, 2 * stream + 3, &[0x80, 0, 0, 1, 0xff]));
        bytes.extend(frame(0xbb, 0xff, stream, b"unknown"));
        bytes.extend(frame(SETTINGS, 0, 0, &[0xff, 0xff, 1, 2, 3, 4]));
    }
    bytes.extend(request(&GOOD, true));
    assert_eq!(fate(&rig, &bytes).await, 200);
    assert_eq!(dyno.take().0.len(), 1);
}

/// Every answer is without end, and goes on byte by byte: the dynos are not read ahead of it.
#[tokio::test]
async fn windows_that_open_by_a_byte_hold_little() {
    const STREAMS: u32 = 50;
    let mut rig = Rig::start().await;
    let dyno = Backend::start(|mut client| async move {
        let Some(head) = client.head().await else { return };
        if !head.starts_with("GET /endless ") {
            return client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
        client.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let block = [b'x'; 16 * 1024];
        while client.stream.write_all(&block).await.is_ok() {}
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let before = resident_megabytes();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])].concat();
        for number in 0..STREAMS {
            let head = block(&with(":path", "/endless"));
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head));
        }
        stream.write_all(&bytes).await.unwrap();
        streams.push(stream);
    }
    for _ in 0..20 {
        for stream in &mut streams {
            let open = |number| frame(WINDOW_UPDATE, 0, 2 * number + 1, &1_u32.to_be_bytes());
            stream.write_all(&(0..STREAMS).flat_map(open).collect::<Vec<_>>()).await.unwrap();
            let mut bytes = [0; 64 * 1024];
            assert_ne!(timeout(DEADLINE, stream.read(&mut bytes)).await.unwrap().unwrap(), 0);
        }
        let good = rig.get("/").await;
        assert_eq!(good.status, 200, "{good:?}");
        let grown = resident_megabytes().saturating_sub(before);
        assert!(grown < GROWTH_MEGABYTES_MAX, "it grew by {grown} MB");
    }
    drop(streams);
    let gone = async {
        while rig.feed_in_flight().await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("requests of the gone ended");
}

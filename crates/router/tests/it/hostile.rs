//! Peers that mean harm, or are broken: what they can hold of the router is bounded, in time and in memory, and others
//! are served meanwhile.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use renga_router::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::rig::{Backend, DEADLINE, Rig, patient_limits, short_limits};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
/// Clients of one kind at once.
const CROWD: usize = 50;
/// By which the process, the test's own ends included, may grow while a crowd does its worst. Ten such clients would
/// exceed it if what they send, or do not read, were kept.
pub(crate) const GROWTH_MEGABYTES_MAX: u64 = 96;
/// What a peer sends at most, to one that reads on for ever: a test ends in any case.
const ENDLESS_BYTES: u64 = 1 << 30;
static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

pub(crate) fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Writes until the other side ends it, or takes nothing for as long as `patience`; how much went out.
async fn pour(stream: &mut (impl AsyncWriteExt + Unpin), block: &[u8], patience: Duration) -> u64 {
    let mut sent = 0;
    while sent < ENDLESS_BYTES {
        match timeout(patience, stream.write(block)).await {
            Ok(Ok(bytes @ 1..)) => sent += bytes as u64,
            _ => break,
        }
    }
    sent
}

/// Whether the connection ends within `limit`, whatever comes before.
async fn ends_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut chunk = [0; 16 * 1024];
    timeout(limit, async { while matches!(stream.read(&mut chunk).await, Ok(1..)) {} }).await.is_ok()
}

/// Runs a crowd, asks for something good in its midst, and looks at the memory when it is done.
async fn crowd<F>(rig: &Rig, good: &str, client: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let before = resident_megabytes();
    let mut clients = JoinSet::new();
    for _ in 0..CROWD {
        clients.spawn(client(TcpStream::connect(rig.addresses.http).await.unwrap()));
    }
    // They end within seconds, on a machine that has nothing else to do.
    let (mut most, end) = (before, Instant::now() + DEADLINE * 6);
    while !clients.is_empty() {
        assert_eq!(rig.ask(good).await.status, 200);
        most = most.max(resident_megabytes());
        assert!(Instant::now() < end, "{} of the crowd are still there", clients.len());
        if let Ok(Some(ended)) = timeout(Duration::from_millis(50), clients.join_next()).await {
            ended.unwrap();
        }
    }
    assert!(most - before < GROWTH_MEGABYTES_MAX, "it grew by {} MB", most - before);
    at_rest(rig).await;
}

/// No request of the dead is in flight any more.
async fn at_rest(rig: &Rig) {
    let end = Instant::now() + DEADLINE;
    while rig.feed_in_flight().await > 0 {
        assert!(Instant::now() < end, "requests of the dead are still in flight");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// === clients ===

#[tokio::test]
async fn heads_that_come_byte_by_byte_have_one_time_limit_for_all_of_it() {
    let mut limits = patient_limits();
    limits.header_read_timeout = Duration::from_millis(600);
    let (mut rig, dyno) = (Rig::with(limits).await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    crowd(&rig, GET, |mut stream| async move {
        let begun = Instant::now();
        let (mut read, mut write) = stream.split();
        let drip = async {
            for byte in GET[..GET.len() - 2].bytes().chain(std::iter::repeat(b'x')) {
                if write.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = async { while matches!(read.read(&mut [0; 1024]).await, Ok(1..)) {} };
        tokio::select! { () = drip => {} () = ended => {} }
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    })
    .await;
}

/// It is the router that says when it has given up on each: nothing here waits for a time.
#[tokio::test]
async fn clients_that_never_read_hold_neither_memory_nor_dyno() {
    let limits = Limits { idle_timeout: short_limits().idle_timeout, ..patient_limits() };
    let mut rig = Rig::with(limits).await;
    let dyno = Backend::start(|mut client| async move {
        let Some(head) = client.head().await else { return };
        if head.starts_with("GET /endless ") {
            client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n").await;
            pour(&mut client.stream, &BLOCK, DEADLINE * 6).await;
        } else {
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let before = resident_megabytes();
    let mut clients = Vec::new();
    for _ in 0..CROWD {
        let socket = TcpSocket::new_v4().unwrap();
        // The kernels would take megabytes for each, and the time to copy them.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(rig.addresses.http).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await.unwrap();
        clients.push(stream);
    }
    let (mut given_up, mut most) = (0, before);
    while given_up < CROWD {
        assert_eq!(rig.get("/").await.status, 200);
        most = most.max(resident_megabytes());
        loop {
            let line = rig.line().await;
            if line.starts_with("at=info method=GET path=\"/\" ") {
                break;
            }
            assert!(line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\" "), "{line}");
            given_up += 1;
        }
    }
    assert!(most - before < GROWTH_MEGABYTES_MAX, "it grew by {} MB", most - before);
    at_rest(&rig).await;
    for mut stream in clients {
        assert!(ends_within(&mut stream, DEADLINE).await, "still open");
    }
}

#[tokio::test]
async fn requests_in_advance_are_not_taken_in_without_end() {
    let limits = Limits { idle_timeout: short_limits().idle_timeout, ..patient_limits() };
    let (mut rig, dyno) = (Rig::with(limits).await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    crowd(&rig, GET, |mut stream| async move {
        // No answer is read, so the router must stop taking them at some time.
        let sent = pour(&mut stream, GET.repeat(1_000).as_bytes(), Duration::from_millis(1_500)).await;
        assert!(sent < ENDLESS_BYTES / 2, "it took {sent} bytes");
    })
    .await;
}

#[tokio::test]
async fn clients_that_break_off_leave_nothing_behind() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let request = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 20\r\n\r\n0123456789012345678";
    for length in 0..request.len() {
        let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
        stream.write_all(&request[..length]).await.unwrap();
        // Every other one with a reset.
        if length % 2 == 0 {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
    }
    assert_eq!(rig.get("/").await.status, 200);
    at_rest(&rig).await;
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_say_still_gets_its_answer() {
    let (mut rig, dyno) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
}

// === dynos ===

#[tokio::test]
async fn dynos_that_never_read_stop_the_client() {
    let limits = Limits { first_byte_timeout: Duration::from_secs(3), ..patient_limits() };
    let mut rig = Rig::with(limits).await;
    let dyno = Backend::start(|mut client| async move {
        let Some(head) = client.head().await else { return };
        if head.starts_with("POST ") {
            tokio::time::sleep(DEADLINE).await;
        }
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    })
    .await;
    rig.serve(&[dyno.address]).await;
    crowd(&rig, GET, |mut stream| async move {
        let head =
            format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {ENDLESS_BYTES}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let sent = pour(&mut stream, &BLOCK, Duration::from_secs(2)).await;
        assert!(sent < ENDLESS_BYTES / 2, "the router took {sent} bytes");
        assert!(ends_within(&mut stream, DEADLINE).await, "still open");
    })
    .await;
}

/// Each begins an answer that has no end, from which the client must get a page of ours, soon.
#[tokio::test]
async fn heads_of_dynos_without_end_are_cut() {
    let mut rig = Rig::hasty().await;
    for (begin, again) in [
        ("HTTP/1.1 200 OK\r\nX: ", "x"),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        ("HTTP/1.1 200 OK\r\n", "Set-Cookie: 0123456789012345678901234567890123456789\r\n"),
        ("HTTP/1.1 200 ", "O"),
        ("", "x"),
        ("", "\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"),
    ] {
        let taken = Arc::new(AtomicU64::new(0));
        let count = taken.clone();
        let block: Arc<[u8]> = again.repeat(BLOCK.len() / again.len()).into_bytes().into();
        let dyno = Backend::start(move |mut client| {
            let (block, count) = (block.clone(), count.clone());
            async move {
                client.head().await;
                client.send(begin).await;
                count.store(pour(&mut client.stream, &block, Duration::from_secs(2)).await, Ordering::SeqCst);
            }
        })
        .await;
        rig.serve(&[dyno.address]).await;
        let (before, begun) = (resident_megabytes(), Instant::now());
        let mut client = rig.client().await;
        client.send(GET).await;
        // Interim answers may be passed on, but not for ever.
        let status = timeout(DEADLINE, async {
            loop {
                let Some(head) = client.head().await else { return 0 };
                let status: u16 = head[9..12].parse().unwrap();
                if status >= 200 {
                    return status;
                }
            }
        });
        let status = status.await.unwrap_or_else(|_| panic!("{again:?} without an end"));
        assert!(matches!(status, 0 | 502 | 503), "{again:?}: {status}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{again:?}: {:?}", begun.elapsed());
        let grown = resident_megabytes().saturating_sub(before);
        assert!(grown < GROWTH_MEGABYTES_MAX, "{again:?}: it grew by {grown} MB");
    }
}

/// What a client gets for bytes of a dyno that closes behind them: a status, and whether the body is whole.
#[tokio::test]
async fn broken_answers_never_look_whole() {
    let mut rig = Rig::start().await;
    for (answer, status, whole) in [
        ("", 503, true),
        ("\0\0\0\0", 503, true),
        ("\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK", 503, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5", 503, true),
        ("HTTP/2.0 200 OK\r\n\r\n", 503, true),
        ("HTTP/1.1 99 OK\r\n\r\n", 503, true),
        ("HTTP/1.1 20 OK\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nA: b\rB: c\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", 502, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", 502, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 503, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 200, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 200, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            true,
        ),
    ] {
        let dyno = Backend::says(answer).await;
        rig.serve(&[dyno.address]).await;
        let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut bytes = Vec::new();
        // A broken answer may end in a reset.
        let _reset = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an end");
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let head = head.to_ascii_lowercase();
        let seen: u16 = head.get(9..12).map_or(0, |status| status.parse().unwrap());
        // When the break is seen in time, the 200 may also be withheld.
        assert!(seen == status || (!whole && matches!(seen, 0 | 503)), "{answer:?}: {text}");
        if seen == 0 {
            continue;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let is_whole = match length {
            Some(length) => body.len() == length.parse::<usize>().unwrap(),
            None => body == "0\r\n\r\n" || body.ends_with("\r\n0\r\n\r\n"),
        };
        assert_eq!(is_whole, whole || seen != 200, "{answer:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{answer:?}: {text}");
    }
}

const BODY_BYTES: usize = 8 * 1024 * 1024;

/// The dyno has its answer, and wants no more of the body: it closes, or it waits.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_not_lost() {
    let mut rig = Rig::start().await;
    for closes in [true, false] {
        let dyno = Backend::start(move |mut client| async move {
            client.head().await;
            client.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").await;
            if !closes {
                tokio::time::sleep(DEADLINE).await;
            }
        })
        .await;
        rig.serve(&[dyno.address]).await;
        for round in 0..20 {
            let stream = TcpStream::connect(rig.addresses.http).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let head =
                format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            let sending = tokio::spawn(async move {
                for _ in 0..BODY_BYTES / BLOCK.len() {
                    if write.write_all(&BLOCK).await.is_err() {
                        break;
                    }
                }
                write
            });
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"much") {
                let read = timeout(DEADLINE, read.read_buf(&mut bytes)).await.expect("an answer in time");
                let text = String::from_utf8_lossy(&bytes);
                assert!(matches!(read, Ok(1..)), "{closes}, {round}: {read:?} after {text}");
            }
            assert!(bytes.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&bytes));
            drop(read);
            sending.abort();
        }
    }
}

/// Who reads only when it has sent everything gets its answer too, however much that is.
#[tokio::test]
async fn an_early_answer_waits_for_who_sends_on() {
    let mut rig = Rig::start().await;
    let dyno = Backend::says("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch").await;
    rig.serve(&[dyno.address]).await;
    let blocks = 4 * BODY_BYTES / BLOCK.len();
    for framing in [format!("Content-Length: {}", 4 * BODY_BYTES), "Transfer-Encoding: chunked".to_owned()] {
        let mut client = rig.client().await;
        client.send(&format!("POST / HTTP/1.1\r\nHost: app.localhost\r\n{framing}\r\n\r\n")).await;
        let chunked = framing.starts_with("Transfer");
        for _ in 0..blocks {
            if chunked {
                client.send("10000\r\n").await;
            }
            client.send_bytes(&BLOCK).await;
            if chunked {
                client.send("\r\n").await;
            }
        }
        let reply = client.reply().await;
        assert_eq!((reply.status, &*reply.body), (413, "much"), "{framing}");
    }
}

/// Nor does it wait for ever: neither for who is silent, nor for who never ends.
#[tokio::test]
async fn an_early_answer_does_not_wait_for_ever() {
    let mut rig = Rig::hasty().await;
    let dyno = Backend::says("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch").await;
    rig.serve(&[dyno.address]).await;
    let head = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {ENDLESS_BYTES}\r\n\r\n");
    let mut silent = rig.client().await;
    silent.send(&head).await;
    assert_eq!(silent.reply().await.body, "much");
    let mut endless = rig.client().await;
    endless.send(&head).await;
    assert_eq!(endless.reply().await.body, "much");
    // By the bytes, it would take much longer.
    let end = Instant::now() + DEADLINE;
    while endless.stream.write_all(&[b'x'; 64]).await.is_ok() {
        assert!(Instant::now() < end, "it is listened to for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Its end had come before: by our side's, and then by the socket's.
    assert_eq!(silent.rest().await, "");
    let gone = async { while silent.stream.write_all(b"x").await.is_ok() {} };
    timeout(DEADLINE, gone).await.expect("it is waited for");
}

/// Both bodies move at once: a dyno that answers while it reads must not wait for the end of the request.
#[tokio::test]
async fn bodies_flow_both_ways_at_once() {
    let mut rig = Rig::start().await;
    let dyno = Backend::start(|mut client| async move {
        client.head().await;
        client.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n")).await;
        for _ in 0..BODY_BYTES / 4_096 {
            let part = client.exactly(4_096).await;
            client.send(&part).await;
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut stream = TcpStream::connect(rig.addresses.http).await.unwrap();
    let (mut read, mut write) = stream.split();
    let head = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let sending = async {
        write.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..BODY_BYTES / BLOCK.len() {
            write.write_all(&BLOCK).await.unwrap();
        }
    };
    let receiving = async {
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        let mut length = None;
        while length.is_none_or(|length| bytes.len() < length) {
            let count = read.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "cut at {} of {length:?}", bytes.len());
            bytes.extend_from_slice(&chunk[..count]);
            let end = || bytes.windows(4).take(4096).position(|end| end == b"\r\n\r\n");
            length = length.or_else(|| Some(end()? + 4 + BODY_BYTES));
        }
    };
    timeout(DEADLINE, async { tokio::join!(sending, receiving) }).await.expect("both ended");
}

/// Blocks that go out in parts: the buffer is full at its end and half empty at its beginning.
#[tokio::test]
async fn a_dyno_that_reads_in_fits_gets_the_whole_body() {
    let mut rig = Rig::start().await;
    let dyno = Backend::start(|mut client| async move {
        let Some(head) = client.head().await else { return };
        let mut left: usize = crate::rig::header(&head, "content-length")[0].parse().unwrap();
        let mut pause = 0;
        while left > 0 {
            let fit = left.min(7_001);
            client.exactly(fit).await;
            left -= fit;
            pause += 1;
            if pause % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    let body = "x".repeat(BODY_BYTES);
    for _ in 0..4 {
        let head = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        client.send(&head).await;
        client.send(&body).await;
        assert_eq!(client.reply().await.status, 200);
    }
}

/// The dyno takes nothing for a while, then everything at once: no other event tells that there is more to send.
#[tokio::test]
async fn an_upload_that_was_stuck_goes_on() {
    let mut limits = short_limits();
    // No timer wakes it up instead.
    (limits.first_byte_timeout, limits.idle_timeout) = (DEADLINE * 6, DEADLINE * 6);
    let mut rig = Rig::with(limits).await;
    let (say, told) = tokio::sync::watch::channel(false);
    let dyno = Backend::start(move |mut client| {
        let mut told = told.clone();
        async move {
            let Some(_head) = client.head().await else { return };
            told.wait_for(|told| *told).await.unwrap();
            let mut left = STUCK_BYTES;
            while left > 0 {
                left -= client.exactly(left.min(1 << 20)).await.len();
            }
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    })
    .await;
    rig.serve(&[dyno.address]).await;
    let mut client = rig.client().await;
    let head = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {STUCK_BYTES}\r\n\r\n");
    client.send(&head).await;
    let mut sent = 0;
    // The sockets on the way are full.
    while let Ok(written) = timeout(Duration::from_millis(100), client.stream.write(&BLOCK)).await {
        sent += written.unwrap();
        assert!(sent < STUCK_BYTES, "the sockets on the way took it all");
    }
    say.send(true).unwrap();
    while sent < STUCK_BYTES {
        let block = &BLOCK[..BLOCK.len().min(STUCK_BYTES - sent)];
        let written = timeout(DEADLINE, client.stream.write(block)).await;
        sent += written.expect("it is still stuck").unwrap();
    }
    assert_eq!(client.reply().await.status, 200);
}

/// More than the sockets on the way can hold.
const STUCK_BYTES: usize = 64 * 1024 * 1024;

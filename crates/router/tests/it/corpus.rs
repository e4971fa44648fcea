//! Malformed, smuggling and merely odd requests, and what must become of each (`tests/corpus/requests.txt`).
//!
//! One router, one connection to one dyno behind it: what a case smuggles through shows as a request too many, there
//! or in the one that is asked afterwards.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    recorder::{Recorder, Seen},
    rig::{DEADLINE, Rig, config, short_limits},
};

/// Answers, and ends of connections, come at once.
const PATIENCE: Duration = Duration::from_secs(3);

// === the file ===

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Of each answer the statuses that are right.
    statuses: Vec<Vec<u16>>,
    then: Then,
    checks: Vec<(String, String)>,
}

/// What becomes of the connection.
enum Then {
    Closes,
    Keeps,
    /// A refusal of something that was framed well: both are right.
    Either,
}

pub(crate) fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix("== ") {
            let (name, bytes) = (name.to_owned(), Vec::new());
            cases.push(Case { name, bytes, statuses: Vec::new(), then: Then::Keeps, checks: Vec::new() });
            continue;
        }
        let case = cases.last_mut().expect("a case has a name");
        if let Some(bytes) = line.strip_prefix("> ") {
            case.bytes.extend(unescaped(bytes));
        } else if let Some(rest) = line.strip_prefix("= ") {
            case.answers(rest);
        } else {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            case.checks.push((word.to_owned(), rest.to_owned()));
        }
    }
    cases
}

impl Case {
    pub(crate) fn answers_max(&self) -> usize {
        self.statuses.len()
    }

    /// `200 200 400|431 closes`
    fn answers(&mut self, line: &str) {
        for word in line.split(' ') {
            match word {
                "closes" => self.then = Then::Closes,
                "keeps" => self.then = Then::Keeps,
                "either" => self.then = Then::Either,
                statuses => {
                    let statuses = statuses.split('|').map(|status| status.parse().expect("a status"));
                    self.statuses.push(statuses.collect());
                }
            }
        }
    }
}

/// `\r`, `\n`, `\t`, `\0`, `\\`, `\xHH`, and `\(TEXT*COUNT)` for repetitions.
fn unescaped(text: &str) -> Vec<u8> {
    let mut rest: VecDeque<u8> = text.bytes().collect();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.pop_front() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.pop_front().expect("something is escaped") {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'x' => {
                let digits: Vec<u8> = rest.drain(..2).collect();
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
            }
            b'(' => {
                let end = rest.iter().position(|b| *b == b')').expect("a closing bracket");
                let inner = String::from_utf8(rest.drain(..end).collect()).unwrap();
                rest.pop_front();
                let (text, count) = inner.rsplit_once('*').expect("TEXT*COUNT");
                bytes.extend(unescaped(text).repeat(count.parse().unwrap()));
            }
            other => bytes.push(other),
        }
    }
    bytes
}

// === a case on the wire ===

pub(crate) const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

/// Statuses of answers in the order they come; interim ones are passed over.
pub(crate) struct Answers {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

impl Answers {
    /// The next status, or `None` if the connection ended cleanly.
    pub(crate) async fn next(&mut self, to_head: bool) -> Result<Option<u16>, String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let status: u16 = head.get(9..12).and_then(|text| text.parse().ok()).ok_or(head.clone())?;
                let length = if to_head { Some(0) } else { self.body_length(&head, end + 4) };
                if let Some(length) = length.filter(|length| self.buffer.len() >= end + 4 + length) {
                    self.buffer.drain(..end + 4 + length);
                    if status >= 200 {
                        return Ok(Some(status));
                    }
                    continue;
                }
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(format!("nothing came, after {}", self.buffer.escape_ascii())),
                Ok(Ok(0) | Err(_)) if self.buffer.is_empty() => return Ok(None),
                Ok(Ok(0) | Err(_)) => return Err(format!("cut short: {}", self.buffer.escape_ascii())),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Nothing while the last chunk has not come. Bodies here hold no such bytes themselves.
    fn body_length(&self, head: &str, begin: usize) -> Option<usize> {
        if head.contains("transfer-encoding: chunked") {
            let last = self.buffer[begin..].windows(5).position(|bytes| bytes == b"0\r\n\r\n")?;
            return Some(last + 5);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Some(length.map_or(0, |length| length.parse().unwrap()))
    }
}

pub(crate) async fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.addresses.http).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a case, judges the answers, and asks for one thing more, on the same connection if it must be kept.
async fn play(rig: &Rig, case: &Case) -> Result<usize, String> {
    let mut answers = Answers { stream: connect(rig).await, buffer: Vec::new() };
    // A router that refuses early may close before it has read everything.
    let sent = answers.stream.write_all(&case.bytes).await;
    let to_head = case.bytes.starts_with(b"HEAD ");
    let (mut statuses, mut served) = (Vec::new(), 0);
    for wanted in &case.statuses {
        let status = answers.next(to_head).await?;
        let status = status.ok_or(format!("closed after {statuses:?} (sending: {sent:?})"))?;
        statuses.push(status);
        served += usize::from(status == 200);
        if !wanted.contains(&status) {
            return Err(format!("{statuses:?} instead of {wanted:?}"));
        }
    }
    if matches!(case.then, Then::Closes)
        && let Some(status) = answers.next(to_head).await?
    {
        return Err(format!("another answer, {status}, instead of the end of the connection"));
    }
    if !matches!(case.then, Then::Keeps) {
        answers.stream = connect(rig).await;
    }
    answers.stream.write_all(AFTER).await.map_err(|error| format!("closed: {error}"))?;
    match answers.next(false).await? {
        Some(200) => Ok(served),
        other => Err(format!("{other:?} for the request afterwards")),
    }
}

/// What the dyno saw: as many requests as were answered by it, and the one afterwards.
fn judge(case: &Case, served: usize, seen: Vec<Seen>, faults: Vec<String>) -> Result<(), String> {
    if !faults.is_empty() {
        return Err(format!("the dyno saw {}", faults.join("; ")));
    }
    let lines: Vec<String> = seen.iter().map(Seen::line).collect();
    if lines.len() != served + 1 || lines[served] != "GET /after HTTP/1.1" {
        return Err(format!("the dyno saw {lines:?}, and {served} were answered"));
    }
    let Some(first) = seen.first().filter(|_| served > 0) else {
        let checked = case.checks.iter().any(|_| !case.statuses[0].iter().any(|status| *status >= 400));
        return if checked { Err("nothing reached the dyno".to_owned()) } else { Ok(()) };
    };
    for (word, wanted) in &case.checks {
        let (name, value) = wanted.split_once(": ").unwrap_or((wanted, ""));
        let values = first.values(name);
        let good = match word.as_str() {
            "sees" => lines[0] == *wanted,
            "then" => lines.get(1) == Some(wanted),
            "body" => first.body == unescaped(wanted),
            "has" => values == [value],
            "ends" => values.len() == 1 && values[0].ends_with(value),
            "lacks" => values.is_empty(),
            "avoids" => !values.iter().any(|other| other.to_ascii_lowercase().contains(value)),
            other => panic!("{}: no check is called {other}", case.name),
        };
        if !good {
            let head = first.lines.iter().map(|line| line.escape_ascii().to_string());
            let head = head.collect::<Vec<_>>().join(" | ");
            return Err(format!("not so: {word} {wanted}; {head} | {}", first.body.escape_ascii()));
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_request_of_the_corpus_gets_its_answer_and_reaches_the_dyno_as_it_must() {
    let (mut rig, dyno) = (one_thread().await, Recorder::start().await);
    rig.serve(&[dyno.address]).await;
    let cases = cases(&corpus());
    let mut failed = Vec::new();
    for case in &cases {
        assert!(!case.statuses.is_empty(), "{} says of no answer", case.name);
        let played = timeout(DEADLINE, play(&rig, case)).await;
        let (seen, faults) = dyno.take();
        let judged = match played {
            Ok(Ok(served)) => judge(case, served, seen, faults),
            Ok(Err(why)) => {
                let lines: Vec<String> = seen.iter().map(Seen::line).collect();
                Err(format!("{why}; the dyno saw {lines:?} {faults:?}"))
            }
            Err(_) => Err("it took too long".to_owned()),
        };
        if let Err(why) = judged {
            failed.push(format!("FAILED {}: {why}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// `RENGA_TEST_CORPUS` names another file, for cases that one is at.
pub(crate) fn corpus() -> String {
    match std::env::var("RENGA_TEST_CORPUS") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("../corpus/requests.txt").to_owned(),
    }
}

/// One thread has one pool, so that all cases share the connection to the dyno.
pub(crate) async fn one_thread() -> Rig {
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut config = config(&directory, short_limits());
    config.threads = 1;
    // A connection ends by a decision, not because nothing comes.
    config.limits.header_read_timeout = Duration::from_secs(60);
    Rig::from(directory, config).await
}

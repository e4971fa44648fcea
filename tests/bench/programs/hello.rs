//! The back end of the router bench, on `$PORT` over kept connections: `/` is a few bytes, `/large` 100 kB, `/slow` a few
//! bytes after a second; an upgraded connection gets back what it sends.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world";
const LARGE_BYTES: usize = 100_000;
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const SLOW: Duration = Duration::from_secs(1);
/// Requests of the bench have no body and fit in here.
const HEAD_BYTES_MAX: usize = 8 * 1024;

fn main() {
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a number");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    let large = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
    let large: &'static [u8] = [large.into_bytes(), vec![b'x'; LARGE_BYTES]].concat().leak();
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream, large));
    }
}

fn serve(mut stream: TcpStream, large: &'static [u8]) {
    stream.set_nodelay(true).expect("a TCP socket knows it");
    let (mut buffer, mut filled) = ([0; HEAD_BYTES_MAX], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            if filled == HEAD_BYTES_MAX {
                return;
            }
            continue;
        }
        let request = &buffer[..filled];
        let answer = match request {
            [b'G', b'E', b'T', b' ', b'/', b' ', ..] => SMALL,
            _ if request.starts_with(b"GET /large ") => large,
            _ if request.starts_with(b"GET /slow ") => {
                thread::sleep(SLOW);
                SMALL
            }
            _ if request.starts_with(b"GET /echo ") => return echo(stream, &mut buffer),
            _ => SMALL,
        };
        if stream.write_all(answer).is_err() {
            return;
        }
        filled = 0;
    }
}

fn echo(mut stream: TcpStream, buffer: &mut [u8]) {
    let mut told = stream.write_all(SWITCHING);
    while let (Ok(()), Ok(count @ 1..)) = (told, stream.read(buffer)) {
        told = stream.write_all(&buffer[..count]);
    }
}

//! The back end of the router bench: answers every request on `$PORT` with the same few bytes, over kept connections.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world";
/// Requests of the bench have no body and fit in here.
const HEAD_BYTES_MAX: usize = 8 * 1024;

fn main() {
    let port: u16 = std::env::var("PORT").expect("PORT is set").parse().expect("PORT is a number");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream));
    }
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("a TCP socket knows it");
    let (mut buffer, mut filled) = ([0; HEAD_BYTES_MAX], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        let whole = buffer[..filled].ends_with(b"\r\n\r\n");
        if whole && stream.write_all(ANSWER).is_err() || filled == HEAD_BYTES_MAX {
            return;
        }
        if whole {
            filled = 0;
        }
    }
}

//! The `proc-receive` hook: a relay between receive-pack and the server. It decides nothing.
//!
//! With receive-pack it speaks git's protocol (`git help hooks`, proc-receive) on standard input and output. With the
//! server it speaks packets on a Unix socket:
//!
//! ```text
//! hook   -> server   <token>   <old> <new> <ref>   ...   flush
//! server -> hook     p<bytes for the pusher's terminal>   ...   ok <ref> | ng <ref> <reason>   ...   flush
//! ```
//!
//! When receive-pack dies, standard input ends and the hook goes at once. When the server dies, every ref is refused
//! with words that say so: the pusher must not read "done" for something that nobody watches any more.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    thread,
};

use crate::packet::{self, Packet};

/// The name under which git calls the hook, and by which the program knows that it is one.
pub const HOOK_NAME: &str = "proc-receive";
/// Set for receive-pack by the server, read by the hook.
pub(crate) const SOCKET_VARIABLE: &str = "RENGA_HOOK_SOCKET";
pub(crate) const TOKEN_VARIABLE: &str = "RENGA_PUSH_TOKEN";

/// First byte of a packet that carries terminal output.
pub(crate) const PROGRESS: u8 = b'p';

/// What a packet of commands may hold in all: refs of one push times the length of a ref.
const COMMANDS_MAX: usize = 10_000;
const SERVER_AWAY: &str = "the platform is away; push again in a moment";

/// The hook's whole life. The program must call it, and nothing else, when it is started as [`HOOK_NAME`].
pub fn proc_receive_main() -> ExitCode {
    match relay() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // This is the pusher's terminal. If it has gone, there is nobody left to tell.
            drop(writeln!(io::stderr(), " !     The push hook failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn relay() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    greet(&mut stdin)?;
    let commands = read_until_flush(&mut stdin)?;
    drop(stdin);
    thread::spawn(leave_with_receive_pack);
    let report = ask_server(&commands).unwrap_or_else(|_| refuse_all(&commands));
    let mut stdout = io::stdout().lock();
    stdout.write_all(&report)?;
    stdout.flush()
}

fn greet(stdin: &mut impl Read) -> io::Result<()> {
    let greeting = read_until_flush(stdin)?;
    if !greeting.first().is_some_and(|line| line.starts_with(b"version=1")) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this git speaks another hook protocol"));
    }
    let mut answer = Vec::new();
    packet::push_data(&mut answer, b"version=1");
    packet::push_flush(&mut answer);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer)?;
    stdout.flush()
}

fn read_until_flush(from: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let mut packets = Vec::new();
    while let Packet::Data(mut payload) = packet::read(from)? {
        if payload.last() == Some(&b'\n') {
            payload.pop();
        }
        packets.push(payload);
        if packets.len() > COMMANDS_MAX {
            return Err(io::Error::other("too many refs in one push"));
        }
    }
    Ok(packets)
}

/// receive-pack keeps our input open until it has our report, so an end of input means that it has died.
fn leave_with_receive_pack() {
    let ended = io::copy(&mut io::stdin().lock(), &mut io::sink());
    drop(ended);
    std::process::exit(1);
}

/// Returns the report for receive-pack.
fn ask_server(commands: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    // The hook is a program of its own: its configuration is what the server put into its environment.
    let variable =
        |name| std::env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let mut socket = UnixStream::connect(variable(SOCKET_VARIABLE)?)?;
    let mut question = Vec::new();
    packet::push_data(&mut question, variable(TOKEN_VARIABLE)?.as_encoded_bytes());
    commands.iter().for_each(|command| packet::push_data(&mut question, command));
    packet::push_flush(&mut question);
    socket.write_all(&question)?;

    let mut report = Vec::new();
    while let Packet::Data(payload) = packet::read(&mut socket)? {
        match payload.split_first() {
            Some((&PROGRESS, bytes)) => io::stderr().write_all(bytes)?,
            _ => packet::push_data(&mut report, &payload),
        }
    }
    packet::push_flush(&mut report);
    Ok(report)
}

fn refuse_all(commands: &[Vec<u8>]) -> Vec<u8> {
    let mut report = Vec::new();
    for command in commands {
        let name = command.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
        packet::push_data(&mut report, &[b"ng ", name, b" ", SERVER_AWAY.as_bytes()].concat());
    }
    packet::push_flush(&mut report);
    report
}

//! `control.sock`: one JSON request a line, one answer a line, from root alone.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use renga_supervision::{Control, ControlAnswer, DynoDirectory};

use crate::{
    error::SupervisorError,
    poll::{Asked, Poll, Ready},
    sockets,
};

const CLIENTS_MAX: usize = 8;
const REQUEST_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    clients: Vec<Client>,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Client {
    socket: UnixStream,
    line: Vec<u8>,
    asked: Option<Asked>,
}

impl ControlSocket {
    pub(crate) fn listen(directory: &DynoDirectory) -> Result<Self, SupervisorError> {
        let listener = sockets::listen(&directory.control(), None)?;
        Ok(Self { listener, clients: Vec::new(), asked: None })
    }

    pub(crate) fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        self.asked = Some(poll.readable(&self.listener));
        for client in &mut self.clients {
            client.asked = Some(poll.readable(&client.socket));
        }
    }

    /// One turn; `obey` answers each request.
    pub(crate) fn turn(&mut self, ready: &Ready, mut obey: impl FnMut(Control) -> ControlAnswer) {
        self.clients.retain_mut(|client| {
            let quiet = !client.asked.is_some_and(|asked| ready.at(asked));
            quiet || client.turn(&mut obey)
        });
        if self.asked.is_some_and(|asked| ready.at(asked))
            && let Ok((socket, _)) = self.listener.accept()
            && socket.set_nonblocking(true).is_ok()
        {
            if self.clients.len() == CLIENTS_MAX {
                self.clients.remove(0);
            }
            self.clients.push(Client { socket, line: Vec::new(), asked: None });
        }
    }
}

impl Client {
    /// Whether the connection stays.
    fn turn(&mut self, obey: &mut impl FnMut(Control) -> ControlAnswer) -> bool {
        let mut bytes = [0; 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(read) => self.line.extend_from_slice(&bytes[..read]),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let answer = match serde_json::from_slice(&line) {
                Ok(request) => obey(request),
                Err(error) => ControlAnswer::Refused(format!("could not understand the request: {error}")),
            };
            let mut text = serde_json::to_vec(&answer).expect("answers are plain");
            text.push(b'\n');
            // Answers are far smaller than a socket's buffer: who does not read them is not waited for.
            if self.socket.write_all(&text).is_err() {
                return false;
            }
        }
        self.line.len() <= REQUEST_BYTES_MAX
    }
}

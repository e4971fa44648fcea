//! The window's size, told through a connection of its own whenever it changes.

use std::{
    io::{self, Read, Write as _},
    path::PathBuf,
    sync::mpsc,
    thread,
};

use rustls::StreamOwned;

use crate::{terminal::WindowSize, tls};

const GREETING: &[u8] = b"window\r\n";
/// Sizes that wait while the connection is made; only the newest matters.
const SIZES_WAITING_MAX: usize = 16;

/// Where sizes go; the connection is made with the first one.
pub(super) struct Window {
    sizes: mpsc::SyncSender<WindowSize>,
}

#[derive(Debug, Clone)]
pub(super) struct Meeting {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secret: String,
    pub(super) ca: Option<PathBuf>,
}

impl Window {
    pub(super) fn new(meeting: Meeting) -> Self {
        let (sizes, changes) = mpsc::sync_channel(SIZES_WAITING_MAX);
        // It ends when the session drops its sender. A platform without windows ends it at once, which costs nothing.
        thread::spawn(move || drop(tell(&meeting, &changes)));
        Self { sizes }
    }

    pub(super) fn changed(&self, size: WindowSize) {
        // A full queue means that nobody listens.
        self.sizes.try_send(size).ok();
    }
}

fn tell(meeting: &Meeting, changes: &mpsc::Receiver<WindowSize>) -> io::Result<()> {
    let Ok(mut size) = changes.recv() else { return Ok(()) };
    let config = tls::trusting(meeting.ca.as_deref())?;
    let (socket, connection) = tls::connect(&meeting.host, meeting.port, &config)?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(format!("{}/window\r\n", meeting.secret).as_bytes())?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting)?;
    if greeting != *GREETING {
        return Err(io::Error::other("this platform does not resize windows"));
    }
    loop {
        while let Ok(newer) = changes.try_recv() {
            size = newer;
        }
        stream.write_all(format!("{} {}\n", size.columns, size.rows).as_bytes())?;
        match changes.recv() {
            Ok(newer) => size = newer,
            Err(_) => return Ok(()),
        }
    }
}

//! The local port: one thread for each connection, up to a limit.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Connections at one time; more are turned away.
const CONNECTIONS_MAX: usize = 256;
/// Without file descriptors there is nothing to accept: they come back when somebody leaves.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 59\r\n\
                      Connection: close\r\n\r\nrenga connect has too many connections; try again shortly.\n";

/// For ever: the process ends it.
pub(super) fn serve(listener: &TcpListener, handle: impl Fn(TcpStream) + Send + Sync + 'static) {
    let (handle, open) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
    for client in listener.incoming() {
        let Ok(mut client) = client else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let place = Place::take(&open);
        if place.is_full() {
            // A fresh socket takes that much at once, or the client learns it from the end of the connection.
            client.set_nonblocking(true).and_then(|()| client.write_all(FULL)).ok();
            continue;
        }
        let handle = handle.clone();
        let work = move || {
            handle(client);
            drop(place);
        };
        // Without a thread the connection is closed, and the place is free again.
        thread::Builder::new().spawn(work).ok();
    }
}

/// One of the connections; free again when it is dropped, even by a panic.
struct Place {
    open: Arc<AtomicUsize>,
    number: usize,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        Self { number: open.fetch_add(1, Ordering::Relaxed), open: open.clone() }
    }

    fn is_full(&self) -> bool {
        self.number >= CONNECTIONS_MAX
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

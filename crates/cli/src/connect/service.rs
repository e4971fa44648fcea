//! The local port: one thread for each connection, up to a limit.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    answer::{self, Refusal},
    pipe::End,
};

/// Connections at one time; more are turned away.
const CONNECTIONS_MAX: usize = 256;
/// Without file descriptors there is nothing to accept: they come back when somebody leaves.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections above that which are told so; even more are just closed.
const REFUSALS_MAX: usize = 64;

/// For ever: the process ends it.
pub(super) fn serve(listener: &TcpListener, handle: impl Fn(TcpStream) + Send + Sync + 'static) {
    let (handle, open) = (Arc::new(handle), Arc::new(AtomicUsize::new(0)));
    for client in listener.incoming() {
        let Ok(client) = client else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let (place, handle) = (Place::take(&open), handle.clone());
        if place.number >= CONNECTIONS_MAX + REFUSALS_MAX {
            continue;
        }
        let work = move || {
            match place.number {
                ..CONNECTIONS_MAX => handle(client),
                // It may have gone, which is as good.
                _ => refuse(client).unwrap_or_default(),
            }
            drop(place);
        };
        // Without a thread the connection is closed, and the place is free again.
        thread::Builder::new().spawn(work).ok();
    }
}

fn refuse(client: TcpStream) -> io::Result<()> {
    client.set_write_timeout(Some(REFUSAL_TIMEOUT))?;
    let text = "renga connect has too many connections; try again shortly.";
    Refusal::new(answer::UNAVAILABLE, text).tell_proxy_client(End::plain(client))
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
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

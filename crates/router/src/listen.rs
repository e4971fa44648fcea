//! The listening sockets: one of each port per thread, sharing the port by `SO_REUSEPORT`, so that the kernel spreads
//! connections and no thread wakes for another's.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{RouterError, config::Config};

/// Connections that wait for `accept`, per socket (the kernel lowers it to `net.core.somaxconn`).
pub(crate) const BACKLOG: i32 = 4_096;

/// Bound sockets, not yet served. They may come from elsewhere: a predecessor's sockets keep their waiting clients.
#[derive(Debug)]
pub struct Listeners {
    /// Whether a connection comes in by the one or the other makes no difference: every port speaks HTTP and TLS.
    pub http: Vec<TcpListener>,
    pub tls: Vec<TcpListener>,
}

/// Where the router listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub http: SocketAddr,
    pub tls: SocketAddr,
}

impl Listeners {
    /// Binds a socket of each port for every thread.
    pub fn bind(config: &Config) -> Result<Self, RouterError> {
        let bind = |address| {
            bind_all(address, config.threads.max(1)).map_err(|cause| RouterError::Bind { address, cause })
        };
        Ok(Self { http: bind(config.http)?, tls: bind(config.tls)? })
    }

    /// Binds what is missing for so many threads, to the ports that there are: a predecessor may have had fewer.
    pub fn widen(&mut self, threads: usize) -> Result<(), RouterError> {
        let Addresses { http, tls } = self.addresses()?;
        for (sockets, address) in [(&mut self.http, http), (&mut self.tls, tls)] {
            while sockets.len() < threads {
                sockets.push(bind_one(address).map_err(|cause| RouterError::Bind { address, cause })?);
            }
        }
        Ok(())
    }

    /// Sockets of the port that has the most.
    pub(crate) fn per_port(&self) -> usize {
        self.http.len().max(self.tls.len())
    }

    pub fn addresses(&self) -> Result<Addresses, RouterError> {
        let of = |sockets: &[TcpListener]| {
            let socket = sockets.first().ok_or(std::io::ErrorKind::NotFound)?;
            socket.local_addr()
        };
        let addresses = of(&self.http).and_then(|http| Ok(Addresses { http, tls: of(&self.tls)? }));
        addresses.map_err(|cause| RouterError::Prepare { what: "the listening sockets", cause })
    }
}

fn bind_all(address: SocketAddr, count: usize) -> std::io::Result<Vec<TcpListener>> {
    let first = bind_one(address)?;
    // Port 0 has become a real one, which the others share.
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(address)?);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

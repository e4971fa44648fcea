//! TLS without an HTTP library: for the rendezvous and for the forwarder of `connect`.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts one CA, or the public ones.
pub(crate) fn trusting(ca: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file).map_err(io::Error::other)?;
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth()))
}

/// `HOST:PORT`, or `[ADDRESS]:PORT`.
pub(crate) fn split_authority(authority: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default_port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// The first address that answers.
pub(crate) fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(refused) => last = refused,
        }
    }
    Err(last)
}

/// Connected and shaken hands; the socket is blocking.
pub(crate) fn connect(
    host: &str,
    port: u16,
    config: &Arc<ClientConfig>,
) -> io::Result<(TcpStream, ClientConnection)> {
    let mut socket = connect_tcp(host, port)?;
    let connection = handshake(&mut socket, host, config)?;
    Ok((socket, connection))
}

/// Whether a handshake failed because nobody who is trusted signed the server's certificate. One who has the name of
/// somebody trusted, and another key, is a platform that was set up anew.
pub(crate) fn is_untrusted(failed: &io::Error) -> bool {
    use CertificateError::{BadSignature, UnknownIssuer};
    let cause = failed.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)))
}

pub(crate) fn handshake(
    socket: &mut TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    while connection.is_handshaking() {
        connection.complete_io(socket)?;
    }
    socket.set_read_timeout(None)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_have_a_host_and_perhaps_a_port() {
        let split = |text: &str| split_authority(text, 443);
        assert_eq!(split("paas.example"), Some(("paas.example".into(), 443)));
        assert_eq!(split("paas.example:4443"), Some(("paas.example".into(), 4443)));
        assert_eq!(split("[::1]:4443"), Some(("::1".into(), 4443)));
        assert_eq!(split("::1"), Some(("::1".into(), 443)));
        assert_eq!(split("paas.example:x"), None);
        assert_eq!(split(""), None);
    }
}

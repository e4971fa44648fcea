//! The HTTPS proxy: Heroku's names lead to the platform, everything else leads where it says.
//!
//! ```text
//! CONNECT api.heroku.com:443      ─> 200, TLS with our own certificate, one request ─> the platform
//! CONNECT backboard.heroku.com:443 ─> 403: it would get the token
//! CONNECT example.com:443         ─> 200, a tunnel (through the site's proxy, if there is one)
//! anything else                   ─> 4xx, with what to do
//! ```

use std::{io, net::TcpStream, sync::Arc, time::Instant};

use renga_model::Secret;
use rustls::ServerConfig;

use super::{
    answer::{self, Refusal},
    forward::{self, HEAD_TIMEOUT, Target},
    head,
    hosts::Owner,
    pipe::{self, End, Kind},
    site::{self, SiteProxy},
};
use crate::tls;

/// A name, a port, and the few headers that clients of proxies send.
const CONNECT_BYTES_MAX: usize = 8 * 1024;
const HTTPS_PORT: u16 = 443;
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

pub(super) struct Proxy {
    pub(super) platform: Target,
    /// The only one that is passed on to the platform.
    pub(super) token: Secret,
    /// For Heroku's names.
    pub(super) tls: Arc<ServerConfig>,
    pub(super) site: Option<SiteProxy>,
}

/// Where a client wants to go.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// `HOST:PORT` as it was said.
    authority: String,
    host: String,
    port: u16,
}

pub(super) fn serve_one(client: TcpStream, proxy: &Proxy) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(HEAD_TIMEOUT))?;
    let socket = client.try_clone()?;
    let mut client = End::plain(client);
    let deadline = Instant::now() + HEAD_TIMEOUT;
    let (head, early) = match head::read(&mut client, Vec::new(), CONNECT_BYTES_MAX, deadline) {
        Ok(read) => read,
        Err(why) => return Refusal::unread(&why).map_or(Ok(()), |refusal| refusal.tell_proxy_client(client)),
    };
    let wanted = match wanted(&head) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.tell_proxy_client(client),
    };
    match Owner::of(&wanted.host) {
        Owner::Other => tunnel(client, early, &wanted, proxy),
        Owner::Platform if wanted.port == HTTPS_PORT => {
            client.write_all(ESTABLISHED)?;
            let mut client = End::accept(socket, proxy.tls.clone(), &early)?;
            let said = client.shake_hands(Instant::now() + HEAD_TIMEOUT)?;
            forward::request(client, said, &proxy.platform, Some(proxy.token.expose()))
        }
        Owner::Platform | Owner::Heroku => not_served(&wanted, proxy).tell_proxy_client(client),
    }
}

fn wanted(head: &[u8]) -> Result<Wanted, Refusal> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
    let (method, target, version) = (words.next(), words.next(), words.next());
    let is_http = version.is_some_and(|version| version.starts_with("HTTP/1.")) && words.next().is_none();
    if !is_http {
        return Err(Refusal::new(answer::BAD_REQUEST, "renga connect: that is no HTTP/1 request."));
    }
    if method.as_deref() != Some("CONNECT") {
        let text = "renga connect --proxy is a proxy for https only: set it as HTTPS_PROXY, not as HTTP_PROXY, and ask \
                    for https://... addresses. To reach the platform itself by this port, run it without --proxy.";
        return Err(Refusal::new(answer::METHOD_NOT_ALLOWED, text));
    }
    let authority = target.unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let split = authority.rsplit_once(':').filter(|_| authority.bytes().all(legal));
    let split = split.and_then(|_| tls::split_authority(&authority, 0)).filter(|(_, port)| *port != 0);
    match split {
        Some((host, port)) => Ok(Wanted { authority, host, port }),
        None => Err(Refusal::new(answer::BAD_REQUEST, "renga connect: CONNECT wants HOST:PORT.")),
    }
}

fn not_served(wanted: &Wanted, proxy: &Proxy) -> Refusal {
    let text = format!(
        "renga connect: {} belongs to Heroku, and {} answers for nothing like it, so nobody was asked: your token would \
         have gone there. To reach Heroku itself, use a terminal without these variables (or, for one command, `env -u \
         HTTPS_PROXY -u https_proxy -u HEROKU_API_KEY COMMAND`).",
        wanted.authority, proxy.platform.authority
    );
    Refusal::new(answer::FORBIDDEN, text)
}

/// What is encrypted in it is none of our business.
fn tunnel(mut client: End, early: Vec<u8>, wanted: &Wanted, proxy: &Proxy) -> io::Result<()> {
    let opened = match &proxy.site {
        Some(site) => site.open(&wanted.authority),
        None => site::open_directly(&wanted.host, wanted.port),
    };
    match opened {
        Ok((remote, said)) => {
            client.write_all(ESTABLISHED)?;
            pipe::pump(client, End::plain(remote), Kind::Tunnel, [early, said])
        }
        Err(failed) => {
            let by = proxy.site.as_ref().map_or_else(String::new, |site| format!(" through {site}"));
            let text = format!("renga connect can't reach {}{by}: {failed}.", wanted.authority);
            Refusal::new(answer::BAD_GATEWAY, text).tell_proxy_client(client)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_are_asked_for() {
        let asked = |line: &str| wanted(format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
        let found = asked("CONNECT api.heroku.com:443 HTTP/1.1").unwrap();
        assert_eq!((found.host.as_str(), found.port), ("api.heroku.com", 443));
        assert_eq!(asked("CONNECT [::1]:8443 HTTP/1.0").unwrap().host, "::1");
        for (line, status) in [
            ("GET http://api.heroku.com/ HTTP/1.1", answer::METHOD_NOT_ALLOWED),
            ("GET / HTTP/1.1", answer::METHOD_NOT_ALLOWED),
            ("connect a:1 HTTP/1.1", answer::METHOD_NOT_ALLOWED),
            ("CONNECT a HTTP/1.1", answer::BAD_REQUEST),
            ("CONNECT a:0 HTTP/1.1", answer::BAD_REQUEST),
            ("CONNECT a:99999 HTTP/1.1", answer::BAD_REQUEST),
            ("CONNECT :443 HTTP/1.1", answer::BAD_REQUEST),
            ("CONNECT a\nb:443 HTTP/1.1", answer::BAD_REQUEST),
            ("CONNECT a:443 HTTP/2", answer::BAD_REQUEST),
            ("CONNECT a:443", answer::BAD_REQUEST),
            ("hello", answer::BAD_REQUEST),
        ] {
            assert_eq!(asked(line).unwrap_err().status, status, "{line}");
        }
    }
}

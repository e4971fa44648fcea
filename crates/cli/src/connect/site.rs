//! The way out for what is not ours: directly, or through the proxy that the site had set before.

use std::{fmt, io, net::TcpStream, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{forward::HEAD_TIMEOUT, head, pipe::End};
use crate::{Environment, errors::Failure, tls};

/// In the order in which curl asks for an https address.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// What clients take where the URL names none.
const PORT_DEFAULT: u16 = 1080;
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// An HTTP proxy.
#[derive(PartialEq, Eq)]
pub(super) struct SiteProxy {
    host: String,
    port: u16,
    /// `Basic ...`
    authorization: Option<String>,
}

/// A way to somebody, and what was said on it already.
type Opened = (TcpStream, Vec<u8>);

pub(super) fn open_directly(host: &str, port: u16) -> io::Result<Opened> {
    Ok((tls::connect_tcp(host, port)?, Vec::new()))
}

impl SiteProxy {
    /// None without one, and for our own address, which a shell of an earlier run still has.
    pub(super) fn of(env: &Environment, own_port: u16) -> Result<Option<Self>, Failure> {
        let no_proxy = env.get("no_proxy").or_else(|| env.get("NO_PROXY"));
        let named = VARIABLES.iter().find_map(|name| Some((*name, env.get(name)?)));
        let Some((variable, url)) = named.filter(|_| no_proxy != Some("*")) else { return Ok(None) };
        let proxy = Self::parse(url).ok_or(Failure::SiteProxy { variable })?;
        let own = proxy.port == own_port && ["127.0.0.1", "localhost"].contains(&proxy.host.as_str());
        Ok(Some(proxy).filter(|_| !own))
    }

    fn parse(url: &str) -> Option<Self> {
        let rest = match url.split_once("://") {
            Some((scheme, rest)) => scheme.eq_ignore_ascii_case("http").then_some(rest)?,
            None => url,
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, authority) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        let (host, port) = tls::split_authority(authority, PORT_DEFAULT)?;
        let basic = |user: &str| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let pair = [decoded(name), b":".to_vec(), decoded(password)].concat();
            format!("Basic {}", STANDARD.encode(pair))
        };
        Some(Self { host, port, authorization: user.map(basic) })
    }

    /// A tunnel of its own to `authority`.
    pub(super) fn open(&self, authority: &str) -> io::Result<Opened> {
        let socket = tls::connect_tcp(&self.host, self.port)?;
        socket.set_write_timeout(Some(HEAD_TIMEOUT))?;
        let mut end = End::plain(socket.try_clone()?);
        let mut asked = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some(authorization) = &self.authorization {
            asked.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        end.write_all(format!("{asked}\r\n").as_bytes())?;
        let deadline = Instant::now() + HEAD_TIMEOUT;
        let answered = head::read(&mut end, Vec::new(), ANSWER_BYTES_MAX, deadline);
        let (head, said) = answered.map_err(|_| io::Error::other("it gave no answer"))?;
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let status = line.split(' ').nth(1).unwrap_or_default();
        match status.len() == 3 && status.starts_with('2') {
            true => Ok((socket, said)),
            false => Err(io::Error::other(format!("it answered {line:?}"))),
        }
    }
}

/// Without the password.
impl fmt::Display for SiteProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}:{}", self.host, self.port)
    }
}

impl fmt::Debug for SiteProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `%40` is `@`; what is no such code stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [0];
        let code = after.get(..2).filter(|_| *first == b'%');
        match code.map(|code| hex::decode_to_slice(code, &mut byte)) {
            Some(Ok(())) => (byte, rest) = (byte, &after[2..]),
            _ => (byte, rest) = ([*first], after),
        }
        bytes.extend(byte);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)]) -> Result<Option<SiteProxy>, Failure> {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SiteProxy::of(&Environment { vars: vars.collect() }, 4010)
    }

    fn proxy(host: &str, port: u16, authorization: Option<&str>) -> Option<SiteProxy> {
        Some(SiteProxy { host: host.into(), port, authorization: authorization.map(str::to_owned) })
    }

    #[test]
    fn the_sites_proxy_is_found_as_other_tools_find_it() {
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&[("HTTPS_PROXY", "http://p.example:3128/")]).unwrap(), proxy("p.example", 3128, None));
        assert_eq!(of(&[("ALL_PROXY", "p.example")]).unwrap(), proxy("p.example", 1080, None));
        let pair = STANDARD.encode("me@x:a:%b");
        let expected = proxy("p.example", 3128, Some(&format!("Basic {pair}")));
        assert_eq!(of(&[("https_proxy", "http://me%40x:a:%b@p.example:3128")]).unwrap(), expected);
        assert_eq!(of(&[("HTTPS_PROXY", "http://p.example"), ("NO_PROXY", "*")]).unwrap(), None);
    }

    #[test]
    fn we_are_not_our_own_way_out() {
        assert_eq!(of(&[("HTTPS_PROXY", "http://127.0.0.1:4010")]).unwrap(), None);
        assert_eq!(of(&[("HTTPS_PROXY", "http://127.0.0.1:4011")]).unwrap(), proxy("127.0.0.1", 4011, None));
    }

    #[test]
    fn what_we_cannot_speak_is_refused_without_its_password() {
        for url in ["socks5://me:secret@p.example", "https://me:secret@p.example", "http://me:secret@:1"] {
            let failure = of(&[("ALL_PROXY", url)]).unwrap_err();
            assert!(!failure.text().unwrap().contains("secret"), "{url}");
        }
    }
}

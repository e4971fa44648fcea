//! Who the client is, where something of the operator's stands in front: load balancers and CDNs, known by their
//! addresses. Everybody else may claim what he likes, and is told apart by his own address.
//!
//! ```text
//! from a stranger:   X-Forwarded-For: what he claims, his address   Proto and Port: how he came to us
//! from a proxy:      X-Forwarded-For: what it says                  Proto and Port: what it says
//! ```
//!
//! The address at the right end is the client's in both cases, as apps expect it of Heroku.

use std::{
    fmt::{self, Display},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A range of addresses: `10.1.0.0/16`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// An IPv4 address as IPv6 maps it, so that there is one kind.
    base: u128,
    /// Of 128.
    bits: u32,
    v4: bool,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a range of addresses such as 10.1.0.0/16 or 2001:db8::/32")]
pub struct NotANetwork;

/// What a request said of its way so far. Of values that came several times: all, with `, ` between them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claimed<'a> {
    pub(crate) addresses: Option<&'a [u8]>,
    pub(crate) proto: Option<&'a [u8]>,
    pub(crate) port: Option<&'a [u8]>,
}

/// What the dyno is told, and the log: the addresses are its `fwd`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Way<'a> {
    pub(crate) addresses: Vec<u8>,
    pub(crate) proto: &'static str,
    pub(crate) port: &'a [u8],
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
        (mapped(address) ^ self.base) & mask == 0
    }
}

impl FromStr for Network {
    type Err = NotANetwork;
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |bits| bits.parse::<u32>().map_err(|_| NotANetwork))?;
        if bits > all {
            return Err(NotANetwork);
        }
        Ok(Self { base: mapped(address), bits: 128 - all + bits, v4: address.is_ipv4() })
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, bits) = (Ipv6Addr::from_bits(self.base), self.bits);
        match self.v4 {
            true => write!(f, "{}/{}", IpAddr::from(address).to_canonical(), bits - 96),
            false => write!(f, "{address}/{bits}"),
        }
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

pub(crate) fn among(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// What to tell of a client whose connection comes from `peer`; by TLS if `tls`.
pub(crate) fn told<'a>(
    peer: &[u8],
    from_proxy: bool,
    tls: bool,
    claimed: Claimed<'a>,
    proxies: &[Network],
) -> Way<'a> {
    let (proto, port) = seen(tls);
    if !from_proxy {
        return Way { addresses: appended(claimed.addresses, peer), proto, port: port.as_bytes() };
    }
    let said = claimed.proto.and_then(known_proto);
    let port = claimed.port.filter(|port| is_port(port)).unwrap_or(match said {
        Some("https") => b"443",
        Some(_) => b"80",
        None => port.as_bytes(),
    });
    let client = claimed.addresses.and_then(|chain| up_to_client(chain, proxies));
    let addresses = client.map_or_else(|| appended(claimed.addresses, peer), <[u8]>::to_vec);
    Way { addresses, proto: said.unwrap_or(proto), port }
}

fn seen(tls: bool) -> (&'static str, &'static str) {
    if tls { ("https", "443") } else { ("http", "80") }
}

fn appended(chain: Option<&[u8]>, peer: &[u8]) -> Vec<u8> {
    match chain.map(<[u8]>::trim_ascii).filter(|chain| !chain.is_empty()) {
        Some(chain) => [chain, b", ", peer].concat(),
        None => peer.to_vec(),
    }
}

/// The chain without the proxies at its right end; none if what stands there is no address. A chain of nothing but
/// proxies names the first of them.
fn up_to_client<'a>(chain: &'a [u8], proxies: &[Network]) -> Option<&'a [u8]> {
    let mut rest = chain.trim_ascii();
    loop {
        let comma = rest.iter().rposition(|byte| *byte == b',');
        let last = comma.map_or(rest, |at| &rest[at + 1..]).trim_ascii();
        let address = entry(last)?;
        match comma {
            Some(at) if among(proxies, address) => rest = rest[..at].trim_ascii(),
            _ => return Some(rest),
        }
    }
}

/// An address, as some write it: `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:1234`.
fn entry(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bare)
}

fn known_proto(text: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|proto| text.trim_ascii().eq_ignore_ascii_case(proto.as_bytes()))
}

fn is_port(text: &[u8]) -> bool {
    let number = str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|number| number.parse::<u16>().ok()).is_some_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn networks_hold_what_is_in_them() {
        let inside = |network: &str, address: &str| among(&networks(&[network]), address.parse().unwrap());
        for (network, address) in [
            ("10.1.0.0/16", "10.1.255.255"),
            ("10.1.0.0/16", "::ffff:10.1.2.3"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("::/0", "192.0.2.1"),
            ("::/0", "2001:db8::1"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8:ffff::1"),
        ] {
            assert!(inside(network, address), "{address} in {network}");
        }
        for (network, address) in [
            ("10.1.0.0/16", "10.2.0.0"),
            ("0.0.0.0/0", "2001:db8::1"),
            ("192.0.2.7", "192.0.2.6"),
            ("2001:db8::/32", "2001:db9::1"),
        ] {
            assert!(!inside(network, address), "{address} in {network}");
        }
        for wrong in
            ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "host", "1.2.3.4/8/8"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
        for text in ["10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_stranger_is_known_by_his_own_address() {
        let told = |addresses: Option<&'static str>, tls| {
            let claimed = Claimed {
                addresses: addresses.map(str::as_bytes),
                proto: Some(b"https"),
                port: Some(b"8443"),
            };
            let told = told(b"192.0.2.9", false, tls, claimed, &networks(&["10.0.0.0/8"]));
            (String::from_utf8(told.addresses).unwrap(), told.proto, told.port)
        };
        assert_eq!(told(None, false), ("192.0.2.9".into(), "http", &b"80"[..]));
        assert_eq!(told(Some(""), true), ("192.0.2.9".into(), "https", &b"443"[..]));
        assert_eq!(told(Some("10.0.0.1"), true).0, "10.0.0.1, 192.0.2.9");
    }

    #[test]
    fn a_proxy_says_who_the_client_is() {
        let told = |addresses: &'static str| {
            let claimed = Claimed { addresses: Some(addresses.as_bytes()), ..Claimed::default() };
            let told = told(b"10.0.0.1", true, false, claimed, &networks(&["10.0.0.0/8", "2001:db8::/32"]));
            String::from_utf8(told.addresses).unwrap()
        };
        for (said, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("spoofed, 192.0.2.1", "spoofed, 192.0.2.1"),
            ("192.0.2.1,10.7.7.7 , 2001:db8::2", "192.0.2.1"),
            ("192.0.2.1:5555", "192.0.2.1:5555"),
            ("192.0.2.1, [2001:db8::2]:80", "192.0.2.1"),
            // Inside our own walls all are proxies: the first is the client.
            ("10.9.9.9, 10.7.7.7", "10.9.9.9"),
            // What is no address is followed by one that is.
            ("unknown", "unknown, 10.0.0.1"),
            ("192.0.2.1, ", "192.0.2.1,, 10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(told(said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_proxy_says_how_the_client_came() {
        let told = |proto: Option<&'static str>, port: Option<&'static str>, tls| {
            let claimed =
                Claimed { addresses: None, proto: proto.map(str::as_bytes), port: port.map(str::as_bytes) };
            let told = told(b"10.0.0.1", true, tls, claimed, &[]);
            (told.proto, str::from_utf8(told.port).unwrap())
        };
        assert_eq!(told(Some("HTTPS"), Some("8443"), false), ("https", "8443"));
        assert_eq!(told(Some("https"), None, false), ("https", "443"));
        assert_eq!(told(Some("http"), None, true), ("http", "80"));
        assert_eq!(told(None, None, true), ("https", "443"));
        assert_eq!(told(Some("gopher"), Some("70000"), false), ("http", "80"));
        assert_eq!(told(Some("https,http"), Some("0"), false), ("http", "80"));
        assert_eq!(told(None, Some("+80"), false), ("http", "80"));
    }
}

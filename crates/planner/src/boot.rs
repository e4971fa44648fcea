//! Why a web dyno's port did not answer in time, as far as its listening sockets tell.

use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootHint {
    /// The right port, where nobody outside the dyno reaches it.
    LoopbackOnly(SocketAddr),
    OtherPort(SocketAddr),
}

/// None when nothing listens, or all is as it should be and only late.
pub fn boot_hint(listeners: &[SocketAddr], port: u16) -> Option<BootHint> {
    let of_port = || listeners.iter().filter(|at| at.port() == port);
    if of_port().any(|at| !is_loopback(at.ip())) {
        return None;
    }
    if let Some(at) = of_port().next() {
        return Some(BootHint::LoopbackOnly(*at));
    }
    // One that can be reached says more about what the app meant.
    let reached = listeners.iter().find(|at| !is_loopback(at.ip()));
    reached.or(listeners.first()).map(|at| BootHint::OtherPort(*at))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_what_the_app_got_wrong() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (listeners, expected) in [
            (&[][..], None),
            (&["0.0.0.0:5000"], None),
            (&["127.0.0.1:5000", "[::]:5000"], None),
            (&["127.0.0.1:5000"], Some(BootHint::LoopbackOnly(at("127.0.0.1:5000")))),
            (&["0.0.0.0:3000", "[::1]:5000"], Some(BootHint::LoopbackOnly(at("[::1]:5000")))),
            (&["[::ffff:127.0.0.1]:5000"], Some(BootHint::LoopbackOnly(at("[::ffff:127.0.0.1]:5000")))),
            (&["127.0.0.1:9", "0.0.0.0:3000"], Some(BootHint::OtherPort(at("0.0.0.0:3000")))),
            (&["127.0.0.1:9"], Some(BootHint::OtherPort(at("127.0.0.1:9")))),
        ] {
            let listeners: Vec<SocketAddr> = listeners.iter().map(|text| at(text)).collect();
            assert_eq!(boot_hint(&listeners, 5000), expected, "{listeners:?}");
        }
    }
}

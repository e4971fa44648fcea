//! `[routing]`: what stands in front of the router.

use std::net::SocketAddr;

use renga_router::Network;
use serde::Deserialize;

use super::parse_address;

#[derive(Debug, Clone, Default)]
pub(crate) struct Routing {
    pub(crate) proxy_protocol: Vec<Network>,
    pub(crate) trusted_proxies: Vec<Network>,
    /// None: on the control socket only.
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TypedRouting {
    /// Ranges of load balancers that begin each connection with a PROXY header (`10.1.0.0/16`, `2001:db8::/32`).
    proxy_protocol: Vec<String>,
    /// Ranges of proxies whose X-Forwarded-For, -Proto and -Port are believed.
    trusted_proxies: Vec<String>,
    /// Where metrics are told over HTTP (`127.0.0.1:9090`).
    metrics: Option<String>,
}

impl TypedRouting {
    pub(super) fn finish(&self, mistakes: &mut Vec<String>) -> Routing {
        Routing {
            proxy_protocol: networks("proxy_protocol", &self.proxy_protocol, mistakes),
            trusted_proxies: networks("trusted_proxies", &self.trusted_proxies, mistakes),
            metrics: self.metrics.as_deref().and_then(|text| metrics(text, mistakes)),
        }
    }
}

/// A port alone is one of this machine's own.
fn metrics(text: &str, mistakes: &mut Vec<String>) -> Option<SocketAddr> {
    let typed = if text.contains(':') { text.to_owned() } else { format!("localhost:{text}") };
    parse_address(&typed).map_err(|why| mistakes.push(format!("routing.metrics = \"{text}\": {why}"))).ok()
}

fn networks(key: &str, typed: &[String], mistakes: &mut Vec<String>) -> Vec<Network> {
    let parsed = |text: &String| {
        let network = text.parse();
        network.map_err(|why| mistakes.push(format!("routing.{key}: \"{text}\" is {why}"))).ok()
    };
    typed.iter().filter_map(parsed).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Typed;

    #[test]
    fn proxies_are_ranges_of_either_family() {
        let typed = |text: &str| toml::from_str::<Typed>(text).unwrap().finish();
        let routing = typed("").unwrap().routing;
        assert!(routing.proxy_protocol.is_empty() && routing.trusted_proxies.is_empty());
        let text = "[routing]\nproxy_protocol = [\"10.0.0.0/8\"]\ntrusted_proxies = [\"2001:db8::/32\", \"192.0.2.1\"]";
        let routing = typed(text).unwrap().routing;
        assert_eq!((routing.proxy_protocol.len(), routing.trusted_proxies.len()), (1, 2));
        for (text, address) in
            [("9090", "127.0.0.1:9090"), ("*:9090", "0.0.0.0:9090"), ("[::1]:0", "[::1]:0")]
        {
            let metrics = typed(&format!("[routing]\nmetrics = \"{text}\"")).unwrap().routing.metrics;
            assert_eq!(metrics, Some(address.parse().unwrap()));
        }
        let mistakes = typed("[routing]\nmetrics = \"host:1\"").unwrap_err();
        assert!(mistakes[0].starts_with("routing.metrics = \"host:1\": the host must be"), "{mistakes:?}");
        let mistakes = typed("[routing]\nproxy_protocol = [\"10.0.0.0/33\", \"lb\"]").unwrap_err();
        let said = "is not a range of addresses such as 10.1.0.0/16 or 2001:db8::/32";
        assert_eq!(
            mistakes,
            [
                format!("routing.proxy_protocol: \"10.0.0.0/33\" {said}"),
                format!("routing.proxy_protocol: \"lb\" {said}")
            ]
        );
    }
}

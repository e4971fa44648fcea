//! The variables of the HTTPS-proxy mode: the official command line believes that it talks to Heroku.

use std::path::Path;

use renga_model::Secret;

use super::{
    exports::{DIRECT, Exports, SWITCHES},
    trust_bundle,
};
use crate::{Environment, errors::Failure};

const GIT: &str = "https://git.heroku.com";
/// Each of them would lead around the proxy, or carries something that was meant for somebody else.
const POINTERS: [&str; 12] = [
    "HEROKU_HOST",
    "HEROKU_GIT_HOST",
    "HEROKU_DATA_HOST",
    "HEROKU_POSTGRESQL_HOST",
    "HEROKU_REDIS_HOST",
    "HEROKU_PARTICLEBOARD_URL",
    "HEROKU_LOGIN_HOST",
    "HEROKU_STATUS_HOST",
    "PGDIAGNOSE_URL",
    "HEROKU_CLOUD",
    "HEROKU_HEADERS",
    "RENGA_DATA_DIR",
];
/// What the official command line asks for without the proxy: these lead to the platform itself.
const DIRECTLY: [(&str, &str); 3] = [
    ("HEROKU_BUILDPACK_REGISTRY_URL", "https://{}"),
    ("HEROKU_EXEC_URL", "https://{}/"),
    ("HEROKU_CI_WEBSOCKET_URL", "wss://{}/socket"),
];
/// Git runs it by a shell. The token is in the variable, and nowhere else.
const HELPER: &str =
    "!f() { test \"$1\" != get || printf 'username=heroku\\npassword=%s\\n' \"$HEROKU_API_KEY\"; }; f";

pub(crate) struct Proxied<'a> {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// The platform's `HOST:PORT`.
    pub(crate) platform: &'a str,
    /// Signs Heroku's names; for programs that ask the proxy.
    pub(crate) local_ca: &'a Path,
    /// That and the platform's own, which streams and terminals meet.
    pub(crate) all_cas: &'a Path,
    pub(crate) token: &'a Secret,
    /// Names that no exception from the proxy may hold for, and the domains that they are in.
    pub(crate) hosts: &'a [&'a str],
}

impl Exports {
    pub(crate) fn proxied(proxied: &Proxied<'_>, env: &Environment) -> Result<Self, Failure> {
        let mut exports = Self { unset: POINTERS.map(str::to_owned).to_vec(), ..Self::default() };
        for name in ["HTTPS_PROXY", "https_proxy"] {
            exports.put(name, &proxied.url);
        }
        let direct = direct(env, proxied.hosts);
        for name in ["NO_PROXY", "no_proxy"] {
            exports.put(name, &direct);
        }
        for (name, form) in DIRECTLY {
            exports.put(name, &form.replacen("{}", proxied.platform, 1));
        }
        exports.put("HEROKU_API_KEY", proxied.token.expose());
        SWITCHES.iter().for_each(|(name, value)| exports.put(name, value));
        let port = proxied.url.rsplit(':').next().unwrap_or_default();
        let bundle = |ca, variable| trust_bundle(ca, variable, &format!("proxy-{port}"), env);
        let mut trust = |variable, ca| {
            let file = bundle(ca, variable)?;
            exports.put(variable, &file.to_string_lossy());
            Ok::<_, Failure>(())
        };
        trust("NODE_EXTRA_CA_CERTS", proxied.all_cas)?;
        if env.get("GIT_SSL_CAINFO").is_some() {
            trust("GIT_SSL_CAINFO", proxied.local_ca)?;
        }
        // With a proxy, the official command line reads these two, and then believes nobody else.
        if env.get("SSL_CERT_FILE").is_some() || env.get("SSL_CERT_DIR").is_some() {
            trust("SSL_CERT_FILE", proxied.local_ca)?;
        }
        let entry = |key: &str, value: &str| (key.replacen("{}", GIT, 1), value.to_owned());
        let ca = proxied.local_ca.to_string_lossy();
        exports.put_git_entries(
            vec![
                entry("http.{}.proxy", &proxied.url),
                entry("http.{}.sslCAInfo", &ca),
                entry("credential.{}.helper", ""),
                entry("credential.{}.helper", HELPER),
            ],
            env,
        );
        Ok(exports)
    }
}

/// The addresses that are asked directly, without those that would let a request for Heroku's names out.
fn direct(env: &Environment, hosts: &[&str]) -> String {
    let present = env.get("NO_PROXY").or_else(|| env.get("no_proxy")).unwrap_or("");
    let lets_out = |entry: &str| {
        let (suffix, _) = entry.split_once(':').unwrap_or((entry, ""));
        let suffix = suffix.trim_start_matches(['*', '.']).to_ascii_lowercase();
        suffix.is_empty() || hosts.iter().any(|host| host.ends_with(&suffix) || suffix.ends_with(host))
    };
    let mut kept: Vec<&str> = present.split(',').map(str::trim).filter(|entry| !lets_out(entry)).collect();
    for address in DIRECT {
        if !kept.contains(&address) {
            kept.push(address);
        }
    }
    kept.join(",")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOSTS: [&str; 3] = ["api.heroku.com", "git.heroku.com", "heroku.com"];

    fn value<'a>(exports: &'a Exports, name: &str) -> Option<&'a str> {
        exports.set.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn nothing_leads_around_the_proxy() {
        let direct = |no_proxy: &str| direct(&Environment::from([("NO_PROXY", no_proxy)]), &HOSTS);
        assert_eq!(direct(""), "localhost,127.0.0.1");
        assert_eq!(direct("*"), "localhost,127.0.0.1");
        assert_eq!(
            direct(
                "corp.example, .corp, api.heroku.com, .heroku.com,com,*.COM,, git.heroku.com:443, 10.0.0.0/8"
            ),
            "corp.example,.corp,10.0.0.0/8,localhost,127.0.0.1"
        );
        assert_eq!(direct("x.api.heroku.com,localhost"), "localhost,127.0.0.1");
    }

    #[test]
    fn what_was_trusted_stays_trusted_and_nothing_points_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (local, all) = (file("local.pem", "LOCAL"), file("all.pem", "LOCAL\nPLATFORM"));
        let site = file("site.pem", "SITE");
        let site = site.to_str().unwrap();
        let env = Environment::from([
            ("HOME", dir.path().to_str().unwrap()),
            ("HEROKU_API_KEY", "HRKU-real"),
            ("NODE_EXTRA_CA_CERTS", site),
            ("SSL_CERT_FILE", site),
        ]);
        let proxied = Proxied {
            url: "http://127.0.0.1:4010".into(),
            platform: "paas.example:4443",
            local_ca: &local,
            all_cas: &all,
            token: &Secret::new("T"),
            hosts: &HOSTS,
        };
        let exports = Exports::proxied(&proxied, &env).unwrap();
        let trusted = |name: &str| fs::read_to_string(value(&exports, name).unwrap()).unwrap();
        assert_eq!(trusted("NODE_EXTRA_CA_CERTS"), "SITE\nLOCAL\nPLATFORM\n");
        assert_eq!(trusted("SSL_CERT_FILE"), "SITE\nLOCAL\n");
        assert_eq!(value(&exports, "GIT_SSL_CAINFO"), None);
        assert_eq!(value(&exports, "HEROKU_API_KEY"), Some("T"));
        assert_eq!(value(&exports, "https_proxy"), Some("http://127.0.0.1:4010"));
        assert_eq!(value(&exports, "HEROKU_EXEC_URL"), Some("https://paas.example:4443/"));
        assert_eq!(value(&exports, "GIT_CONFIG_COUNT"), Some("4"));
        assert_eq!(value(&exports, "GIT_CONFIG_KEY_0"), Some("http.https://git.heroku.com.proxy"));
        assert!(exports.for_sh().contains("unset HEROKU_HOST\n"));
    }
}

//! The variables that point the official command line, git and Node at a platform, all of them together: one that is
//! missing sends the token to somebody else.

use std::fmt::Write as _;

use renga_model::Secret;

use super::{Place, trust_bundle};
use crate::{Environment, errors::Failure};

/// Entries of `GIT_CONFIG_COUNT` that are looked at.
pub(super) const GIT_CONFIGS_MAX: usize = 1_000;

/// Variables whose value is the API's URL.
const URL_VARIABLES: [&str; 5] = [
    "HEROKU_HOST",
    "HEROKU_PARTICLEBOARD_URL",
    "HEROKU_LOGIN_HOST",
    "HEROKU_STATUS_HOST",
    "HEROKU_BUILDPACK_REGISTRY_URL",
];
/// No usage data to anybody, no updates in between, and tokens where they are kept per host.
pub(super) const SWITCHES: [(&str, &str); 4] = [
    ("DISABLE_TELEMETRY", "true"),
    ("HEROKU_SKIP_NEW_VERSION_CHECK", "true"),
    ("HEROKU_DISABLE_AUTOUPDATE", "1"),
    ("HEROKU_NETRC_WRITE", "true"),
];
/// Addresses that no proxy may be asked for.
pub(super) const DIRECT: [&str; 2] = ["localhost", "127.0.0.1"];

#[derive(Debug, Default)]
pub(crate) struct Exports {
    pub(crate) set: Vec<(String, String)>,
    pub(crate) unset: Vec<String>,
}

impl Exports {
    /// `helper` is the program that git asks for the token, by its full path.
    pub(crate) fn new(
        place: &Place,
        token: Option<&Secret>,
        helper: &str,
        env: &Environment,
    ) -> Result<Self, Failure> {
        let mut exports = Self::default();
        URL_VARIABLES.iter().for_each(|name| exports.put(name, &place.api));
        exports.put("HEROKU_GIT_HOST", &place.git_host);
        exports.put("HEROKU_DATA_HOST", "localhost");
        SWITCHES.iter().for_each(|(name, value)| exports.put(name, value));
        match &place.data_dir {
            Some(data_dir) => exports.put("RENGA_DATA_DIR", &data_dir.to_string_lossy()),
            // It would name another platform.
            None if env.get("RENGA_DATA_DIR").is_some() => exports.unset.push("RENGA_DATA_DIR".into()),
            None => {}
        }
        match token {
            Some(token) => exports.put("HEROKU_API_KEY", token.expose()),
            // The key of another platform must not be sent to this one.
            None if env.get("HEROKU_API_KEY").is_some() => exports.unset.push("HEROKU_API_KEY".into()),
            None => {}
        }
        exports.put_direct(env);
        if let Some(ca) = &place.ca {
            let bundle = |variable| trust_bundle(ca, variable, &place.git_host, env);
            exports.put("NODE_EXTRA_CA_CERTS", &bundle("NODE_EXTRA_CA_CERTS")?.to_string_lossy());
            // Where it is set, it goes before everything that git is configured with.
            if env.get("GIT_SSL_CAINFO").is_some() {
                exports.put("GIT_SSL_CAINFO", &bundle("GIT_SSL_CAINFO")?.to_string_lossy());
            }
        }
        exports.put_git(place, helper, env);
        Ok(exports)
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.set.push((name.to_owned(), value.to_owned()));
    }

    /// With a proxy set, even `localhost` would be asked of it.
    fn put_direct(&mut self, env: &Environment) {
        for name in ["NO_PROXY", "no_proxy"] {
            let present =
                env.get(name).or_else(|| env.get("NO_PROXY")).or_else(|| env.get("no_proxy")).unwrap_or("");
            if present == "*" {
                continue;
            }
            let mut hosts: Vec<&str> =
                present.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
            for direct in DIRECT {
                if !hosts.contains(&direct) {
                    hosts.push(direct);
                }
            }
            self.put(name, &hosts.join(","));
        }
    }

    fn put_git(&mut self, place: &Place, helper: &str, env: &Environment) {
        let git = format!("https://{}", place.git_host);
        let mut entries = Vec::new();
        if let Some(ca) = &place.ca {
            entries.push((format!("http.{git}.sslCAInfo"), ca.to_string_lossy().into_owned()));
        }
        // An empty helper first: those configured for all hosts must not be asked, or told, about this one.
        entries.push((format!("credential.{git}.helper"), String::new()));
        entries.push((format!("credential.{git}.helper"), helper_command(helper, place)));
        self.put_git_entries(entries, env);
    }

    /// Behind what is there: other tools of the shell may use the same mechanism.
    pub(super) fn put_git_entries(&mut self, entries: Vec<(String, String)>, env: &Environment) {
        let present = env.get("GIT_CONFIG_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0usize);
        let present = present.min(GIT_CONFIGS_MAX);
        let at = |n: usize| {
            let key = env.vars.get(&format!("GIT_CONFIG_KEY_{n}"))?;
            Some((key.clone(), env.vars.get(&format!("GIT_CONFIG_VALUE_{n}"))?.clone()))
        };
        let has_all = entries.iter().all(|entry| (0..present).any(|n| at(n).as_ref() == Some(entry)));
        if has_all {
            return;
        }
        let count = present + entries.len();
        for (n, (key, value)) in (present..).zip(entries) {
            self.put(&format!("GIT_CONFIG_KEY_{n}"), &key);
            self.put(&format!("GIT_CONFIG_VALUE_{n}"), &value);
        }
        self.put("GIT_CONFIG_COUNT", &count.to_string());
    }

    /// For `eval "$(renga env)"`.
    pub(crate) fn for_sh(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.set {
            writeln!(text, "export {name}={}", quote_sh(value)).expect("a String takes what is written");
        }
        self.unset.iter().for_each(|name| text.push_str(&format!("unset {name}\n")));
        text
    }

    /// For `renga env --fish | source`.
    pub(crate) fn for_fish(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.set {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            writeln!(text, "set -gx {name} '{quoted}';").expect("a String takes what is written");
        }
        self.unset.iter().for_each(|name| text.push_str(&format!("set -e {name};\n")));
        text
    }
}

/// What git runs, by a shell, when it needs the token.
pub(crate) fn helper_command(renga: &str, place: &Place) -> String {
    let mut command = format!("!{} git:credentials", quote_sh(renga));
    if let Some(data_dir) = &place.data_dir {
        command.push_str(&format!(" --data-dir {}", quote_sh(&data_dir.to_string_lossy())));
    }
    command
}

/// One word of a POSIX shell.
pub(crate) fn quote_sh(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn place(ca: Option<&std::path::Path>) -> Place {
        Place {
            api: "http://localhost:4000".into(),
            git_host: "localhost:4443".into(),
            git_host_aliases: Vec::new(),
            ca: ca.map(Into::into),
            data_dir: Some("/var/lib/renga".into()),
            token: Some(Secret::new("T")),
        }
    }

    const HELPER: &str = r"!'/opt/it'\''s/renga' git:credentials --data-dir '/var/lib/renga'";

    fn exports(place: &Place, token: bool, env: &Environment) -> Exports {
        Exports::new(place, place.token.as_ref().filter(|_| token), "/opt/it's/renga", env).unwrap()
    }

    fn value<'a>(exports: &'a Exports, name: &str) -> Option<&'a str> {
        exports.set.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn nothing_is_left_pointing_elsewhere() {
        let exports = exports(&place(None), true, &Environment::default());
        for name in URL_VARIABLES {
            assert_eq!(value(&exports, name), Some("http://localhost:4000"), "{name}");
        }
        assert_eq!(value(&exports, "HEROKU_GIT_HOST"), Some("localhost:4443"));
        assert_eq!(value(&exports, "HEROKU_DATA_HOST"), Some("localhost"));
        assert_eq!(value(&exports, "HEROKU_API_KEY"), Some("T"));
        assert_eq!(value(&exports, "NO_PROXY"), Some("localhost,127.0.0.1"));
    }

    #[test]
    fn a_key_of_heroku_itself_is_taken_away() {
        let env = Environment::from([("HEROKU_API_KEY", "HRKU-real")]);
        let exports = exports(&place(None), false, &env);
        assert_eq!(value(&exports, "HEROKU_API_KEY"), None);
        assert_eq!(exports.unset, ["HEROKU_API_KEY"]);
        assert!(exports.for_sh().contains("unset HEROKU_API_KEY\n"));
        assert!(exports.for_fish().contains("set -e HEROKU_API_KEY;\n"));
    }

    #[test]
    fn gits_own_entries_stay_and_are_not_doubled() {
        let mut env = Environment::from([
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "user.name"),
            ("GIT_CONFIG_VALUE_0", "me"),
            ("NO_PROXY", "internal, localhost"),
        ]);
        let first = exports(&place(None), true, &env);
        assert_eq!(value(&first, "GIT_CONFIG_COUNT"), Some("3"));
        assert_eq!(value(&first, "GIT_CONFIG_KEY_0"), None);
        assert_eq!(value(&first, "GIT_CONFIG_VALUE_1"), Some(""));
        assert_eq!(value(&first, "GIT_CONFIG_VALUE_2"), Some(HELPER));
        assert_eq!(value(&first, "NO_PROXY"), Some("internal,localhost,127.0.0.1"));
        env.vars.extend(first.set);
        assert_eq!(value(&exports(&place(None), true, &env), "GIT_CONFIG_COUNT"), None);
    }

    #[test]
    fn a_shell_reads_what_was_meant() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("c'a.pem");
        fs::write(&ca, "CA").unwrap();
        let text = exports(&place(Some(&ca)), true, &Environment::default()).for_sh();
        let script = format!("{text}\nprintf %s \"$NODE_EXTRA_CA_CERTS|$GIT_CONFIG_VALUE_2\"");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let expected = format!("{}|{HELPER}", ca.display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

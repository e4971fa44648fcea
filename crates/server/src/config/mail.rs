//! `[mail]`: the mail server that letters go to.

use std::path::{Path, PathBuf};

use renga_mail::{Config, Encryption};
use renga_model::Secret;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypedMail {
    /// `HOST:PORT`.
    server: String,
    /// `Name <address>`.
    from: String,
    /// starttls, tls or none.
    encryption: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

impl TypedMail {
    pub(super) fn finish(self, ca_bundle: Option<&Path>, mistakes: &mut Vec<String>) -> Option<Config> {
        let mut mistake = |key: &str, typed: &str, why: &dyn std::fmt::Display| {
            mistakes.push(format!("mail.{key} = \"{typed}\": {why}"));
        };
        let server = Config::server(&self.server).map_err(|why| mistake("server", &self.server, &why)).ok();
        let from = Config::from(&self.from).map_err(|why| mistake("from", &self.from, &why)).ok();
        let typed = self.encryption.as_deref().unwrap_or("starttls");
        let encryption = Config::encryption(typed).map_err(|why| mistake("encryption", typed, &why)).ok();
        let password = self.password_file.as_ref().map(|file| {
            let text = std::fs::read_to_string(file);
            text.map_err(|why| mistake("password_file", &file.to_string_lossy(), &why)).unwrap_or_default()
        });
        let login = match (self.user, password) {
            (Some(user), Some(password)) => {
                Some((user, Secret::new(password.trim_end_matches(['\r', '\n']))))
            }
            (None, None) => None,
            (user, _) => {
                mistake(
                    "user",
                    user.as_deref().unwrap_or_default(),
                    &"needs password_file, and the other way round",
                );
                None
            }
        };
        let clear = encryption == Some(Encryption::None);
        if clear && login.is_some() && server.as_ref().is_some_and(|(host, _)| !is_here(host)) {
            mistake("encryption", typed, &"would send the password in the clear to another machine");
        }
        let ca_pem = ca_bundle.and_then(|path| std::fs::read(path).ok());
        let (host, port) = server?;
        Some(Config { host, port, encryption: encryption?, from: from?, login, ca_pem })
    }
}

fn is_here(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(text: &str) -> (Option<Config>, Vec<String>) {
        let mut mistakes = Vec::new();
        let config = toml::from_str::<TypedMail>(text).unwrap().finish(None, &mut mistakes);
        (config, mistakes)
    }

    #[test]
    fn a_server_and_a_sender_are_enough() {
        let (config, mistakes) = finish("server = \"smtp.example.com:587\"\nfrom = \"renga@example.com\"");
        let config = config.unwrap();
        assert!(mistakes.is_empty() && config.login.is_none() && config.encryption == Encryption::StartTls);
    }

    #[test]
    fn mistakes_are_told_together() {
        let (_, mistakes) = finish("server = \"smtp\"\nfrom = \"x\"\nencryption = \"ssl\"\nuser = \"u\"");
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "server = \"smtp.example.com:25\"\nfrom = \"a@b\"\nencryption = \"none\"\nuser = \"u\"\npassword_file = {:?}",
            file.path()
        );
        assert!(finish(&text).1[0].contains("in the clear"));
    }
}

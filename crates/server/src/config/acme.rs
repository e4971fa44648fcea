//! `[acme]`: the authority that automatic certificates come from.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use renga_acme::{Binding, Config, DNS_TIMEOUT};
use renga_model::Secret;
use serde::Deserialize;

/// Let's Encrypt's.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TypedAcme {
    /// URL of the authority's directory.
    directory: Option<String>,
    /// Whom the authority may write to.
    email: Option<String>,
    /// Nothing is fetched before the operator has agreed to what the authority wants.
    agree_to_terms: bool,
    /// PEM: whom the connection to the authority trusts, in place of the web's authorities.
    ca_file: Option<PathBuf>,
    /// `http://HOST:PORT`.
    proxy: Option<String>,
    /// External account binding.
    binding_key_id: Option<String>,
    binding_key_file: Option<PathBuf>,
    /// Program and first arguments.
    dns_hook: Vec<PathBuf>,
    dns_timeout_seconds: Option<u64>,
}

impl TypedAcme {
    pub(super) fn finish(self, ca_bundle: Option<&Path>, mistakes: &mut Vec<String>) -> Option<Config> {
        let before = mistakes.len();
        let mut mistake = |key: &str, typed: &str, why: &dyn std::fmt::Display| {
            mistakes.push(format!("acme.{key} = \"{typed}\": {why}"));
        };
        if !self.agree_to_terms {
            mistake(
                "agree_to_terms",
                "false",
                &"must be true: read the terms of the authority, and agree to them",
            );
        }
        let typed = self.directory.unwrap_or_else(|| DIRECTORY.into());
        let directory = Config::directory(&typed).map_err(|why| mistake("directory", &typed, &why)).ok();
        if let Some((typed, why)) = self.email.as_ref().and_then(|e| Some((e, Config::email(e).err()?))) {
            mistake("email", typed, &why);
        }
        if let Some(program) = self.dns_hook.first().filter(|program| !program.is_absolute()) {
            mistake("dns_hook", &program.to_string_lossy(), &"must begin with a program's absolute path");
        }
        if self.dns_timeout_seconds == Some(0) {
            mistake("dns_timeout_seconds", "0", &"no program would have time; use at least 1");
        }
        let ca_file = self.ca_file.as_deref().or(ca_bundle);
        let ca_pem = ca_file.and_then(|file| {
            std::fs::read(file).map_err(|why| mistake("ca_file", &file.to_string_lossy(), &why)).ok()
        });
        let binding = binding(self.binding_key_id, self.binding_key_file, &mut mistake);
        let config = Config {
            directory: directory?,
            email: self.email,
            ca_pem,
            proxy: self.proxy,
            binding,
            dns_hook: self.dns_hook,
            dns_timeout: self.dns_timeout_seconds.map_or(DNS_TIMEOUT, Duration::from_secs),
        };
        Some(config).filter(|_| mistakes.len() == before)
    }
}

fn binding(
    key_id: Option<String>,
    file: Option<PathBuf>,
    mistake: &mut impl FnMut(&str, &str, &dyn std::fmt::Display),
) -> Option<Binding> {
    let (key_id, file) = match (key_id, file) {
        (Some(key_id), Some(file)) => (key_id, file),
        (None, None) => return None,
        (key_id, _) => {
            mistake(
                "binding_key_id",
                &key_id.unwrap_or_default(),
                &"needs binding_key_file, and the other way round",
            );
            return None;
        }
    };
    let shown = file.to_string_lossy();
    let text =
        std::fs::read_to_string(&file).map_err(|why| mistake("binding_key_file", &shown, &why)).ok()?;
    Binding::new(key_id, Secret::new(text)).map_err(|why| mistake("binding_key_file", &shown, &why)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(text: &str) -> (Option<Config>, Vec<String>) {
        let mut mistakes = Vec::new();
        let config = toml::from_str::<TypedAcme>(text).unwrap().finish(None, &mut mistakes);
        (config, mistakes)
    }

    #[test]
    fn to_agree_to_the_terms_is_enough() {
        let (config, mistakes) = finish("agree_to_terms = true");
        assert!(mistakes.is_empty(), "{mistakes:#?}");
        assert_eq!(config.unwrap().directory, DIRECTORY);
        assert!(finish("").1[0].contains("agree_to_terms"));
    }

    #[test]
    fn mistakes_are_told_together() {
        let (config, mistakes) = finish(
            "directory = \"http://ca\"\nemail = \"ops\"\nca_file = \"/no/such\"\nbinding_key_id = \"k\"\n\
             dns_hook = [\"hook\"]\ndns_timeout_seconds = 0",
        );
        assert!(config.is_none());
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    }
}

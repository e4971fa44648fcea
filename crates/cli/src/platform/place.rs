//! A platform as seen from here: its addresses, its CA and the token for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use renga_model::Secret;
use serde::Deserialize;

use crate::{Environment, errors::Failure, netrc::Netrc};

/// Which platform is meant; every command that talks to one has this.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceArgs {
    /// Data directory of the platform on this machine [default: $RENGA_URL, $RENGA_DATA_DIR, $HEROKU_HOST, /var/lib/renga]
    #[arg(long, value_name = "DIR", help_heading = "Platform")]
    pub data_dir: Option<PathBuf>,
}

/// Where a platform keeps its data unless told otherwise.
const DATA_DIR_DEFAULT: &str = "/var/lib/renga";

#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Base URL of the API, no slash at its end.
    pub(crate) api: String,
    /// `HOST:PORT` of git over HTTPS, as remotes have it.
    pub(crate) git_host: String,
    /// Other spellings of the same; remotes made by others may have them.
    pub(crate) git_host_aliases: Vec<String>,
    /// The platform's own CA; None where public certificates are used.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) token: Option<Secret>,
}

/// `endpoints.json`, written by the server when it is ready.
#[derive(Debug, Deserialize)]
struct Endpoints {
    api: String,
    api_tls: String,
    ca: PathBuf,
    token_file: PathBuf,
}

impl Place {
    pub(crate) fn find(args: &PlaceArgs, env: &Environment) -> Result<Self, Failure> {
        if let (None, Some(url)) = (&args.data_dir, env.get("RENGA_URL")) {
            return Self::of_url(url, env);
        }
        let named = args.data_dir.clone().or_else(|| env.path("RENGA_DATA_DIR"));
        if let Some(data_dir) = named {
            return Self::of_data_dir(&data_dir, env);
        }
        match env.get("HEROKU_HOST") {
            Some(host) => Self::of_variables(host, env),
            None => Self::of_data_dir(Path::new(DATA_DIR_DEFAULT), env),
        }
    }

    fn of_data_dir(data_dir: &Path, env: &Environment) -> Result<Self, Failure> {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let file = data_dir.join("endpoints.json");
        let text =
            fs::read(&file).map_err(|cause| Failure::NoPlatform { data_dir: data_dir.clone(), cause })?;
        let endpoints: Endpoints =
            serde_json::from_slice(&text).map_err(|cause| Failure::Endpoints { file, cause })?;
        let (api, git) = (by_localhost(&endpoints.api), by_localhost(&endpoints.api_tls));
        let as_written = authority(&endpoints.api_tls).to_owned();
        let git_host = authority(&git).to_owned();
        let mut place = Self {
            git_host_aliases: [as_written].into_iter().filter(|alias| *alias != git_host).collect(),
            api,
            git_host,
            ca: Some(endpoints.ca),
            data_dir: Some(data_dir),
            token: None,
        };
        place.token = place.token_of_variables(env).or_else(|| token_in(&endpoints.token_file));
        place.token = place.token.take().or_else(|| place.token_saved(env));
        Ok(place)
    }

    /// A platform anywhere, of which no more is known than its URL: git is served beside the API.
    fn of_url(url: &str, env: &Environment) -> Result<Self, Failure> {
        let api = url.trim().trim_end_matches('/').to_owned();
        let is_url = ["https://", "http://"].iter().any(|scheme| {
            api.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@']))
        });
        if !is_url {
            return Err(Failure::NoUrl { url: api });
        }
        if api.ends_with("heroku.com") {
            return Err(Failure::HerokuItself);
        }
        let mut place = Self {
            git_host: authority(&api).to_owned(),
            git_host_aliases: Vec::new(),
            ca: env.path("RENGA_CA"),
            data_dir: None,
            token: env.get("RENGA_API_KEY").map(Secret::new),
            api,
        };
        place.token = place.token.take().or_else(|| place.token_saved(env));
        Ok(place)
    }

    /// Inside `renga exec`, or wherever the exports hold.
    fn of_variables(host: &str, env: &Environment) -> Result<Self, Failure> {
        let api = match host.starts_with("http") {
            true => host.trim_end_matches('/').to_owned(),
            false => format!("https://api.{host}"),
        };
        if api.ends_with(".heroku.com") {
            return Err(Failure::HerokuItself);
        }
        let derived = match host.starts_with("http") {
            true => authority(&api).to_owned(),
            false => format!("git.{host}"),
        };
        let git_host = env.get("HEROKU_GIT_HOST").map_or(derived, str::to_owned);
        let mut place = Self {
            ca: git_ca(env, &git_host).or_else(|| env.path("NODE_EXTRA_CA_CERTS")),
            api,
            git_host,
            git_host_aliases: Vec::new(),
            data_dir: None,
            token: None,
        };
        place.token = place.token_of_variables(env).or_else(|| place.token_saved(env));
        Ok(place)
    }

    /// The name under which tokens are kept: the API's `HOST:PORT`, as the official command line has it.
    pub(crate) fn machine(&self) -> &str {
        authority(&self.api)
    }

    pub(crate) fn git_hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.git_host.as_str()).chain(self.git_host_aliases.iter().map(String::as_str))
    }

    pub(crate) fn git_url(&self, app: &str) -> String {
        format!("https://{}/{app}.git", self.git_host)
    }

    /// `HEROKU_API_KEY` counts only where `HEROKU_HOST` names this platform: otherwise it is the key of another.
    fn token_of_variables(&self, env: &Environment) -> Option<Secret> {
        let ours = self.is_meant_by(env);
        env.get("HEROKU_API_KEY").filter(|_| ours).map(Secret::new)
    }

    pub(crate) fn is_meant_by(&self, env: &Environment) -> bool {
        env.get("HEROKU_HOST")
            .is_some_and(|host| host.trim_end_matches('/') == self.api || self.data_dir.is_none())
    }

    fn token_saved(&self, env: &Environment) -> Option<Secret> {
        let netrc = Netrc::read(&Netrc::path(env)?).ok()?;
        netrc.password(self.machine()).map(Secret::new)
    }
}

fn token_in(file: &Path) -> Option<Secret> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim()).filter(|token| !token.is_empty()).map(Secret::new)
}

/// `HOST:PORT` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The official command line accepts a private host only by the name `localhost`; the platform is on this machine.
fn by_localhost(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    match rest.trim_end_matches('/').rsplit_once(':') {
        Some((_, port)) => format!("{scheme}://localhost:{port}"),
        None => format!("{scheme}://localhost"),
    }
}

/// What git was told by the exports.
fn git_ca(env: &Environment, git_host: &str) -> Option<PathBuf> {
    let key = format!("http.https://{git_host}.sslCAInfo");
    let count: usize = env.get("GIT_CONFIG_COUNT")?.parse().ok()?;
    let nth = |n: &usize| env.get(&format!("GIT_CONFIG_KEY_{n}")) == Some(key.as_str());
    let found = (0..count.min(super::exports::GIT_CONFIGS_MAX)).find(nth)?;
    env.path(&format!("GIT_CONFIG_VALUE_{found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let (ca, token) = (dir.path().join("ca.pem"), dir.path().join("token"));
        fs::write(&token, "T\n").unwrap();
        let endpoints = serde_json::json!({
            "api": "http://127.0.0.1:4000", "api_tls": "https://203.0.113.9:4443", "router": "http://127.0.0.1:1",
            "router_tls": "https://127.0.0.1:2", "rendezvous": "rendezvous://127.0.0.1:3", "domain": "localhost",
            "ca": ca, "token_file": token, "pid": 1
        });
        fs::write(dir.path().join("endpoints.json"), endpoints.to_string()).unwrap();
        dir
    }

    #[test]
    fn a_data_directory_says_where_the_platform_is() {
        let dir = data_dir();
        let args = PlaceArgs { data_dir: Some(dir.path().into()) };
        let place = Place::find(&args, &Environment::default()).unwrap();
        assert_eq!(place.api, "http://localhost:4000");
        assert_eq!(place.git_hosts().collect::<Vec<_>>(), ["localhost:4443", "203.0.113.9:4443"]);
        assert_eq!(place.machine(), "localhost:4000");
        assert_eq!(place.token.unwrap().expose(), "T");
    }

    #[test]
    fn a_key_of_another_platform_is_not_taken() {
        let dir = data_dir();
        let args = PlaceArgs { data_dir: Some(dir.path().into()) };
        let token = |host: &str| {
            let env = Environment::from([("HEROKU_HOST", host), ("HEROKU_API_KEY", "K")]);
            Place::find(&args, &env).unwrap().token.unwrap().expose().to_owned()
        };
        assert_eq!(token("heroku.com"), "T");
        assert_eq!(token("http://localhost:9"), "T");
        assert_eq!(token("http://localhost:4000"), "K");
    }

    #[test]
    fn a_url_and_a_key_are_enough() {
        let find = |url: &str| {
            let env = [
                ("RENGA_URL", url),
                ("RENGA_API_KEY", "K"),
                ("RENGA_DATA_DIR", "/nowhere"),
                ("HOME", "/none"),
            ];
            Place::find(&PlaceArgs::default(), &Environment::from(env))
        };
        let place = find("https://paas.example:4443/").unwrap();
        assert_eq!((place.api.as_str(), place.machine()), ("https://paas.example:4443", "paas.example:4443"));
        assert_eq!(place.git_url("times"), "https://paas.example:4443/times.git");
        assert_eq!((place.token.unwrap().expose(), place.ca), ("K", None));
        for wrong in
            ["paas.example", "https://", "ftp://x", "https://a@b", "https://x/y", "https://api.heroku.com"]
        {
            assert!(find(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_do_without_a_data_directory() {
        let env = Environment::from([
            ("HEROKU_HOST", "http://localhost:5"),
            ("HEROKU_API_KEY", "K"),
            ("HEROKU_GIT_HOST", "localhost:6"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "http.https://localhost:6.sslCAInfo"),
            ("GIT_CONFIG_VALUE_0", "/ca.pem"),
        ]);
        let place = Place::find(&PlaceArgs::default(), &env).unwrap();
        assert_eq!((place.api.as_str(), place.git_host.as_str()), ("http://localhost:5", "localhost:6"));
        assert_eq!(place.ca.as_deref(), Some(Path::new("/ca.pem")));
        assert!(
            Place::find(&PlaceArgs::default(), &Environment::from([("HEROKU_HOST", "heroku.com")])).is_err()
        );
    }
}

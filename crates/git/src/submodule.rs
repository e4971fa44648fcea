//! Submodules of a commit, fetched over public HTTPS as Heroku does.
//!
//! The address is a user's word, and the server sits inside the operator's network. So: https only, no redirects, no
//! credentials of ours, and a connection only to the address that was looked up and found to be public (unless the
//! site goes out through a proxy, which then looks it up itself).
//!
//! A submodule that cannot be had fails the archive: a build without it would fail later with a worse message.

use std::{
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use http::Uri;
use renga_ports::GitError;

use crate::{
    GitStore,
    command::Run,
    store::{ANSWER_BYTES_MAX, parse_object},
};

const OPERATION: &str = "submodule fetch";
/// Submodules of one source, those of submodules included.
const SUBMODULES_MAX: usize = 50;
/// `.gitmodules`, and one listing of a tree.
const TREE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A tree in which to look for submodules.
pub(crate) struct Parent {
    pub(crate) repository: PathBuf,
    pub(crate) commit: String,
    /// Where it lies in the source: empty, or a path with its slash.
    pub(crate) prefix: String,
}

pub(crate) struct Fetched {
    pub(crate) repository: Scratch,
    pub(crate) commit: String,
    pub(crate) prefix: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    path: String,
    commit: String,
    url: String,
}

impl GitStore {
    pub(crate) async fn submodules_fetch(&self, root: Parent) -> Result<Vec<Fetched>, GitError> {
        let mut fetched: Vec<Fetched> = Vec::new();
        let mut open = vec![root];
        while let Some(parent) = open.pop() {
            for wanted in self.submodules_list(&parent.repository, &parent.commit).await? {
                if fetched.len() == SUBMODULES_MAX {
                    return Err(refused(format!("more than {SUBMODULES_MAX} submodules")));
                }
                let repository = self.submodule_fetch(&wanted).await?;
                let prefix = format!("{}{}/", parent.prefix, wanted.path);
                open.push(Parent {
                    repository: repository.path().to_owned(),
                    commit: wanted.commit.clone(),
                    prefix: prefix.clone(),
                });
                fetched.push(Fetched { repository, commit: wanted.commit, prefix });
            }
        }
        Ok(fetched)
    }

    /// Links that `.gitmodules` knows. Others are the remains of a repository inside a repository.
    async fn submodules_list(&self, repository: &Path, commit: &str) -> Result<Vec<Wanted>, GitError> {
        let mut command = self.program().in_repository(repository);
        command.args(["ls-tree", "-r", "-z", "--full-tree", commit]);
        let run = Run { output_bytes_max: TREE_BYTES_MAX, ..self.run("ls-tree", b"") };
        let links = parse_links(&run.output(command).await?);
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.program().in_repository(repository);
        command.args(["ls-tree", "-z", "--full-tree", commit, "--", ".gitmodules"]);
        if self.run("ls-tree", b"").output(command).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.program().in_repository(repository);
        command.args(["config", "-z", "--blob", &format!("{commit}:.gitmodules"), "--list"]);
        let settings = self.run("config", b"").output(command).await?;
        Ok(join(links, &parse_settings(&settings)))
    }

    async fn submodule_fetch(&self, wanted: &Wanted) -> Result<Scratch, GitError> {
        let about = |error: String| refused(format!("{} from {}: {error}", wanted.path, shown(&wanted.url)));
        let address = self.check_address(&wanted.url).await.map_err(about)?;
        let scratch = Scratch(self.scratch("submodule"));
        let mut command = self.program().command();
        command.args(["init", "--quiet", "--bare", "--template="]).arg(scratch.path());
        self.run("init", b"").output(command).await?;
        // By its id alone first; a server that does not serve ids gives all branches instead.
        let one =
            self.fetch(wanted, &scratch, address.as_deref(), &["--depth=1", "origin", &wanted.commit]).await;
        if one.is_err() {
            let all = ["origin", "+refs/heads/*:refs/heads/*"];
            let fetched = self.fetch(wanted, &scratch, address.as_deref(), &all).await;
            fetched.map_err(|error| about(error.to_string()))?;
        }
        Ok(scratch)
    }

    async fn fetch(
        &self,
        wanted: &Wanted,
        scratch: &Scratch,
        address: Option<&str>,
        what: &[&str],
    ) -> Result<(), GitError> {
        let mut command = self.program().in_repository(scratch.path());
        command.args(["-c", "protocol.https.allow=always", "-c", "http.followRedirects=false"]);
        command.args(["-c", "fetch.fsckObjects=true"]);
        if let Some(address) = address {
            command.arg("-c").arg(format!("http.curloptResolve={address}"));
        }
        command.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"]).args(what);
        // An address may hold a password, so it is not an argument, which everybody could read.
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "remote.origin.url");
        command.env("GIT_CONFIG_VALUE_0", &wanted.url);
        command.envs(self.config().site_env.iter().map(|(key, value)| (key, value)));
        let run =
            Run { operation: OPERATION, output_bytes_max: ANSWER_BYTES_MAX, ..self.run(OPERATION, b"") };
        run.output(command).await.map(drop)
    }

    /// `host:port:address` for curl to use, or none when a proxy looks up.
    async fn check_address(&self, url: &str) -> Result<Option<String>, String> {
        let (host, port) = parse_url(url).ok_or("only https:// addresses can be fetched")?;
        let proxied =
            |name: &str| name.eq_ignore_ascii_case("https_proxy") || name.eq_ignore_ascii_case("all_proxy");
        if self.config().site_env.iter().any(|(name, _)| proxied(name)) {
            return Ok(None);
        }
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((literal, port)).await.map_err(|error| error.to_string())?;
        let address = found.map(|address| address.ip()).next().ok_or("the host has no address")?;
        if !self.config().submodules_from_private_addresses && !is_public(address) {
            return Err("the host's address is not public".into());
        }
        let address = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
        Ok(Some(format!("{literal}:{port}:{address}")))
    }
}

/// A repository that is removed with its last use.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(error = %error, "could not remove a submodule's repository");
        }
    }
}

// === parsing ===

/// `160000 commit <id>\t<path>\0` of a tree's listing.
fn parse_links(listing: &[u8]) -> Vec<(String, String)> {
    let link = |entry: &[u8]| {
        let entry = std::str::from_utf8(entry).ok()?.strip_prefix("160000 commit ")?;
        let (commit, path) = entry.split_once('\t')?;
        parse_object(OPERATION, commit).ok()?;
        Some((path.to_owned(), commit.to_owned()))
    };
    listing.split(|byte| *byte == 0).filter_map(link).collect()
}

/// `key\nvalue\0` of `git config -z --list`.
fn parse_settings(settings: &[u8]) -> Vec<(String, String)> {
    let setting = |entry: &[u8]| {
        let (key, value) = std::str::from_utf8(entry).ok()?.split_once('\n')?;
        Some((key.to_owned(), value.to_owned()))
    };
    settings.split(|byte| *byte == 0).filter_map(setting).collect()
}

fn join(links: Vec<(String, String)>, settings: &[(String, String)]) -> Vec<Wanted> {
    let url_of = |path: &str| {
        let is_path = |(key, value): &&(String, String)| {
            key.starts_with("submodule.") && key.ends_with(".path") && value.trim_end_matches('/') == path
        };
        let name = settings.iter().find(is_path)?.0.strip_suffix(".path")?;
        let wanted = format!("{name}.url");
        settings.iter().find(|(key, _)| *key == wanted).map(|(_, url)| url.clone())
    };
    let wanted = |(path, commit): (String, String)| Some(Wanted { url: url_of(&path)?, path, commit });
    links.into_iter().filter_map(wanted).collect()
}

fn parse_url(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let https = uri.scheme_str() == Some("https");
    let host = uri.host().filter(|host| !host.is_empty())?;
    https.then(|| (host.to_owned(), uri.port_u16().unwrap_or(443)))
}

/// The address without a password, for messages.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let test = v4.is_documentation() || (a == 198 && (b == 18 || b == 19)) || (a == 192 && b == 0);
            let local = v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0;
            !(local || shared || test || v4.is_multicast() || a >= 240)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // 6to4 and NAT64 wrap an IPv4 address; only plain global unicast passes.
            (0x2000..0x4000).contains(&first) && first != 0x2002 && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

fn refused(stderr: String) -> GitError {
    GitError::Command { operation: OPERATION, stderr }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_find_their_addresses() {
        let commit = "a".repeat(40);
        let tree = format!(
            "100644 blob {commit}\tREADME\x00160000 commit {commit}\tlibs/one\x00160000 commit {commit}\tlost\0"
        );
        let settings = b"submodule.One.path\nlibs/one\0submodule.One.url\nhttps://example.com/one.git\0";
        let wanted = join(parse_links(tree.as_bytes()), &parse_settings(settings));
        let expected = Wanted { path: "libs/one".into(), commit, url: "https://example.com/one.git".into() };
        assert_eq!(wanted, [expected]);
    }

    #[test]
    fn only_public_https_is_fetched() {
        assert_eq!(parse_url("https://u:p@example.com/x.git"), Some(("example.com".into(), 443)));
        for bad in
            ["http://example.com/x", "file:///etc", "ssh://git@x/y", "git@x:y", "../x", "ext::sh -c id", "-x"]
        {
            assert_eq!(parse_url(bad), None, "{bad}");
        }
        let public = |text: &str| is_public(text.parse().unwrap());
        assert!(public("140.82.112.3") && public("2606:50c0:8000::154"));
        for private in
            ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1"]
        {
            assert!(!public(private), "{private}");
        }
        for private in
            ["fe80::1", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "224.0.0.1"]
        {
            assert!(!public(private), "{private}");
        }
        assert_eq!(shown("https://u:p@example.com/x"), "https://example.com/x");
    }
}

//! The git repository of the current folder. Git is always given its arguments one by one.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    errors::Failure,
    platform::{Exports, Place, helper_command},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// Empty outside of a repository, or without git.
pub(crate) fn remotes() -> Vec<Remote> {
    let output = git(&["config", "--null", "--get-regexp", r"^remote\..*\.url$"]);
    parse_remotes(&output.unwrap_or_default())
}

/// `remote.NAME.url LF URL NUL ...`
fn parse_remotes(text: &str) -> Vec<Remote> {
    let one = |entry: &str| {
        let (key, url) = entry.split_once('\n')?;
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        Some(Remote { name: name.to_owned(), url: url.to_owned() })
    };
    text.split('\0').filter_map(one).collect()
}

/// The app that a remote's URL names, if it lies at this platform.
pub(crate) fn app_of(url: &str, place: &Place) -> Option<String> {
    let app = |host: &str| {
        let bare = host.split(':').next().unwrap_or(host);
        let starts = [format!("https://{host}/"), format!("git@{bare}:"), format!("ssh://git@{bare}/")];
        let path = starts.iter().find_map(|start| url.strip_prefix(start.as_str()))?;
        let name = path.trim_end_matches('/').strip_suffix(".git")?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    };
    place.git_hosts().find_map(app)
}

/// Whether the current folder is the top of a repository.
pub(crate) fn is_repository() -> bool {
    Path::new(".git").exists()
}

pub(crate) fn remote_of_config() -> Option<String> {
    let name = git(&["config", "heroku.remote"]).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Adds the remote, or points an existing one elsewhere.
pub(crate) fn set_remote(name: &str, url: &str) -> Result<(), Failure> {
    let known = remotes().iter().any(|remote| remote.name == name);
    let verb = if known { "set-url" } else { "add" };
    git(&["remote", verb, "--", name, url]).map(drop)
}

pub(crate) fn remove_remote(name: &str) -> Result<(), Failure> {
    git(&["remote", "remove", "--", name]).map(drop)
}

/// Makes `git push` work in any shell, without exports: whose certificate to trust and whom to ask for the token.
/// Only in this repository, and only for this platform.
pub(crate) fn trust(place: &Place, renga: &str) -> Result<(), Failure> {
    let host = format!("https://{}", place.git_host);
    if let Some(ca) = &place.ca {
        git(&["config", &format!("http.{host}.sslCAInfo"), &ca.to_string_lossy()])?;
    }
    let helper = format!("credential.{host}.helper");
    let command = helper_command(renga, place);
    git(&["config", "--replace-all", &helper, ""])?;
    git(&["config", "--add", &helper, &command]).map(drop)
}

/// Git talks to the user itself.
pub(crate) fn clone(url: &str, folder: &str, remote: &str, exports: Exports) -> Result<(), Failure> {
    let mut command = Command::new("git");
    command.args(["clone", "-o", remote, "--", url, folder]).envs(exports.set);
    let status = command.status().map_err(|cause| Failure::Program { program: "git".into(), cause })?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Exited(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

fn git(args: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|cause| Failure::Program { program: "git".into(), cause })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::Git { doing: args.first().copied().unwrap_or_default().to_owned(), stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            api: "http://localhost:4000".into(),
            git_host: "localhost:4443".into(),
            git_host_aliases: vec!["git.paas.example".into()],
            ca: None,
            data_dir: None,
            token: None,
        }
    }

    #[test]
    fn remotes_of_this_platform_name_their_app() {
        let app = |url: &str| app_of(url, &place());
        assert_eq!(app("https://localhost:4443/times.git").as_deref(), Some("times"));
        assert_eq!(app("https://git.paas.example/times.git").as_deref(), Some("times"));
        assert_eq!(app("git@git.paas.example:times.git").as_deref(), Some("times"));
        assert_eq!(app("ssh://git@git.paas.example/times.git").as_deref(), Some("times"));
        for other in [
            "https://git.heroku.com/times.git",
            "https://localhost:9/times.git",
            "https://localhost:4443/a/b.git",
            "https://localhost:4443/.git",
            "https://localhost:4443/times",
            "",
        ] {
            assert_eq!(app(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_remotes_may_hold_dots() {
        let text = "remote.heroku.url\nhttps://localhost:4443/a.git\0remote.a.b.url\nb\0nonsense\0";
        let names: Vec<_> = parse_remotes(text).into_iter().map(|remote| remote.name).collect();
        assert_eq!(names, ["heroku", "a.b"]);
        assert_eq!(parse_remotes(""), []);
    }
}

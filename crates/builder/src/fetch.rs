//! Fetching external buildpacks: a git repository at a ref, or a tarball, over HTTP(S) and nothing else.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use renga_model::limits::SOURCE_BYTES_MAX;

use crate::{
    BuildError,
    command::{Answer, Env, Tool},
    files,
    limits::{BUILDPACK_BYTES_MAX, BUILDPACK_FETCH_TIMEOUT, SOURCE_FETCH_TIMEOUT},
    source,
};

/// Where an external buildpack comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Git { url: String, reference: Option<String> },
    Tarball { url: String },
}

impl Origin {
    /// None unless it is an http(s) URL whose ref, if it has one, can be a ref.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let legal = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && !"\"'`<>\\^{|}".contains(c));
        if rest.is_empty() || rest.starts_with(['/', '#', '-']) || !legal(text) {
            return None;
        }
        let (url, reference) = match text.split_once('#') {
            Some((url, reference)) => (url, Some(reference)),
            None => (text, None),
        };
        let path = url.split('?').next().unwrap_or(url);
        if [".tgz", ".tar.gz", ".tar"].iter().any(|suffix| path.ends_with(suffix)) {
            return Some(Self::Tarball { url: url.to_owned() });
        }
        match reference {
            Some(reference) if !is_reference(reference) => None,
            _ => Some(Self::Git { url: url.to_owned(), reference: reference.map(str::to_owned) }),
        }
    }

    /// For the log and the records: without user name and password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Tarball { url } | Self::Git { url, reference: None } => redacted(url),
            Self::Git { url, reference: Some(reference) } => format!("{}#{reference}", redacted(url)),
        }
    }

    /// Fetches into `target`, which is made. Returns the commit that a repository was at.
    pub(crate) fn fetch(&self, target: &Path, env: &Env) -> Result<Option<String>, BuildError> {
        let fetcher = Fetcher { origin: self, target, env, started: Instant::now() };
        match self {
            Self::Git { url, reference } => fetcher.git(url, reference.as_deref()).map(Some),
            Self::Tarball { url } => fetcher.tarball(url).map(|()| None),
        }
    }
}

/// A branch, a tag or a commit, and never an option of git.
fn is_reference(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-/+@".contains(&b);
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('-')
        && !text.contains("..")
        && text.bytes().all(legal)
}

/// A URL without its user information; whatever else stays as it is.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

struct Fetcher<'a> {
    origin: &'a Origin,
    target: &'a Path,
    env: &'a Env,
    started: Instant,
}

impl Fetcher<'_> {
    fn git(&self, url: &str, reference: Option<&str>) -> Result<String, BuildError> {
        files::make_dir(self.target)?;
        let shallow = self.git_shallow(url, reference.unwrap_or("HEAD"));
        // A server without shallow fetches, or an abbreviated commit: the whole history has it.
        if !matches!(shallow, Ok(true)) {
            self.git_whole(url, reference)?;
        }
        let commit = self.git_run(&["rev-parse", "HEAD"])?.ok_or_else(|| self.failed("it has no commit"))?;
        files::remove(&self.target.join(".git"))?;
        Ok(commit)
    }

    fn git_shallow(&self, url: &str, reference: &str) -> Result<bool, BuildError> {
        for args in [
            &["init", "--quiet", "."][..],
            &["fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, reference],
            &["checkout", "--quiet", "--detach", "FETCH_HEAD"],
        ] {
            if self.git_run(args)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn git_whole(&self, url: &str, reference: Option<&str>) -> Result<(), BuildError> {
        files::remove(self.target)?;
        files::make_dir(self.target)?;
        let answer = self.git_tool(&["clone", "--quiet", "--", url, "."])?.output()?;
        if !answer.status.success() {
            return Err(self.failed(&answer.error_text().replace(url, &redacted(url))));
        }
        let Some(reference) = reference else { return Ok(()) };
        for name in [format!("origin/{reference}"), reference.to_owned()] {
            if self.git_run(&["checkout", "--quiet", "--detach", &name])?.is_some() {
                return Ok(());
            }
        }
        Err(self.failed(&format!("it has no branch, tag or commit {reference}")))
    }

    /// What git printed, if it succeeded.
    fn git_run(&self, args: &[&str]) -> Result<Option<String>, BuildError> {
        let answer = self.git_tool(args)?.output()?;
        Ok(answer.status.success().then(|| answer.text()))
    }

    fn git_tool(&self, args: &[&str]) -> Result<Tool, BuildError> {
        Ok(Tool::new("git", self.target, self.env)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "https:http")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "advice.detachedHead")
            .env("GIT_CONFIG_VALUE_0", "false")
            .args(args)
            .timeout(self.left()?))
    }

    fn tarball(&self, url: &str) -> Result<(), BuildError> {
        files::make_dir(self.target)?;
        let archive = self.target.join("buildpack.tgz");
        let answer = download(url, &archive, self.env, BUILDPACK_BYTES_MAX, self.left()?)?;
        if !answer.status.success() {
            return Err(self.failed(&answer.error_text().replace(url, &redacted(url))));
        }
        let whole = self.target.join("whole");
        source::unpack(&archive, &whole, false)?;
        let root = if whole.join("bin").is_dir() { None } else { source::single_folder(&whole)? };
        files::remove(&archive)?;
        let root = root.unwrap_or_else(|| whole.clone());
        for entry in std::fs::read_dir(&root).map_err(|cause| files::failed("read", &root, cause))? {
            let entry = entry.map_err(|cause| files::failed("read", &root, cause))?;
            files::move_tree(&entry.path(), &self.target.join(entry.file_name()))?;
        }
        files::remove(&whole)
    }

    fn left(&self) -> Result<Duration, BuildError> {
        BUILDPACK_FETCH_TIMEOUT
            .checked_sub(self.started.elapsed())
            .ok_or_else(|| self.failed("it took longer than 90 s"))
    }

    fn failed(&self, reason: &str) -> BuildError {
        BuildError::BuildpackFetch { name: self.origin.shown(), reason: reason.to_owned() }
    }
}

/// Whether the text is a URL that the builder fetches from.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

/// Fetches the source of a build. The URL may hold a signature and is never shown.
pub(crate) fn fetch_source(url: &str, target: &Path, env: &Env) -> Result<(), BuildError> {
    let answer = download(url, target, env, SOURCE_BYTES_MAX, SOURCE_FETCH_TIMEOUT)?;
    if answer.status.success() {
        return Ok(());
    }
    let shown = redacted(url);
    let shown = shown.split(['?', '#']).next().unwrap_or_default();
    let reason = answer.error_text().replace(url, shown);
    Err(BuildError::SourceFetch { url: shown.to_owned(), reason })
}

fn download(
    url: &str,
    target: &Path,
    env: &Env,
    bytes_max: u64,
    timeout: Duration,
) -> Result<Answer, BuildError> {
    Tool::new("curl", "/", env)
        .args(["--fail", "--location", "--silent", "--show-error", "--max-redirs", "5", "--globoff"])
        .args(["--proto", "=http,https", "--proto-redir", "=http,https"])
        .args(["--max-filesize", &bytes_max.to_string(), "--output"])
        .arg(target)
        .args(["--url", url])
        .timeout(timeout)
        .output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_show() {
        assert_eq!(redacted("https://u:p@h.example/x?y@z"), "https://h.example/x?y@z");
        assert_eq!(redacted("https://h.example/u@v"), "https://h.example/u@v");
        assert_eq!(redacted("https://a@b@h/x"), "https://h/x");
    }

    #[test]
    fn origins_are_parsed_at_the_door() {
        let git = |url: &str, reference: Option<&str>| {
            Some(Origin::Git { url: url.into(), reference: reference.map(str::to_owned) })
        };
        assert_eq!(Origin::parse("https://h/x.git#v1.2"), git("https://h/x.git", Some("v1.2")));
        assert_eq!(Origin::parse("https://h/x"), git("https://h/x", None));
        assert_eq!(
            Origin::parse("http://h/x.tar.gz?a=b"),
            Some(Origin::Tarball { url: "http://h/x.tar.gz?a=b".into() })
        );
        for bad in
            ["https://", "https://h/x#--upload-pack=x", "https://h/x y", "https://h/x#a..b", "https:///x"]
        {
            assert_eq!(Origin::parse(bad), None, "{bad}");
        }
    }
}

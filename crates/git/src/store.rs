//! Repositories on disk, and the git port.
//!
//! A repository is made beside its place and renamed into it, so that one that is there is whole.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use renga_model::AppId;
use renga_ports::{Git, GitError};
use tokio::{
    net::UnixListener,
    sync::{Mutex, Semaphore},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    Config, Limits,
    command::{GitProgram, Run},
    hook::HOOK_NAME,
    push::Pushes,
};

/// The first git with `proc-receive`.
const GIT_VERSION_MIN: (u32, u32) = (2, 29);
/// Small answers: a ref, a subject, a version.
pub(crate) const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
const SUBJECT_BYTES_MAX: usize = 1_000;
const BRANCH_BYTES_MAX: usize = 200;
pub(crate) const STAGING: &str = "refs/renga/staging";
/// Objects that nothing refers to are kept so long when space is short: a push refers to its own at once, and a build
/// that a crash cut off is taken up again sooner than that.
const UNREACHABLE_AGE_MIN: &str = "1.day.ago";
/// Users' `export-ignore` and `export-subst` are meant for their own tarballs, not for what is deployed.
pub(crate) const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// All repositories of a platform. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GitStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    program: GitProgram,
    pushes: Arc<Pushes>,
    push_permits: Arc<Semaphore>,
    fetch_permits: Arc<Semaphore>,
    /// One collection at a time: it is heavy and nobody waits for it.
    collecting: Mutex<()>,
}

impl GitStore {
    /// Makes the directories and looks whether the system's git will do. Blocks for some milliseconds.
    pub fn new(mut config: Config) -> Result<Self, GitError> {
        let (hooks, home) =
            prepare(&mut config).map_err(|cause| GitError::Io { operation: "directories", cause })?;
        check_version()?;
        let program = GitProgram { hooks, home, pack_bytes_max: config.limits.pack_bytes_max };
        Ok(Self(Arc::new(Inner {
            program,
            pushes: Arc::default(),
            push_permits: Arc::new(Semaphore::new(config.limits.pushes_max)),
            fetch_permits: Arc::new(Semaphore::new(config.limits.fetches_max)),
            collecting: Mutex::new(()),
            config,
        })))
    }

    /// Binds the hook socket of the configuration, for [`GitStore::serve_hooks`]; one that was left is replaced.
    pub fn bind_hooks(&self) -> io::Result<UnixListener> {
        let path = &self.0.config.hook_socket;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(path),
        }
    }

    /// The value of a ref, as 40 hex digits.
    pub(crate) async fn ref_value(&self, app: AppId, name: &str) -> Result<Option<String>, GitError> {
        let mut command = self.git(app);
        command.args(["for-each-ref", "--format=%(refname) %(objectname)", "--"]).arg(name);
        let output = self.run("for-each-ref", b"").output(command).await?;
        let text = String::from_utf8_lossy(&output);
        // The pattern also matches what lies below the name.
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::to_owned))
    }

    pub(crate) async fn staging_refs_create(
        &self,
        app: AppId,
        objects: &BTreeSet<String>,
    ) -> Result<(), GitError> {
        let mut moves = String::new();
        for object in objects {
            writeln!(moves, "update {STAGING}/{object} {object}").map_err(|_| unwritable())?;
        }
        self.update_refs(app, &moves).await
    }

    pub(crate) async fn staging_refs_remove(
        &self,
        app: AppId,
        objects: &BTreeSet<String>,
    ) -> Result<(), GitError> {
        let mut moves = String::new();
        for object in objects {
            writeln!(moves, "delete {STAGING}/{object}").map_err(|_| unwritable())?;
        }
        self.update_refs(app, &moves).await
    }

    /// Refs of gate calls that a crash cut off. Their objects stay for two weeks more (git's own grace), so a build
    /// that is taken up again still moves its branch.
    async fn staging_refs_sweep(&self, app: AppId) -> Result<(), GitError> {
        let mut command = self.git(app);
        command.args(["for-each-ref", "--format=%(refname:lstrip=3)", STAGING]);
        let output = self.run("for-each-ref", b"").output(command).await?;
        let left = String::from_utf8_lossy(&output)
            .lines()
            .filter(|object| {
                parse_object("for-each-ref", object).is_ok() && !self.pushes().is_staged(app, object)
            })
            .map(str::to_owned)
            .collect();
        self.staging_refs_remove(app, &left).await
    }

    /// All or none, in one transaction of git.
    async fn update_refs(&self, app: AppId, moves: &str) -> Result<(), GitError> {
        if moves.is_empty() {
            return Ok(());
        }
        let mut command = self.git(app);
        command.args(["update-ref", "--stdin"]);
        self.run("update-ref", moves.as_bytes()).output(command).await.map(drop)
    }

    /// Packs and prunes in the background when git thinks that it is worth it.
    pub(crate) fn collect_soon(&self, app: AppId) {
        let store = self.clone();
        self.tasks().spawn(async move {
            let _one_at_a_time = store.0.collecting.lock().await;
            store.remove_leftovers_of(app).await;
            let mut command = store.git(app);
            command.args(["gc", "--auto", "--quiet"]);
            if let Err(error) = store.run("gc", b"").output(command).await {
                tracing::warn!(error = %error, app.id = %app, "could not collect a repository");
            }
        });
    }

    /// Quarantines and staging refs that no push holds any more.
    async fn remove_leftovers_of(&self, app: AppId) {
        let (objects, age_min) = (self.repository(app).join("objects"), self.limits().push_time_max);
        if let Err(error) = blocking("sweep", move || remove_quarantines(&objects, age_min)).await {
            tracing::warn!(error = %error, app.id = %app, "could not remove what lost pushes left");
        }
        if let Err(error) = self.staging_refs_sweep(app).await {
            tracing::warn!(error = %error, app.id = %app, "could not remove staging refs that were left");
        }
    }

    // === what the other modules need ===

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.config.tasks
    }
    pub(crate) fn limits(&self) -> &Limits {
        &self.0.config.limits
    }
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }
    pub(crate) fn program(&self) -> &GitProgram {
        &self.0.program
    }
    pub(crate) fn pushes(&self) -> &Arc<Pushes> {
        &self.0.pushes
    }
    pub(crate) fn push_permits(&self) -> &Arc<Semaphore> {
        &self.0.push_permits
    }
    pub(crate) fn fetch_permits(&self) -> &Arc<Semaphore> {
        &self.0.fetch_permits
    }
    pub(crate) fn repository(&self, app: AppId) -> PathBuf {
        self.0.config.root.join(format!("{app}.git"))
    }
    pub(crate) fn git(&self, app: AppId) -> tokio::process::Command {
        self.0.program.in_repository(&self.repository(app))
    }
    pub(crate) fn run<'a>(&'a self, operation: &'static str, input: &'a [u8]) -> Run<'a> {
        let time_max = self.limits().command_time_max;
        Run { operation, input, output_bytes_max: ANSWER_BYTES_MAX, time_max, tasks: self.tasks() }
    }
    /// A path below the root that nobody else uses.
    pub(crate) fn scratch(&self, what: &str) -> PathBuf {
        self.0.config.root.join(format!("{what}-{}", Uuid::new_v4().simple()))
    }
}

#[async_trait]
impl Git for GitStore {
    async fn repository_create(&self, app: AppId) -> Result<(), GitError> {
        let place = self.repository(app);
        if place.join("HEAD").exists() {
            return Ok(());
        }
        let made = self.scratch("new");
        let mut command = self.program().command();
        command.args(["init", "--quiet", "--bare", "--template="]).arg(&made);
        self.run("init", b"").output(command).await?;
        blocking("init", move || {
            fs::create_dir_all(made.join("info"))?;
            fs::write(made.join("info/attributes"), ATTRIBUTES)?;
            fs::rename(&made, &place).or_else(|error| {
                fs::remove_dir_all(&made)?;
                // Another call was quicker.
                if place.join("HEAD").exists() { Ok(()) } else { Err(error) }
            })
        })
        .await
    }

    async fn repository_remove(&self, app: AppId) -> Result<(), GitError> {
        let (place, trash) = (self.repository(app), self.scratch("old"));
        blocking("remove", move || match fs::rename(&place, &trash) {
            Ok(()) => fs::remove_dir_all(&trash),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    async fn archive(&self, app: AppId, commit: &str, target: &Path) -> Result<(), GitError> {
        self.archive_write(app, parse_object("archive", commit)?, target).await
    }

    async fn commit_subject(&self, app: AppId, commit: &str) -> Result<String, GitError> {
        let mut command = self.git(app);
        command.args(["log", "-1", "--format=%s", parse_object("log", commit)?, "--"]);
        let output = self.run("log", b"").output(command).await?;
        let text = String::from_utf8_lossy(&output);
        let line = text.lines().next().unwrap_or_default();
        Ok(cut(line, SUBJECT_BYTES_MAX).to_owned())
    }

    async fn branch_move(&self, app: AppId, branch: &str, commit: &str) -> Result<(), GitError> {
        let (branch, commit) = (parse_branch(branch)?, parse_object("update-ref", commit)?);
        let moves = format!("update refs/heads/{branch} {commit}^{{commit}}\ndelete {STAGING}/{commit}\n");
        self.update_refs(app, &moves).await?;
        // A clone checks out what was deployed last, `main` or `master`.
        let mut command = self.git(app);
        command.args(["symbolic-ref", "HEAD"]).arg(format!("refs/heads/{branch}"));
        self.run("symbolic-ref", b"").output(command).await.map(drop)
    }

    async fn repository_collect(&self, app: AppId) -> Result<(), GitError> {
        let _one_at_a_time = self.0.collecting.lock().await;
        self.remove_leftovers_of(app).await;
        let mut command = self.git(app);
        command.args(["gc", "--quiet"]).arg(format!("--prune={UNREACHABLE_AGE_MIN}"));
        self.run("gc", b"").output(command).await.map(drop)
    }

    async fn repository_bytes(&self, app: AppId) -> Result<u64, GitError> {
        let place = self.repository(app);
        blocking("measure", move || directory_bytes(&place)).await
    }
}

// === the door ===

/// Object ids come from rows and from git, but they become arguments: nothing but hex passes.
pub(crate) fn parse_object<'a>(operation: &'static str, text: &'a str) -> Result<&'a str, GitError> {
    if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(GitError::Command { operation, stderr: format!("not an object id: {}", text.escape_debug()) })
}

/// Stricter than git: what `git check-ref-format` admits, without anything that needs quoting.
pub(crate) fn parse_branch(text: &str) -> Result<&str, GitError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_./+@".contains(&b) || b >= 0x80;
    let part_is_legal = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !part.ends_with(".lock")
    };
    let fits = (1..=BRANCH_BYTES_MAX).contains(&text.len())
        && text.bytes().all(legal)
        && text.split('/').all(part_is_legal)
        && !text.contains("..")
        && text != "@";
    if fits {
        return Ok(text);
    }
    let stderr = format!("not a branch name: {}", text.escape_debug());
    Err(GitError::Command { operation: "update-ref", stderr })
}

/// The longest beginning of at most so many bytes that ends with a character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

// === files ===

fn prepare(config: &mut Config) -> io::Result<(PathBuf, PathBuf)> {
    let private = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    private(&config.root)?;
    config.root = config.root.canonicalize()?;
    let (hooks, home) = (config.root.join("hooks"), config.root.join("home"));
    private(&hooks)?;
    private(&home)?;
    // Renamed into place: a push that is under way always finds a hook.
    let (link, fresh) = (hooks.join(HOOK_NAME), hooks.join("proc-receive.new"));
    if fresh.symlink_metadata().is_ok() {
        fs::remove_file(&fresh)?;
    }
    symlink(&config.hook_program, &fresh)?;
    fs::rename(&fresh, &link)?;
    remove_leftovers(&config.root)?;
    Ok((hooks, home))
}

/// What a crash left half-made or half-removed.
fn remove_leftovers(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["new-", "old-", "submodule-"]
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Packs of pushes whose receive-pack was killed. Git itself would keep them for two weeks.
fn remove_quarantines(objects: &Path, age_min: Duration) -> io::Result<()> {
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        let is_quarantine = entry.file_name().as_encoded_bytes().starts_with(b"tmp_objdir-incoming-");
        // A clock that went backwards makes it young.
        if is_quarantine && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > age_min) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn check_version() -> Result<(), GitError> {
    let failed = |stderr: String| GitError::Command { operation: "version", stderr };
    let output = std::process::Command::new("git")
        .arg("version")
        .output()
        .map_err(|cause| GitError::Io { operation: "version", cause })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let version = text.strip_prefix("git version ").and_then(|version| {
        let mut numbers = version.split('.').map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    match version {
        Some(version) if version >= GIT_VERSION_MIN => Ok(()),
        _ => Err(failed(format!("git 2.29 or newer is needed; this one says: {text}"))),
    }
}

fn directory_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Files come and go while we look.
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GitError> {
    let joined = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    joined.and_then(|result| result).map_err(|cause| GitError::Io { operation, cause })
}

fn unwritable() -> GitError {
    GitError::Io { operation: "update-ref", cause: io::Error::other("could not write a line") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hex_and_plain_branches_pass_the_door() {
        assert!(parse_object("log", &"a".repeat(40)).is_ok());
        for bad in ["", "HEAD", "--output=/etc/passwd", &"g".repeat(40), &"a".repeat(41)] {
            assert!(parse_object("log", bad).is_err(), "{bad}");
        }
        for good in ["main", "feature/x-1", "grün", "v1.2"] {
            assert!(parse_branch(good).is_ok(), "{good}");
        }
        for bad in ["", "-d", "a..b", "a b", "a\nb", "/a", "a/", "a//b", ".a", "a.lock", "a~1", "@", "a^{}"] {
            assert!(parse_branch(bad).is_err(), "{bad}");
        }
    }
}

//! Whole repositories on their way into a backup and out of it, as git's own bundles: one file that is consistent
//! whatever is pushed or collected meanwhile.
//!
//! Git runs as the user that owns the repositories. Everything here blocks.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use renga_ports::GitError;
use serde::{Deserialize, Serialize};

use crate::{
    command::GitProgram,
    store::{ATTRIBUTES, parse_branch, parse_object},
};

const BRANCHES: &str = "refs/heads/";
const SIGNATURE: &str = "# v2 git bundle\n";
/// Refs of one repository; more are refused.
const REFS_MAX: usize = 100_000;
const HEAD_BYTES_MAX: u64 = 4 * 1024;
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How far behind a branch a commit that was deployed is looked for.
const ANCESTORS_MAX: &str = "--max-count=1000";

/// What a repository points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointers {
    /// The branch that a clone checks out.
    pub head: String,
    /// Branch to commit.
    pub branches: Vec<(String, String)>,
}

/// Git as the owner of the repositories.
#[derive(Debug)]
pub struct Bundles {
    program: GitProgram,
    user: Option<(u32, u32)>,
}

impl Bundles {
    /// `home` is an empty directory; `user` is whom git runs as, if not as ourselves.
    pub fn new(home: PathBuf, user: Option<(u32, u32)>) -> Self {
        let program = GitProgram { hooks: home.clone(), home, pack_bytes_max: 0 };
        Self { program, user }
    }

    /// Writes everything that any ref reaches to `target`. False if the repository is empty.
    pub fn create(&self, repository: &Path, target: &File) -> Result<bool, GitError> {
        let mut look = self.git(repository);
        look.args(["for-each-ref", "--count=1", "--format=%(refname)"]);
        if run("for-each-ref", look)?.is_empty() {
            return Ok(false);
        }
        let mut command = self.git(repository);
        command.args(["bundle", "create", "--quiet", "--version=2", "-", "--all"]);
        command.stdout(target.try_clone().map_err(failed("bundle"))?);
        run("bundle", command).map(|_| true)
    }

    /// Where a bundle's branches point, each at most as far as what was `deployed`: a push may have moved a branch
    /// after the moment that the backup shows.
    pub fn pointers(
        &self,
        repository: &Path,
        bundle: &mut File,
        deployed: &BTreeSet<String>,
    ) -> Result<Pointers, GitError> {
        let mut branches = Vec::new();
        for (name, tip) in read_head(bundle)? {
            let Some(branch) = name.strip_prefix(BRANCHES) else { continue };
            let commit = if deployed.contains(&tip) { tip } else { self.back_to(repository, tip, deployed)? };
            branches.push((branch.to_owned(), commit));
        }
        let mut head = String::new();
        let file = File::open(repository.join("HEAD")).map_err(failed("HEAD"))?;
        file.take(HEAD_BYTES_MAX).read_to_string(&mut head).map_err(failed("HEAD"))?;
        let head = head.trim().strip_prefix("ref: ").and_then(|name| name.strip_prefix(BRANCHES));
        Ok(Pointers { head: head.unwrap_or("main").to_owned(), branches })
    }

    fn back_to(
        &self,
        repository: &Path,
        tip: String,
        deployed: &BTreeSet<String>,
    ) -> Result<String, GitError> {
        let mut command = self.git(repository);
        command.args(["rev-list", ANCESTORS_MAX, parse_object("rev-list", &tip)?, "--"]);
        let found = run("rev-list", command)?;
        let found = String::from_utf8_lossy(&found);
        Ok(found.lines().find(|commit| deployed.contains(*commit)).map_or(tip, str::to_owned))
    }

    /// Makes a repository at `place`, where nothing is, from a bundle and what its branches shall point to. Git checks
    /// every object on the way.
    pub fn restore(
        &self,
        place: &Path,
        bundle: Option<&mut File>,
        pointers: &Pointers,
    ) -> Result<(), GitError> {
        let mut init = self.plain();
        init.args(["init", "--quiet", "--bare", "--template="]).arg(place);
        run("init", init)?;
        fs::create_dir_all(place.join("info")).map_err(failed("init"))?;
        fs::write(place.join("info/attributes"), ATTRIBUTES).map_err(failed("init"))?;
        if let Some(bundle) = bundle {
            read_head(bundle)?;
            let mut index = self.git(place);
            index.args(["index-pack", "--stdin", "--fix-thin"]);
            index.stdin(bundle.try_clone().map_err(failed("index-pack"))?);
            run("index-pack", index)?;
        }
        let mut moves = String::new();
        for (branch, commit) in &pointers.branches {
            let (branch, commit) = (parse_branch(branch)?, parse_object("update-ref", commit)?);
            moves += &format!("create {BRANCHES}{branch} {commit}\n");
        }
        self.update_refs(place, &moves)?;
        let mut head = self.git(place);
        head.args(["symbolic-ref", "HEAD"]).arg(format!("{BRANCHES}{}", parse_branch(&pointers.head)?));
        run("symbolic-ref", head).map(drop)
    }

    fn update_refs(&self, place: &Path, moves: &str) -> Result<(), GitError> {
        let mut update = self.git(place);
        update.args(["update-ref", "--stdin"]).stdin(Stdio::piped());
        let mut child = update.spawn().map_err(failed("update-ref"))?;
        let mut input = child.stdin.take().ok_or_else(|| bad("update-ref", "no input"))?;
        // One that ends early says why on its standard error.
        drop(input.write_all(moves.as_bytes()));
        drop(input);
        judge("update-ref", child.wait_with_output()).map(drop)
    }

    fn plain(&self) -> Command {
        let mut command = self.program.command().into_std();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn git(&self, repository: &Path) -> Command {
        let mut command = self.plain();
        command.arg("--git-dir").arg(repository);
        command
    }
}

/// The refs of a bundle's head. Afterwards the file stands where its pack begins.
fn read_head(bundle: &mut File) -> Result<Vec<(String, String)>, GitError> {
    bundle.seek(SeekFrom::Start(0)).map_err(failed("bundle"))?;
    let mut lines = BufReader::new(&mut *bundle);
    let mut at = 0;
    let mut refs = Vec::new();
    for number in 0..REFS_MAX {
        let mut line = String::new();
        let got = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).map_err(failed("bundle"))?;
        at += got as u64;
        match line.as_str() {
            SIGNATURE if number == 0 => {}
            "\n" if number > 0 => {
                bundle.seek(SeekFrom::Start(at)).map_err(failed("bundle"))?;
                return Ok(refs);
            }
            line => {
                let (object, name) = line
                    .trim_end()
                    .split_once(' ')
                    .filter(|_| number > 0 && line.ends_with('\n'))
                    .ok_or_else(|| bad("bundle", "not a bundle"))?;
                refs.push((name.to_owned(), parse_object("bundle", object)?.to_owned()));
            }
        }
    }
    Err(bad("bundle", "too many refs"))
}

fn run(operation: &'static str, mut command: Command) -> Result<Vec<u8>, GitError> {
    judge(operation, command.output())
}

fn judge(operation: &'static str, output: io::Result<std::process::Output>) -> Result<Vec<u8>, GitError> {
    let output = output.map_err(failed(operation))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(bad(operation, String::from_utf8_lossy(&output.stderr).trim()))
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> GitError {
    move |cause| GitError::Io { operation, cause }
}

fn bad(operation: &'static str, stderr: &str) -> GitError {
    GitError::Command { operation, stderr: stderr.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::STAGING;

    fn git(at: &Path, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(at).args(["-c", "user.name=T", "-c", "user.email=t@e"]).args(words);
        String::from_utf8(run("test", command).unwrap()).unwrap().trim().to_owned()
    }

    #[test]
    fn a_repository_comes_back_as_far_as_it_was_deployed() {
        let home = tempfile::tempdir().unwrap();
        let (work, bare) = (home.path().join("work"), home.path().join("bare"));
        fs::create_dir(&work).unwrap();
        git(&work, &["init", "-q", "-b", "master"]);
        git(&work, &["commit", "-q", "--allow-empty", "-m", "one"]);
        let one = git(&work, &["rev-parse", "HEAD"]);
        git(&work, &["commit", "-q", "--allow-empty", "-m", "two"]);
        let two = git(&work, &["rev-parse", "HEAD"]);
        git(home.path(), &["clone", "-q", "--bare", "work", "bare"]);
        git(&bare, &["update-ref", &format!("{STAGING}/{two}"), &two]);

        let bundles = Bundles::new(home.path().into(), None);
        let mut file = tempfile::tempfile().unwrap();
        assert!(bundles.create(&bare, &file).unwrap());
        let now = bundles.pointers(&bare, &mut file, &[two.clone()].into()).unwrap();
        assert_eq!(now.branches, [("master".to_owned(), two.clone())]);
        let then = bundles.pointers(&bare, &mut file, &[one.clone()].into()).unwrap();
        assert_eq!(then, Pointers { head: "master".into(), branches: vec![("master".into(), one.clone())] });

        let again = home.path().join("again");
        bundles.restore(&again, Some(&mut file), &then).unwrap();
        assert_eq!(git(&again, &["rev-parse", "HEAD"]), one);
        // A build of the second commit may be taken up again.
        assert_eq!(git(&again, &["cat-file", "-t", &two]), "commit");
        git(&again, &["fsck", "--strict"]);
    }

    #[test]
    fn an_empty_repository_and_a_damaged_bundle() {
        let home = tempfile::tempdir().unwrap();
        git(home.path(), &["init", "-q", "--bare", "bare"]);
        let bundles = Bundles::new(home.path().into(), None);
        let mut file = tempfile::tempfile().unwrap();
        assert!(!bundles.create(&home.path().join("bare"), &file).unwrap());
        let pointers = Pointers { head: "main".into(), branches: vec![] };
        bundles.restore(&home.path().join("empty"), None, &pointers).unwrap();
        file.write_all(b"# v2 git bundle\nnonsense").unwrap();
        assert!(bundles.restore(&home.path().join("bad"), Some(&mut file), &pointers).is_err());
    }
}

//! Classic buildpacks from elsewhere, fetched from a server on this machine.

use std::{path::Path, process::Command};

use renga_ports::BuiltLayer;

use crate::{
    hands::{Machine, Outcome, Source, request, with_config, write},
    server::Server,
};

const DETECT: &str =
    "#!/bin/bash\n[ -f \"$1/marker\" ] && echo 'Marked' || { echo 'no marker here' >&2; exit 1; }\n";
/// Notes everything that the contract promises, then builds.
const COMPILE: &str = r##"#!/bin/bash
set -e
{
  echo "cwd_is_mine=$([ -f bin/compile ] && echo yes)"
  echo "args=$#"
  echo "secret_in_env=${SECRET-none}"
  echo "secret_in_file=$(cat "$3/SECRET")"
  echo "home=$HOME stack=$STACK version=$SOURCE_VERSION request=$REQUEST_ID"
  echo "git_dir=${GIT_DIR-none} cargo=${CARGO_PKG_NAME-none}"
  echo "before=${FROM_FIRST-none}"
} > "$1/notes-$NAME_OF_PACK"
echo "-----> Compiling"
mkdir -p "$2" "$1/.profile.d" "$1/tmp"
echo run >> "$2/runs"
cp "$2/runs" "$1/runs"
echo 'export X=1' > "$1/.profile.d/x.sh"
echo web > "$1/tmp/type"
cat > export <<'END'
export FROM_FIRST="a b"
export PATH="/first/bin:$PATH"
END
"##;
const RELEASE: &str = "#!/bin/bash\ncat <<END\n---\naddons: [some-db]\nconfig_vars:\n  MODE: fast\ndefault_process_types:\n  $(cat $1/tmp/type): bin/start\n  web2: \"x: y\"\nEND\n";

/// A buildpack's files; its scripts have lost their execute bits, as in some archives.
pub(crate) fn buildpack(folder: &Path, name: &str) {
    write(&folder.join("bin/detect"), DETECT);
    write(&folder.join("bin/compile"), &COMPILE.replace("$NAME_OF_PACK", name));
    write(&folder.join("bin/release"), RELEASE);
}

fn git(folder: &Path, args: &[&str]) {
    let status = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .env_remove("GIT_DIR")
        .status()
        .unwrap();
    assert!(status.success(), "git {args:?}");
}

/// Serves a repository whose tag `v1` is a buildpack, and whose head is not.
fn serve_repository(server: &Server) {
    let work = tempfile::tempdir().unwrap();
    buildpack(work.path(), "git");
    git(work.path(), &["init", "-q"]);
    git(work.path(), &["add", "-A"]);
    git(work.path(), &["commit", "-qm", "one"]);
    git(work.path(), &["tag", "v1"]);
    git(work.path(), &["rm", "-rq", "bin"]);
    git(work.path(), &["commit", "-qm", "defaced", "--allow-empty"]);
    let bare = server.folder.path().join("pack.git");
    let bare = bare.to_str().unwrap();
    git(work.path(), &["clone", "-q", "--bare", ".", bare]);
    git(Path::new(bare), &["update-server-info"]);
}

/// Serves the same buildpack in a tarball with a top folder.
pub(crate) fn serve_tarball(server: &Server) {
    let folder = Source::new(&[]);
    buildpack(&folder.folder.path().join("pack-1.0"), "tarball");
    folder.tar(&server.folder.path().join("pack.tar.gz"));
}

fn notes(outcome: &Outcome, name: &str) -> String {
    std::fs::read_to_string(outcome.app().join(format!("notes-{name}"))).unwrap()
}

#[test]
fn the_contract_is_kept_in_a_list_of_two() {
    let server = Server::start();
    serve_repository(&server);
    serve_tarball(&server);
    let source = Source::new(&[("marker", ""), ("Procfile", "worker: w\n")]);
    let machine = Machine::new();
    let packs = [server.url_with_credentials("pack.git#v1"), server.url("pack.tar.gz")];
    let request = with_config(request(&[&packs[0], &packs[1]]), "SECRET", "multi\nline");
    let outcome = machine.build(&source, request);
    outcome.must_say(&[
        "-----> Using buildpacks:",
        &format!("       1. {}", server.url("pack.git#v1")),
        &format!("       2. {}", server.url("pack.tar.gz")),
        "-----> Marked app detected",
        "       Procfile declares types     -> worker",
        "       Default types for buildpack -> web, web2",
    ]);
    let result = outcome.result();
    assert!(!outcome.log.contains("hunter2") && !outcome.json.to_string().contains("hunter2"));

    let home = machine.places.app.display();
    let (first, second) = (notes(&outcome, "git"), notes(&outcome, "tarball"));
    for line in [
        "cwd_is_mine=yes",
        "args=3",
        "secret_in_env=none",
        "secret_in_file=multi\nline",
        &format!("home={home} stack=heroku-24 version=c0ffee request=01234567-89ab"),
        "git_dir=none cargo=none",
    ] {
        assert!(first.contains(line), "{line}\n{first}");
    }
    assert!(first.contains("before=none") && second.contains("before=a b"));

    assert_eq!(result.process_types[&"web".parse().unwrap()], "bin/start");
    assert_eq!(result.process_types[&"web2".parse().unwrap()], "x: y");
    assert_eq!(result.config_defaults["MODE"], "fast");
    assert_eq!(result.addons, ["some-db"]);
    assert_eq!(result.language.as_deref(), Some("Marked"));
    assert_eq!(result.detected, None);
    assert!(result.buildpacks[0].starts_with(&server.url("pack.git#")) && result.buildpacks[0].len() > 60);
    assert!(outcome.app().join(".profile.d/x.sh").is_file());
    assert!(!outcome.app().join("tmp/type").exists(), "tmp is emptied after bin/release");
    assert_eq!(std::fs::read_dir(machine.root.path().join("run")).unwrap().count(), 1, "ENV_DIR is gone");
}

#[test]
fn the_cache_comes_back() {
    let server = Server::start();
    serve_tarball(&server);
    let source = Source::new(&[("marker", "")]);
    let url = server.url("pack.tar.gz");
    let with_secret = || with_config(request(&[&url]), "SECRET", "x");
    let machine = Machine::new();
    let first = machine.build(&source, with_secret());
    assert_eq!(std::fs::read_to_string(first.app().join("runs")).unwrap(), "run\n");
    // Whoever runs the next build lays the kept layer over `/`, so that the cache is at its place again.
    let machine = Machine::new();
    write(&machine.places.cache.join("runs"), "run\n");
    let second = machine.build(&source, with_secret());
    assert_eq!(std::fs::read_to_string(second.app().join("runs")).unwrap(), "run\nrun\n");
    let Some(BuiltLayer::Fresh { key, directory }) = second.result().cache else { panic!("no cache") };
    assert_eq!(key.as_deref(), Some("cache"));
    let kept = machine.places.cache.strip_prefix("/").unwrap().join("runs");
    assert_eq!(std::fs::read_to_string(second.at(&directory).join(kept)).unwrap(), "run\nrun\n");
}

#[track_caller]
fn check_failure(pack: &str, source: &Source, expected: &str) {
    let outcome = Machine::new().build(source, request(&[pack]));
    assert!(!outcome.succeeded && outcome.log.contains(expected), "{expected}\n{}", outcome.log);
    assert!(!outcome.log.contains("hunter2"));
}

#[test]
fn what_is_wrong_with_a_buildpack_is_told() {
    let server = Server::start();
    serve_repository(&server);
    serve_tarball(&server);
    let marked = Source::new(&[("marker", "")]);
    check_failure(
        &server.url_with_credentials("pack.git"),
        &marked,
        "is not a buildpack: it has no bin/detect",
    );
    check_failure(&server.url_with_credentials("missing.git#v1"), &marked, "could not be fetched");
    check_failure(&server.url("pack.git#v9"), &marked, "it has no branch, tag or commit v9");
    check_failure(&server.url_with_credentials("missing.tgz"), &marked, "could not be fetched");
    let unmarked = Source::new(&[("x", "")]);
    let pack = server.url("pack.tar.gz");
    check_failure(
        &pack,
        &unmarked,
        &format!("-----> App not compatible with buildpack: {pack}\n       no marker here"),
    );
}

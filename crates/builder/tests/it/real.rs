//! Builds inside a stack: the program itself, its tools, the registries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use renga_ports::{BuildRequest, BuiltLayer, CachedLayer};

use crate::{
    external::serve_tarball,
    hands::{Outcome, Source, request, with_config, write},
    server::Server,
};

/// The root of the stack, unpacked if it was given as a tar file; none if these tests were not asked for.
fn stack() -> Option<PathBuf> {
    static UNPACKING: Mutex<()> = Mutex::new(());
    let given = PathBuf::from(std::env::var_os("RENGA_TEST_STACK")?);
    if given.is_dir() {
        return Some(given);
    }
    let _one_at_a_time = UNPACKING.lock().unwrap();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stack");
    let stamp = root.with_extension("of");
    let wanted = format!("{} {:?}", given.display(), fs::metadata(&given).unwrap().modified().unwrap());
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Some(root);
    }
    drop(fs::remove_dir_all(&root));
    fs::create_dir_all(&root).unwrap();
    let status = Command::new("tar").arg("-xpf").arg(&given).arg("-C").arg(&root).status().unwrap();
    assert!(status.success());
    fs::write(stamp, wanted).unwrap();
    Some(root)
}

/// One dyno: an overlay over the stack that goes when the test does.
struct Dyno {
    work: tempfile::TempDir,
}

impl Dyno {
    fn new() -> Self {
        Self { work: tempfile::tempdir().unwrap() }
    }

    fn upper(&self) -> PathBuf {
        self.work.path().join("upper")
    }

    /// Runs `program` as the builder; `over` are layers over the stack, highest first.
    fn run(
        &self,
        stack: &Path,
        over: &[PathBuf],
        program: &Path,
        request: &Path,
        source: &Path,
    ) -> (bool, String) {
        let mut lower: Vec<String> = over.iter().map(|path| path.display().to_string()).collect();
        lower.push(stack.display().to_string());
        let layers = self.work.path().join("layers");
        let output = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/dyno.sh"))
            .arg(self.work.path())
            .arg(lower.join(":"))
            .args([program, request, source])
            .arg(if layers.is_dir() { layers.as_path() } else { Path::new("-") })
            .env_remove("HOME")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn build(&self, source: &Source, mut request: BuildRequest, last: Option<&Outcome>) -> Option<Outcome> {
        let stack = stack()?;
        let mut over = Vec::new();
        if let Some(last) = last {
            let result = last.result();
            request.facts = result.facts;
            request.remembered = result.detected;
            for (index, layer) in result.layers.iter().enumerate() {
                if let BuiltLayer::Fresh { key: Some(key), directory } = layer {
                    let path = format!("/layers/{index}");
                    copy(&last.at(directory), &self.work.path().join(&path[1..]));
                    request.cached.push(CachedLayer { key: key.clone(), path });
                }
            }
            if let Some(BuiltLayer::Fresh { directory, .. }) = &result.cache {
                over.push(last.at(directory));
            }
        }
        request.source = "/run/renga/source.tar".into();
        let at = |name: &str| self.work.path().join(name);
        fs::write(at("request.json"), serde_json::to_vec(&request).unwrap()).unwrap();
        source.tar(&at("source.tar"));
        let program = Path::new(env!("CARGO_BIN_EXE_renga-build"));
        let (succeeded, log) = self.run(&stack, &over, program, &at("request.json"), &at("source.tar"));
        let json = fs::read(self.upper().join("out/result.json"));
        let json = json.map_or(serde_json::Value::Null, |json| serde_json::from_slice(&json).unwrap());
        Some(Outcome { succeeded, log, json, root: self.upper() })
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Runs a script as a dyno would: the slug's layers over the stack, profile scripts sourced.
fn run_slug(outcome: &Outcome, script: &str) -> String {
    let dyno = Dyno::new();
    let layers = outcome.result().layers;
    let over = layers.iter().rev().map(|layer| match layer {
        BuiltLayer::Fresh { directory, .. } => outcome.at(directory),
        BuiltLayer::Cached { key } => panic!("{key} is in another build"),
    });
    let over: Vec<PathBuf> = over.collect();
    let program = dyno.work.path().join("program");
    let head = "#!/bin/bash\nset -e\nexport HOME=/app DYNO=run.1\ncd /app\nshopt -s nullglob\nfor f in .profile.d/*.sh; do . $f; done\n";
    write(&program, &format!("{head}{script}\n"));
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (succeeded, text) = dyno.run(&stack().unwrap(), &over, &program, &program, &program);
    assert!(succeeded, "{text}");
    text
}

fn kinds(outcome: &Outcome) -> String {
    let kind = |layer: &BuiltLayer| match layer {
        BuiltLayer::Cached { key } => format!("cached {}", key.rsplit_once('-').unwrap().0),
        BuiltLayer::Fresh { key: Some(key), .. } => format!("fresh {}", key.rsplit_once('-').unwrap().0),
        BuiltLayer::Fresh { key: None, .. } => "app".into(),
    };
    outcome.result().layers.iter().map(kind).collect::<Vec<_>>().join(", ")
}

#[test]
fn real_procfile_only() {
    let source = Source::new(&[("Procfile", "web: ./serve\n"), ("serve", "#!/bin/sh\n")]);
    let dyno = Dyno::new();
    let Some(outcome) = dyno.build(&source, request(&[]), None) else { return };
    assert_eq!(kinds(&outcome), "app");
    assert_eq!(run_slug(&outcome, "ls"), "Procfile\nserve\n");
}

const SETTINGS: &str = r#"
import os
from pathlib import Path
SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = ["django.contrib.staticfiles", "django.contrib.contenttypes", "django.contrib.auth"]
STATIC_URL = "static/"
STATICFILES_DIRS = [Path(__file__).parent / "assets"]
STATIC_ROOT = Path(__file__).parent / "staticfiles"
"#;
const MANAGE: &str = r#"
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"#;

#[test]
fn real_django_app() {
    let source = Source::new(&[
        (".python-version", "3.13\n"),
        ("requirements.txt", "django==5.2\n"),
        ("Procfile", "release: python manage.py check\n"),
        ("manage.py", MANAGE),
        ("settings.py", SETTINGS),
        ("assets/site.css", "body {}\n"),
    ]);
    let asked = || with_config(request(&[]), "SECRET_KEY", "must-not-show");
    let dyno = Dyno::new();
    let Some(first) = dyno.build(&source, asked(), None) else { return };
    first.must_say(&[
        "-----> Python app detected",
        "-----> Using Python 3.13 specified in .python-version",
        "-----> Installing dependencies using 'pip install -r requirements.txt'",
        "        + django==5.2",
        "-----> $ python manage.py collectstatic --noinput",
        "       Procfile declares types -> release",
    ]);
    assert_eq!(kinds(&first), "fresh python-dependencies, app");
    assert!(first.app().join("staticfiles/site.css").is_file());
    assert!(!first.log.contains("must-not-show"), "{}", first.log);
    let said = run_slug(
        &first,
        "SECRET_KEY=x python manage.py check; pip --version; python -c 'import sys; print(sys.prefix)'",
    );
    assert!(said.contains("no issues") && said.contains("/app/.heroku/python"), "{said}");

    source.write("settings.py", &SETTINGS.replace("assets", "assets2"));
    source.write("assets2/other.css", "x");
    let dyno = Dyno::new();
    let second = dyno.build(&source, asked(), Some(&first)).unwrap();
    second.must_say(&[
        "-----> Using buildpack: heroku/python",
        "-----> Restoring cache",
        "       Using cached dependencies: requirements.txt has not changed",
    ]);
    assert_eq!(kinds(&second), "cached python-dependencies, app");
    assert!(second.app().join("staticfiles/other.css").is_file());

    source.write("requirements.txt", "django==5.2.1\n");
    let dyno = Dyno::new();
    let third = dyno.build(&source, asked(), Some(&first)).unwrap();
    third.must_say(&["-----> Discarding cache since:", "       - The contents of requirements.txt changed"]);
    assert_eq!(kinds(&third), "fresh python-dependencies, app");

    source.write("settings.py", "raise SystemExit('broken settings')");
    let dyno = Dyno::new();
    let broken = dyno.build(&source, asked(), Some(&third)).unwrap();
    assert!(!broken.succeeded);
    broken.must_say(&[
        "       broken settings",
        " !     Error: Unable to generate Django static files.",
        " !     Push rejected, failed to compile Python app.",
        " !     Push failed",
    ]);
}

#[test]
fn real_default_python() {
    let source =
        Source::new(&[("requirements.txt", "six\n"), ("bin/post_compile", "pip --version; echo hooked\n")]);
    let dyno = Dyno::new();
    let Some(first) = dyno.build(&source, request(&[]), None) else { return };
    first.must_say(&[
        "-----> No Python version was specified. Using the buildpack default: Python 3.14",
        "-----> Running bin/post_compile hook",
        "       hooked",
    ]);
    assert!(kinds(&first).starts_with("fresh python-3.14") && kinds(&first).ends_with(", app"));
    assert!(!kinds(&first).contains("dependencies"), "a hook may change the dependencies");
    let said =
        run_slug(&first, "python -c 'import six, ssl, sqlite3, termios, getpass, sys; print(sys.version)'");
    assert!(said.starts_with("3.14."), "{said}");

    let dyno = Dyno::new();
    let second = dyno.build(&source, request(&[]), Some(&first)).unwrap();
    assert!(second.log.contains("-----> Using cached install of Python 3.14."), "{}", second.log);
    assert!(kinds(&second).starts_with("cached python-3.14"));

    source.write(".python-version", "3.8\n");
    let dyno = Dyno::new();
    let third = dyno.build(&source, request(&[]), Some(&first)).unwrap();
    assert!(!third.succeeded);
    third.must_say(&[" !     Error: Python 3.8 isn't available here."]);
}

#[test]
fn real_node_app() {
    let source = Source::new(&[
        (
            "package.json",
            r#"{"name":"x","version":"1.0.0","engines":{"node":"22.x"},"scripts":{"start":"node ."},
                "dependencies":{"ms":"2.1.3"},"devDependencies":{"isarray":"2.0.5"}}"#,
        ),
        (
            "package-lock.json",
            r#"{"name":"x","version":"1.0.0","lockfileVersion":3,"packages":{
                "":{"name":"x","version":"1.0.0","dependencies":{"ms":"2.1.3"},"devDependencies":{"isarray":"2.0.5"},
                    "engines":{"node":"22.x"}},
                "node_modules/isarray":{"version":"2.0.5","dev":true},
                "node_modules/ms":{"version":"2.1.3"}}}"#,
        ),
        ("index.js", "console.log(process.version, require('ms')('2 days'))"),
    ]);
    let dyno = Dyno::new();
    let Some(first) = dyno.build(&source, request(&[]), None) else { return };
    first.must_say(&[
        "-----> Node.js app detected",
        "       engines.node (package.json):   22.x",
        "       Resolving node version 22.x...",
        "       Installing node modules",
        "-----> Pruning devDependencies",
        "-----> Build succeeded!",
        "       Default types for buildpack -> web",
    ]);
    assert!(
        kinds(&first).starts_with("fresh node-22.") && kinds(&first).ends_with("fresh node-modules, app")
    );
    let said = run_slug(&first, "npm start --silent; ls node_modules; echo $NODE_ENV $WEB_CONCURRENCY");
    assert!(said.starts_with("v22.") && said.contains(" 172800000\nms\nproduction "), "{said}");

    let dyno = Dyno::new();
    let second = dyno.build(&source, request(&[]), Some(&first)).unwrap();
    second.must_say(&["       Using cached node_modules: package-lock.json has not changed"]);
    assert!(
        kinds(&second).starts_with("cached node-22.") && kinds(&second).ends_with("cached node-modules, app")
    );

    // With a build script node_modules belong to the app.
    source.write(
        "package.json",
        r#"{"name":"x","version":"1.0.0","engines":{"node":"22.x"},
            "scripts":{"build":"mkdir -p dist && echo $GREETING > dist/x","heroku-cleanup":"exit 3"},
            "dependencies":{"ms":"2.1.3"},"devDependencies":{"isarray":"2.0.5"}}"#,
    );
    let dyno = Dyno::new();
    let third = dyno.build(&source, with_config(request(&[]), "GREETING", "hello"), Some(&first)).unwrap();
    assert!(!third.succeeded);
    third.must_say(&[
        "       Running build",
        "-----> Cleanup",
        " !     Error: The script \"heroku-cleanup\" of package.json failed; its messages are above.",
        " !     Push rejected, failed to compile Node.js app.",
    ]);
}

#[test]
fn real_external_buildpack() {
    let server = Server::start();
    serve_tarball(&server);
    let url = server.url("pack.tar.gz");
    let source = Source::new(&[("marker", "")]);
    let asked = || with_config(request(&[&url]), "SECRET", "x");
    let dyno = Dyno::new();
    let Some(first) = dyno.build(&source, asked(), None) else { return };
    assert_eq!(kinds(&first), "app");
    let dyno = Dyno::new();
    let second = dyno.build(&source, asked(), Some(&first)).unwrap();
    // The cache was a lower layer of the overlay, and is whole again.
    assert_eq!(fs::read_to_string(second.app().join("runs")).unwrap(), "run\nrun\n");
    let Some(BuiltLayer::Fresh { directory, .. }) = second.result().cache else { panic!("no cache") };
    let kept = second.at(&directory).join("tmp/codon/tmp/cache/runs");
    assert_eq!(fs::read_to_string(kept).unwrap(), "run\nrun\n");
}

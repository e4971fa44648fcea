//! The frame of a build, without any language.

use renga_ports::BuildRequest;

use crate::hands::{Machine, Source, request};

#[test]
fn a_procfile_is_enough() {
    let source = Source::new(&[
        ("Procfile", "web: ./serve # the server\nworker: ./work\n"),
        ("serve", "#!/bin/sh\n"),
        ("log/old.log", "x"),
        ("tmp/cache/x", "x"),
        ("docs/a.psd", "x"),
        ("deep/.DS_Store", "x"),
        (".slugignore", "*.psd\n"),
        (".git/config", "x"),
    ]);
    let machine = Machine::new();
    let outcome = machine.build(&source, request(&[]));
    outcome.must_say(&[
        "-----> Building on the Heroku-24 stack",
        "-----> Deleting 1 files matching .slugignore patterns.",
        "-----> Determining which buildpack to use for this app",
        "-----> Discovering process types",
        "       Procfile declares types -> web, worker",
    ]);
    let result = outcome.result();
    assert_eq!(result.language.as_deref(), Some("Procfile"));
    assert_eq!(result.detected, None);
    assert_eq!(result.process_types[&"web".parse().unwrap()], "./serve # the server");
    let app = outcome.app();
    assert!(app.join("serve").is_file() && app.join("tmp").is_dir() && app.join("log").is_dir());
    for gone in ["log/old.log", "tmp/cache", "docs/a.psd", "deep/.DS_Store", ".git"] {
        assert!(!app.join(gone).exists(), "{gone}");
    }
    assert!(result.cache.is_none());
}

#[test]
fn a_finished_slug_is_taken_as_it_is() {
    let source = Source::new(&[
        ("app/serve", "#!/bin/sh\n"),
        ("app/Procfile", "web: not this one\n"),
        ("app/tmp/kept", "x"),
        ("beside/left-out", "x"),
    ]);
    let slug = || BuildRequest { is_slug: true, ..request(&[]) };
    let machine = Machine::new();
    let outcome = machine.build(&source, slug());
    outcome.must_say(&["-----> Unpacking the slug"]);
    let (result, app) = (outcome.result(), outcome.app());
    assert_eq!((result.layers.len(), result.process_types.len()), (1, 0));
    for there in ["serve", "Procfile", "tmp/kept"] {
        assert!(app.join(there).is_file(), "{there}");
    }
    assert!(!app.parent().unwrap().join("beside").exists());

    let refused = |source: &Source, request, says: &str| {
        let outcome = Machine::new().build(source, request);
        assert!(
            !outcome.succeeded && outcome.json["failure"].as_str().unwrap().contains(says),
            "{}",
            outcome.log
        );
    };
    refused(&Source::new(&[("serve", "x")]), slug(), "The slug has no directory ./app");
    let promised = format!("SHA256:{}", "0".repeat(64));
    refused(&source, BuildRequest { checksum: Some(promised), ..slug() }, "not what was promised");
}

/// Checks a build that fails: the lines of the log, and that the result file says the same.
#[track_caller]
fn check_failure(source: &Source, buildpacks: &[&str], lines: &[&str]) {
    let outcome = Machine::new().build(source, request(buildpacks));
    assert!(!outcome.succeeded, "{}", outcome.log);
    outcome.must_say(lines);
    assert!(outcome.log.ends_with("\n !     Push failed\n"), "{}", outcome.log);
    let failure = outcome.json["failure"].as_str().unwrap();
    assert!(outcome.log.contains(failure.lines().next().unwrap()));
}

#[test]
fn failures_say_what_why_and_what_next() {
    check_failure(&Source::new(&[]), &[], &[" !     The source is empty: there is not one file in it."]);
    check_failure(
        &Source::new(&[("README.md", "x")]),
        &[],
        &[
            "-----> Determining which buildpack to use for this app",
            " !     No default language could be detected for this app.",
        ],
    );
    check_failure(
        &Source::new(&[("Gemfile", ""), ("package.json", "{}")]),
        &[],
        &[" !     This looks like a ruby app (it has Gemfile), and heroku/ruby is not built in here."],
    );
    check_failure(
        &Source::new(&[("x", "")]),
        &["heroku/php"],
        &[" !     The buildpack heroku/php is not built in here."],
    );
    check_failure(
        &Source::new(&[("Procfile", "web: x")]),
        &["heroku/python"],
        &["-----> Using buildpack: heroku/python", "-----> App not compatible with buildpack: heroku/python"],
    );
}

#[test]
fn python_apps_are_told_what_is_missing() {
    let push_rejected = " !     Push rejected, failed to compile Python app.";
    check_failure(
        &Source::new(&[("app.py", "")]),
        &[],
        &[" !     Error: Couldn't find any supported Python package manager files.", push_rejected],
    );
    check_failure(
        &Source::new(&[("requirements.txt", ""), ("uv.lock", "")]),
        &[],
        &[" !     Error: Multiple Python package manager files were found.", push_rejected],
    );
    check_failure(
        &Source::new(&[("Pipfile", "")]),
        &[],
        &[" !     Error: No 'Pipfile.lock' found!", push_rejected],
    );
    check_failure(
        &Source::new(&[("uv.lock", "")]),
        &[],
        &[" !     Error: No Python version was specified.", push_rejected],
    );
    check_failure(
        &Source::new(&[("requirements.txt", ""), (".python-version", "pypy3.10\n")]),
        &[],
        &[" !     Error: Invalid Python version in .python-version.", push_rejected],
    );
}

#[test]
fn node_apps_are_told_what_is_wrong() {
    let push_rejected = " !     Push rejected, failed to compile Node.js app.";
    let two = Source::new(&[("package.json", "{}"), ("yarn.lock", ""), ("package-lock.json", "{}")]);
    let line =
        " !     Error: Build failed because two or more lockfiles were found: package-lock.json, yarn.lock.";
    check_failure(&two, &[], &[line, push_rejected]);
    check_failure(&Source::new(&[("package.json", "{")]), &[], &[push_rejected]);
    let range = Source::new(&[("package.json", r#"{"engines":{"node":"newest please"}}"#)]);
    let line = " !     Error: Invalid semantic version \"newest please\" for engines.node in package.json.";
    check_failure(&range, &[], &[line, push_rejected]);
}

#[test]
fn a_source_that_is_not_what_was_promised_is_refused() {
    let mut wrong = request(&[]);
    wrong.checksum = Some(format!("SHA256:{}", "0".repeat(64)));
    let outcome = Machine::new().build(&Source::new(&[("Procfile", "web: x")]), wrong);
    assert!(!outcome.succeeded);
    outcome.must_say(&[" !     The source is not what was promised."]);

    let machine = Machine::new();
    let archive = machine.root.path().join("source.tar");
    std::fs::write(&archive, "no archive").unwrap();
    let outcome = machine.build_archive(&archive, request(&[]));
    assert!(
        !outcome.succeeded && outcome.log.contains("The source archive can't be read"),
        "{}",
        outcome.log
    );
}

#[test]
fn a_source_may_be_given_by_url() {
    let server = crate::server::Server::start();
    let source = Source::new(&[("app-1.0/Procfile", "web: x")]);
    source.tar(&server.folder.path().join("source.tar"));
    let machine = Machine::new();
    let mut asked = request(&[]);
    asked.strip_top_folder = true;
    let url = server.url_with_credentials("source.tar?signature=abc");
    let outcome = machine.build_archive(std::path::Path::new(&url), asked.clone());
    assert_eq!(outcome.result().process_types.len(), 1);

    let url = server.url_with_credentials("missing.tar?signature=abc");
    let outcome = Machine::new().build_archive(std::path::Path::new(&url), asked);
    let line = format!(" !     The source could not be fetched from {}:", server.url("missing.tar"));
    outcome.must_say(&["-----> Fetching the source", &line]);
    assert!(!outcome.log.contains("signature") && !outcome.log.contains("hunter2"), "{}", outcome.log);
}

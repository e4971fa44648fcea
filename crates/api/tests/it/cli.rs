//! The official command line against the API, for everything that needs no dyno. Looks for `heroku` where
//! `RENGA_TEST_HEROKU` says, or in the path.

use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use renga_model::DynoId;
use renga_ports::{AttachInput, AttachOutput};

use crate::{
    harness::{PASSWORD, Platform},
    rendezvous::Meeting,
};

/// What a prompt or a dyno may take to appear, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

struct Cli<'a> {
    platform: &'a Platform,
    home: tempfile::TempDir,
    program: PathBuf,
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: std::process::Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl<'a> Cli<'a> {
    fn new(platform: &'a Platform, program: PathBuf) -> Self {
        Self { platform, home: tempfile::tempdir().unwrap(), program }
    }

    /// Without a token: some commands begin without one.
    fn command(&self, program: &std::ffi::OsStr) -> Command {
        let url = &self.platform.url;
        let mut command = Command::new(program);
        command
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("HEROKU_HOST", url)
            .env("HEROKU_DATA_HOST", "localhost")
            .env("HEROKU_PARTICLEBOARD_URL", url)
            .env("HEROKU_LOGIN_HOST", url)
            .env("HEROKU_STATUS_HOST", url)
            .env("HEROKU_BUILDPACK_REGISTRY_URL", url)
            .env("HEROKU_GIT_HOST", url.trim_start_matches("http://"))
            .env("DISABLE_TELEMETRY", "true")
            .env("HEROKU_SKIP_NEW_VERSION_CHECK", "true")
            .env("HEROKU_DISABLE_AUTOUPDATE", "1")
            .env("HEROKU_NETRC_WRITE", "true")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.command(self.program.as_os_str());
        Ran::of(command.args(words).env("HEROKU_API_KEY", &self.platform.token).output().unwrap())
    }

    #[track_caller]
    fn good(&self, words: &[&str], expected: &[&str]) {
        let ran = self.run(words);
        let all = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(0), "heroku {}: {all}", words.join(" "));
        for text in expected {
            assert!(all.contains(text), "heroku {} lacks {text:?}: {all}", words.join(" "));
        }
    }

    #[track_caller]
    fn bad(&self, words: &[&str], expected: &str) {
        let ran = self.run(words);
        let all = format!("{}{}", ran.out, ran.err);
        assert_ne!(ran.code, Some(0), "heroku {}: {all}", words.join(" "));
        assert!(all.contains(expected), "heroku {} lacks {expected:?}: {all}", words.join(" "));
    }
}

fn official() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("RENGA_TEST_HEROKU") {
        return Some(given.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("heroku")).find(|file| file.exists())
}

#[test]
fn the_official_command_line_works() {
    let Some(program) = official() else {
        eprintln!("heroku is not installed; set RENGA_TEST_HEROKU to test against it");
        return;
    };
    let platform = Platform::start();
    let cli = Cli::new(&platform, program);
    cli.good(&["whoami"], &["dev@example.com"]);
    cli.good(&["create", "demo-app"], &["demo-app", "https://demo-app.localhost:8443/", ".git"]);
    cli.bad(&["create", "demo-app"], "already taken");
    cli.good(&["apps"], &["demo-app"]);
    let app = platform.get("/apps/demo-app").good()["id"].as_str().unwrap().parse().unwrap();
    platform.deploy(app, &[("web", "serve"), ("worker", "work")]);
    let on = |words: &[&'static str]| [words, &["-a", "demo-app"]].concat();
    cli.good(&on(&["info"]), &["dev@example.com", "heroku-24"]);
    cli.good(&on(&["config:set", "FOO=1", "BAR=two words"]), &["v4", "FOO"]);
    cli.good(&on(&["config"]), &["FOO", "two words"]);
    cli.good(&on(&["config:get", "FOO"]), &["1"]);
    cli.good(&on(&["config:unset", "BAR"]), &["v5"]);
    cli.good(&on(&["releases"]), &["v5", "Remove BAR config vars", "Deploy 582fc95f"]);
    cli.good(&on(&["releases:info", "v4"]), &["Set BAR, FOO config vars"]);
    cli.good(&on(&["rollback", "v3"]), &["v6"]);
    cli.good(&on(&["rollback"]), &["v7"]);
    cli.good(&on(&["ps"]), &[]);
    cli.good(&on(&["ps:scale"]), &["web=1:Basic", "worker=0:Basic"]);
    cli.good(
        &on(&["ps:scale", "web=2:standard-1x", "worker+1"]),
        &["web at 2:Standard-1X", "worker at 1:Basic"],
    );
    cli.bad(&on(&["ps:scale", "clock=1"]), "Couldn't find that process type (clock)");
    cli.good(&on(&["ps:type", "worker=standard-2x"]), &["Standard-2X"]);
    cli.good(&on(&["ps:restart"]), &["done"]);
    cli.good(&on(&["run:detached", "echo", "hi"]), &["run."]);
    cli.good(&on(&["maintenance:on"]), &["done"]);
    cli.good(&on(&["maintenance"]), &["on"]);
    cli.good(&on(&["maintenance:off"]), &["done"]);
    let app = platform.get("/apps/demo-app").good()["id"].as_str().unwrap().parse().unwrap();
    platform.run(platform.log(app));
    cli.good(&on(&["logs"]), &["Release v2 created by user dev@example.com"]);
    cli.good(&on(&["logs", "-n", "1", "--source", "app"]), &["app[api]"]);
    cli.good(&on(&["domains"]), &["demo-app.localhost"]);
    cli.good(&on(&["features"]), &["preboot"]);
    cli.good(&on(&["features:disable", "preboot"]), &["done"]);
    cli.good(&on(&["buildpacks:set", "heroku/python"]), &["heroku/python"]);
    cli.good(&on(&["buildpacks:add", "--index", "1", "heroku/nodejs"]), &["heroku/nodejs"]);
    cli.good(&on(&["buildpacks"]), &["heroku/nodejs", "heroku/python"]);
    cli.good(&on(&["buildpacks:remove", "heroku/nodejs"]), &["heroku/python"]);
    cli.good(&on(&["buildpacks:clear"]), &["cleared"]);
    cli.good(&on(&["stack"]), &["heroku-24", "host"]);
    cli.good(&on(&["stack:set", "host"]), &["host"]);
    cli.good(&on(&["access"]), &["dev@example.com"]);
    cli.good(&on(&["addons"]), &["No add-ons"]);
    cli.good(&on(&["drains"]), &[]);
    cli.good(&on(&["webhooks"]), &[]);
    cli.good(&on(&["certs"]), &[]);
    cli.good(&["regions"], &["us"]);
    cli.good(&["status"], &["No known issues"]);
    cli.good(&["authorizations"], &["test"]);
    cli.good(&["authorizations:create", "-d", "ci", "-s", "read"], &["HRKU-"]);
    cli.good(&["auth:token"], &[&platform.token]);
    cli.good(&["teams"], &[]);
    cli.good(&["pipelines"], &[]);
    cli.good(&["buildpacks:search", "python"], &["heroku/python"]);
    cli.good(&on(&["apps:rename", "other-app"]), &["other-app"]);
    cli.good(&["apps:destroy", "-a", "other-app", "--confirm", "other-app"], &["done"]);
    cli.bad(&["info", "-a", "other-app"], "Couldn't find that app");
}

/// Types an answer behind each prompt, as a person at a terminal would.
fn converse(child: &mut Child, answers: &[(&str, &str)]) -> String {
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut answers, started) = (String::new(), answers.iter(), Instant::now());
    let mut next = answers.next();
    let mut buffer = [0; 4096];
    loop {
        let read = stdout.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return seen;
        }
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        assert!(started.elapsed() < DEADLINE, "no end: {seen}");
        if let Some((prompt, answer)) = next.filter(|(prompt, _)| seen.contains(prompt)) {
            assert!(!prompt.is_empty());
            stdin.write_all(format!("{answer}\r").as_bytes()).unwrap();
            next = answers.next();
        }
    }
}

#[test]
fn login_at_a_terminal_and_logout() {
    let Some(program) = official() else { return };
    let platform = Platform::start();
    let cli = Cli::new(&platform, program.clone());
    // `script` gives the client a terminal of its own.
    let line = format!("{} login -i", program.display());
    let mut script = cli.command("script".as_ref());
    let script = script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let seen = converse(&mut child, &[("Email", "dev@example.com"), ("Password", PASSWORD)]);
    assert!(child.wait().unwrap().success() && seen.contains("Logged in as"), "{seen}");
    let netrc = std::fs::read_to_string(cli.home.path().join(".netrc")).unwrap();
    assert!(netrc.contains("dev@example.com"), "{netrc}");
    let run = |words: &[&str]| Ran::of(cli.command(program.as_os_str()).args(words).output().unwrap());
    let who = run(&["whoami"]);
    assert!(who.out.contains("dev@example.com"), "{}{}", who.out, who.err);
    let tokens = || platform.get("/oauth/authorizations").good().as_array().unwrap().len();
    assert_eq!(tokens(), 2);
    let out = run(&["logout"]);
    assert_eq!(out.code, Some(0), "{}{}", out.out, out.err);
    assert_eq!(tokens(), 1, "the token of the login is revoked, the default one stays");
}

#[test]
fn run_brings_output_and_exit_status() {
    let Some(program) = official() else { return };
    let meeting = Meeting::start();
    let platform = &meeting.platform;
    let cli = Cli::new(platform, program.clone());
    let ca = cli.home.path().join("ca.pem");
    std::fs::write(&ca, &meeting.certificate_pem).unwrap();
    let mut command = cli.command(program.as_os_str());
    command.args(["run", "-a", "demo-app", "--exit-code", "--no-tty", "--", "cat", ";", "exit", "7"]);
    command.env("HEROKU_API_KEY", &platform.token).env("NODE_EXTRA_CA_CERTS", &ca);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let dyno = wait_for_dyno(platform);
    let mut process = platform.runtime.offer(dyno);
    platform.run(async {
        let mut typed = Vec::new();
        loop {
            match process.input.recv().await {
                Some(AttachInput::Data(data)) => typed.extend_from_slice(&data),
                Some(AttachInput::Eof) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(typed, b"typed\n");
        let output = "output of the process\n\u{FFFF} heroku-command-exit-status: 7\n";
        for piece in output.as_bytes().chunks(11) {
            process.output.send(AttachOutput::Data(piece.to_vec().into())).await.unwrap();
        }
        process.output.send(AttachOutput::Exit(7)).await.unwrap();
    });
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(7), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("output of the process") && !ran.out.contains("exit-status"), "{}", ran.out);
}

fn wait_for_dyno(platform: &Platform) -> DynoId {
    let started = Instant::now();
    loop {
        let dynos = platform.get("/apps/demo-app/dynos").good();
        if let Some(id) = dynos[0]["id"].as_str() {
            return id.parse().unwrap();
        }
        assert!(started.elapsed() < DEADLINE, "no dyno was made");
        std::thread::sleep(Duration::from_millis(50));
    }
}

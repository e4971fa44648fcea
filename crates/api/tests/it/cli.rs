//! The official command line against the API, for everything that needs no dyno. Looks for `heroku` where
//! `RENGA_TEST_HEROKU` says, or in the path.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::harness::Platform;

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

impl<'a> Cli<'a> {
    fn new(platform: &'a Platform, program: PathBuf) -> Self {
        Self { platform, home: tempfile::tempdir().unwrap(), program }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let url = &self.platform.url;
        let output = Command::new(&self.program)
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("HEROKU_HOST", url)
            .env("HEROKU_API_KEY", &self.platform.token)
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
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
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
    let found = std::env::split_paths(&path).map(|folder| folder.join("heroku")).find(|file| file.exists());
    found.or_else(|| {
        Some(PathBuf::from("/opt/herokucli/node_modules/.bin/heroku")).filter(|file| file.exists())
    })
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

//! Commands against a server that answers in the shapes of the API.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Command, process::Stdio};

use serde_json::json;

use crate::harness::{Answer, Platform, Request, app, dyno, ok, refused, release, text};

#[test]
fn apps_are_listed_over_all_pages() {
    let platform = Platform::new(|request| match request.path.as_str() {
        "/account" => ok(&account()),
        _ if request.headers.get("range").is_some_and(|range| range == "name ]b..") => ok(&json!([app("c")])),
        _ => {
            let mut page = ok(&json!([app("b"), app("a")]));
            (page.status, page.headers) = (206, vec![("next-range", "name ]b..".into())]);
            page
        }
    });
    let output = platform.run(&["apps"]);
    assert_eq!(text(&output.stdout), "=== me@localhost Apps\n\n⬢ a\n⬢ b\n⬢ c\n");
    let first = &platform.requests()[0];
    assert_eq!(first.line(), "GET /users/~/apps");
    assert_eq!(first.headers["authorization"], "Bearer T0KEN");
    assert_eq!(first.headers["accept"], "application/vnd.heroku+json; version=3");
    let listed: serde_json::Value =
        serde_json::from_slice(&platform.run(&["apps", "--json"]).stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
}

#[test]
fn setting_config_tells_the_release_and_the_values() {
    let platform = Platform::new(|request| match request.line().as_str() {
        "PATCH /apps/times/config-vars" => ok(&json!({ "A": "1", "B": "two words", "OLD": "x" })),
        "GET /apps/times/releases" => ok(&json!([release(7, true)])),
        other => refused(404, "not_found", other),
    });
    let output = platform.run(&["config:set", "A=1", "B=two words", "-a", "times"]);
    assert_eq!(text(&output.stderr), "Setting A, B and restarting ⬢ times... done, v7\n");
    assert_eq!(text(&output.stdout), "\nA: 1\nB: two words\n");
    let requests = platform.requests();
    assert_eq!(requests[0].body, json!({ "A": "1", "B": "two words" }));
    assert_eq!(requests[1].headers["range"], "version ..; order=desc,max=1");
    platform.run(&["config:unset", "A", "--app", "times"]);
    assert_eq!(platform.requests()[2].body, json!({ "A": null }));
}

#[test]
fn an_edited_config_is_sent_as_a_difference() {
    let platform = Platform::new(|request| match request.line().as_str() {
        "GET /apps/times/releases" => ok(&json!([release(8, true)])),
        _ => ok(&json!({ "A": "1", "B": "2" })),
    });
    let edit = |editor: &str| {
        platform
            .renga(&["config:edit", "-a", "times"])
            .env("EDITOR", editor)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    assert!(text(&edit("true").stderr).contains("No changes."));
    assert!(edit("sed -i -e /A=/d -e s/2/3/").status.success());
    let change = platform.requests().into_iter().find(|request| request.method == "PATCH").unwrap();
    assert_eq!(change.body, json!({ "A": null, "B": "3" }));
    assert_eq!(edit("false").status.code(), Some(1));
}

#[test]
fn refusals_are_told_in_the_platforms_words() {
    let platform = Platform::new(|_| refused(422, "invalid_params", "That is not valid."));
    let output = platform.run(&["info", "-a", "times"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), " ›   Error: That is not valid.\n ›\n ›   Error ID: invalid_params\n");
}

#[test]
fn answers_that_are_no_answers_are_shown() {
    let gateway =
        |_: &Request| Answer { status: 502, headers: Vec::new(), body: "<h1>Bad Gateway</h1>".into() };
    let output = Platform::new(gateway).run(&["info", "-a", "times"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("GET /apps/times was answered with HTTP 502") && said.contains("Bad Gateway"),
        "{said}"
    );
}

#[test]
fn a_platform_that_is_away_is_named() {
    let platform = Platform::new(|_| ok(&json!([])));
    fs::remove_file(platform.dir.path().join("endpoints.json")).unwrap();
    let said = text(&platform.run(&["apps"]).stderr);
    assert!(said.contains("No platform is running with the data directory"), "{said}");
    let mut command = platform.renga(&["apps"]);
    command.env_remove("RENGA_DATA_DIR").env("HEROKU_HOST", "http://localhost:1").env("HEROKU_API_KEY", "K");
    let output = command.output().unwrap();
    assert!(text(&output.stderr).contains("Could not reach the platform at http://localhost:1"));
}

#[test]
fn scaling_sends_what_was_typed_and_tells_what_runs() {
    let formation = |process_type: &str, quantity: u32| {
        json!({
            "app": { "id": app("x")["id"], "name": "x" }, "command": "serve", "created_at": "2026-01-01T00:00:00Z",
            "dyno_size": { "id": app("x")["id"], "name": "Basic" }, "id": app("x")["id"], "quantity": quantity,
            "size": "Basic", "type": process_type, "updated_at": "2026-01-01T00:00:00Z",
        })
    };
    let platform = Platform::new(move |_| {
        ok(&json!([formation("web", 3), formation("worker", 2), formation("clock", 1)]))
    });
    let output = platform.run(&["ps:scale", "web=3:standard-2x", "worker+1", "-a", "times"]);
    assert_eq!(
        text(&output.stderr),
        "Scaling dynos... done, now running web at 3:Basic, worker at 2:Basic\n"
    );
    assert_eq!(
        platform.requests()[0].body["updates"],
        json!([
            { "type": "web", "quantity": "3", "size": "standard-2x", "dyno_size": null, "docker_image": null },
            { "type": "worker", "quantity": "+1", "size": null, "dyno_size": null, "docker_image": null },
        ])
    );
    assert_eq!(
        text(&platform.run(&["ps:scale", "-a", "times"]).stdout),
        "clock=1:Basic web=3:Basic worker=2:Basic\n"
    );
    assert_eq!(platform.run(&["ps:scale", "web", "-a", "times"]).status.code(), Some(64));
}

#[test]
fn dynos_are_grouped_and_numbered() {
    let platform = Platform::new(|request| match request.path.ends_with("/renga/usage") {
        true => ok(&json!([{
            "dyno": { "id": dyno("web.10", "up", None)["id"], "name": "web.10" },
            "memory_bytes": 35_700_000, "memory_quota_bytes": 536_870_912, "cpu_percent": 12.4,
        }])),
        false => ok(&json!([
            dyno("web.10", "up", None),
            dyno("web.2", "starting", None),
            dyno("run.77", "up", None)
        ])),
    });
    let shown = text(&platform.run(&["ps", "-a", "times"]).stdout);
    let heads: Vec<_> =
        shown.lines().filter_map(|line| line.split_once(" 20").map(|(head, _)| head)).collect();
    assert_eq!(heads, ["run.77 (Basic): up", "web.2: starting", "web.10: up"]);
    assert!(shown.contains("=== web (Basic): serve (2)\n"), "{shown}");
    assert!(shown.contains(", 34 of 512 MiB, 12% of a processor\n"), "{shown}");
    platform.run(&["ps:restart", "web.2", "-a", "times"]);
    platform.run(&["ps:stop", "web", "-a", "times"]);
    let asked = platform.asked();
    assert_eq!(
        asked[2..],
        ["DELETE /apps/times/dynos/web.2", "POST /apps/times/formations/web/actions/stop"]
    );
}

#[test]
fn rolling_back_takes_the_release_before_the_current_one() {
    let platform = Platform::new(|request| match request.method.as_str() {
        "POST" => ok(&release(10, true)),
        _ => ok(&json!([release(9, false), release(8, true), release(7, false), release(6, false)])),
    });
    let output = platform.run(&["rollback", "-a", "times"]);
    assert!(
        text(&output.stderr).starts_with("Rolling back ⬢ times to v7... done, v10\n"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(platform.requests()[1].body["release"], release(7, false)["id"]);
}

#[test]
fn destroying_wants_the_name_again() {
    let platform = Platform::new(|_| ok(&app("times")));
    for args in [&["destroy", "-a", "times"][..], &["destroy", "-a", "times", "--confirm", "other"]] {
        let output = platform.run(args);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("nothing was done"));
    }
    assert!(platform.asked().iter().all(|line| line == "GET /apps/times"));
    assert!(platform.run(&["destroy", "-a", "times", "--confirm", "times"]).status.success());
    assert_eq!(platform.asked().last().unwrap(), "DELETE /apps/times");
}

#[test]
fn signing_in_keeps_the_token_where_the_official_command_line_does() {
    let platform = Platform::new(|request| {
        // admin@localhost:pass word
        if request.headers["authorization"] != "Basic YWRtaW5AbG9jYWxob3N0OnBhc3Mgd29yZA==" {
            return refused(401, "unauthorized", "Invalid credentials provided.");
        }
        ok(&json!({
            "access_token": { "expires_in": 1, "id": app("x")["id"], "token": "FRESH" }, "client": null,
            "created_at": "2026-01-01T00:00:00Z", "description": "", "grant": null, "id": app("x")["id"],
            "refresh_token": null, "scope": ["global"], "session": null, "updated_at": "2026-01-01T00:00:00Z",
            "user": { "id": app("x")["id"], "email": "admin@localhost", "full_name": null },
        }))
    });
    fs::remove_file(platform.dir.path().join("token")).unwrap();
    let login = |password: &str| {
        let mut child = platform.renga(&["login", "--email", "admin@localhost"]);
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = login("wrong\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("password is wrong"));
    assert!(login("pass word\n").status.success());
    let netrc = platform.home().join(".netrc");
    let machine = platform.api.trim_start_matches("http://");
    let expected = format!("machine {machine}\n  login admin@localhost\n  password FRESH\n");
    assert_eq!(fs::read_to_string(&netrc).unwrap(), expected);
    assert_eq!(fs::metadata(&netrc).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(text(&platform.run(&["auth:token"]).stdout), "FRESH\n");
    assert!(platform.run(&["logout"]).status.success());
    let said = text(&platform.run(&["apps"]).stderr);
    assert!(said.contains("You are not signed in"), "{said}");
}

#[test]
fn a_new_app_gets_a_remote_that_git_can_use_by_itself() {
    let platform = Platform::new(|_| ok(&app("times")));
    let git = |args: &[&str]| {
        let output =
            Command::new("git").args(args).current_dir(platform.home()).env("HOME", platform.home()).output();
        text(&output.unwrap().stdout)
    };
    git(&["init", "-q"]);
    let output = platform.run(&["create", "times"]);
    assert_eq!(text(&output.stdout), "https://times.localhost:8443/ | https://localhost:44443/times.git\n");
    assert_eq!(git(&["remote", "get-url", "heroku"]), "https://localhost:44443/times.git\n");
    // The app is known by its remote from now on.
    assert_eq!(text(&platform.run(&["maintenance"]).stdout), "off\n");
    assert_eq!(platform.asked().last().unwrap(), "GET /apps/times");
    let mut fill = Command::new("git");
    fill.args(["credential", "fill"]).current_dir(platform.home()).env("HOME", platform.home());
    let mut fill = fill.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    fill.stdin.take().unwrap().write_all(b"protocol=https\nhost=localhost:44443\n\n").unwrap();
    let filled = text(&fill.wait_with_output().unwrap().stdout);
    assert!(filled.contains("username=heroku\npassword=T0KEN\n"), "{filled}");
    // An existing remote is not changed.
    assert!(platform.run(&["create", "other"]).status.success());
    assert_eq!(git(&["remote", "get-url", "heroku"]), "https://localhost:44443/times.git\n");
}

fn account() -> serde_json::Value {
    json!({
        "allow_tracking": false, "beta": false, "created_at": "2026-01-01T00:00:00Z", "email": "me@localhost",
        "federated": false, "id": app("x")["id"], "identity_provider": null, "last_login": null, "name": null,
        "sms_number": null, "suspended_at": null, "delinquent_at": null, "two_factor_authentication": false,
        "updated_at": "2026-01-01T00:00:00Z", "verified": true, "country_of_residence": null,
        "default_organization": null, "default_team": null,
    })
}

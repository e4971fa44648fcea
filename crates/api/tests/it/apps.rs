//! What users do to apps, through the API: made, configured, scaled, run, rolled back, destroyed.

use http::Method;
use serde_json::{Value, json};

use crate::harness::Platform;

fn versions(platform: &Platform, app: &str) -> Vec<(u64, String, bool)> {
    let list = platform.get(&format!("/apps/{app}/releases")).good();
    let one = |r: &Value| {
        let description = r["description"].as_str().unwrap().to_owned();
        (r["version"].as_u64().unwrap(), description, r["current"].as_bool().unwrap())
    };
    list.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn an_app_begins_with_two_releases_and_a_repository() {
    let platform = Platform::start();
    let app = platform.post("/apps", json!({})).good();
    let name = app["name"].as_str().unwrap();
    assert_eq!(name.split('-').count(), 3, "{name}");
    assert_eq!(app["web_url"], format!("https://{name}.localhost:8443/"));
    assert!(app["git_url"].as_str().unwrap().ends_with(&format!("/{name}.git")));
    let id = app["id"].as_str().unwrap().parse().unwrap();
    assert!(platform.git.has(id));
    let expected = [(1, "Initial release".to_owned(), false), (2, "Enable Logplex".to_owned(), true)];
    assert_eq!(versions(&platform, name), expected);
    let log = platform.run(platform.log(id)).join("\n");
    assert!(log.contains("app[api]: Release v2 created by user dev@example.com"), "{log}");
}

#[test]
fn names_are_unique_and_free_again_after_a_rename_or_the_end() {
    let platform = Platform::start();
    platform.app("demo-app");
    let (status, id, message) = platform.post("/apps", json!({ "name": "demo-app" })).refusal();
    assert_eq!(
        (status, id.as_str(), message.as_str()),
        (422, "invalid_params", "Name demo-app is already taken")
    );
    for bad in ["ab", "Demo", "a b", "-demo", "demo-", "../etc", &"a".repeat(31)] {
        assert_eq!(platform.post("/apps", json!({ "name": bad })).status, 422, "{bad}");
    }
    platform.patch("/apps/demo-app", json!({ "name": "other-app" })).good();
    assert_eq!(platform.get("/apps/demo-app").status, 404);
    platform.app("demo-app");
    let (status, _, _) = platform.patch("/apps/other-app", json!({ "name": "demo-app" })).refusal();
    assert_eq!(status, 422);
    platform.delete("/apps/demo-app").good();
    assert_eq!(platform.get("/apps/demo-app").status, 404);
    platform.app("demo-app");
}

#[test]
fn stacks_regions_and_maintenance() {
    let platform = Platform::start();
    platform.app("demo-app");
    let app = platform.patch("/apps/demo-app", json!({ "build_stack": "host", "maintenance": true })).good();
    assert_eq!((&app["build_stack"]["name"], &app["stack"]["name"]), (&"host".into(), &"heroku-24".into()));
    assert_eq!(app["maintenance"], true);
    assert_eq!(platform.patch("/apps/demo-app", json!({ "build_stack": "cedar-14" })).status, 422);
    assert_eq!(platform.post("/apps", json!({ "region": "eu" })).status, 422);
    assert_eq!(platform.post("/apps", json!({ "region": "us", "stack": "host" })).status, 201);
}

#[test]
fn a_config_change_is_one_release_and_no_change_is_none() {
    let platform = Platform::start();
    platform.app("demo-app");
    let path = "/apps/demo-app/config-vars";
    assert_eq!(
        platform.patch(path, json!({ "FOO": "1", "BAR": "a\nb" })).good(),
        json!({ "FOO": "1", "BAR": "a\nb" })
    );
    platform.patch(path, json!({ "FOO": "1" })).good();
    platform.patch(path, json!({ "GONE": null })).good();
    platform.patch(path, json!({ "FOO": null })).good();
    let made: Vec<_> = versions(&platform, "demo-app").split_off(2);
    assert_eq!(
        made,
        [(3, "Set BAR, FOO config vars".into(), false), (4, "Remove FOO config vars".into(), true)]
    );
    assert_eq!(
        platform.get("/apps/demo-app/releases/3/config-vars").good(),
        json!({ "FOO": "1", "BAR": "a\nb" })
    );
    assert_eq!(platform.get(path).good(), json!({ "BAR": "a\nb" }));
    assert_eq!(platform.patch(path, json!({ "BIG": "x".repeat(70_000) })).status, 422);
    assert_eq!(platform.patch(path, json!({ "PORT": "1" })).status, 422);
}

#[test]
fn a_rollback_brings_back_code_and_config_under_a_new_number() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.patch("/apps/demo-app/config-vars", json!({ "A": "old" })).good();
    let slug = platform.deploy(app, &[("web", "serve")]);
    platform.patch("/apps/demo-app/config-vars", json!({ "A": "new" })).good();
    let target = platform.get("/apps/demo-app/releases/4").good();
    assert_eq!(target["eligible_for_rollback"], true);
    let made = platform.post("/apps/demo-app/releases", json!({ "release": target["id"] })).good();
    assert_eq!((&made["version"], &made["description"]), (&6.into(), &"Rollback to v4".into()));
    assert_eq!((&made["current"], &made["status"]), (&true.into(), &"succeeded".into()));
    assert_eq!(made["slug"]["id"], slug.to_string());
    assert_eq!(platform.get("/apps/demo-app/config-vars").good(), json!({ "A": "old" }));
    // Without code there is nothing to go back to.
    assert_eq!(platform.post("/apps/demo-app/releases", json!({ "release": "v2" })).status, 422);
    assert_eq!(platform.post("/apps/demo-app/releases", json!({ "release": "99" })).status, 404);
    assert_eq!(platform.post("/apps/demo-app/releases", json!({})).status, 422);
    let again = platform
        .post("/apps/demo-app/releases", json!({ "slug": slug.to_string(), "description": "Mine" }))
        .good();
    assert_eq!((&again["version"], &again["description"]), (&7.into(), &"Mine".into()));
}

#[test]
fn a_release_command_makes_releases_wait() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve"), ("release", "migrate")]);
    let made = platform.get("/apps/demo-app/releases/3").good();
    assert_eq!((&made["status"], &made["current"]), (&"pending".into(), &false.into()));
    assert!(made["output_stream_url"].as_str().unwrap().starts_with("http"));
    // The next one carries on the code that waits, and waits too.
    platform.patch("/apps/demo-app/config-vars", json!({ "A": "1" })).good();
    let next = platform.get("/apps/demo-app/releases/4").good();
    assert_eq!((&next["status"], &next["slug"]), (&"pending".into(), &made["slug"]));
    assert_eq!(versions(&platform, "demo-app")[1], (2, "Enable Logplex".into(), true));
}

#[test]
fn formations_are_scaled_by_number_change_and_size() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    assert_eq!(platform.get("/apps/demo-app/formation").good(), json!([]));
    let update = |body: Value| platform.patch("/apps/demo-app/formation", json!({ "updates": body }));
    assert_eq!(update(json!([{ "type": "web", "quantity": 1 }])).status, 404);
    platform.deploy(app, &[("web", "serve"), ("worker", "work"), ("release", "true")]);
    // Pending: the release has a command that nobody runs here. The formation is that of the current release.
    platform.deploy(platform.app("other-app"), &[("web", "serve"), ("worker", "work")]);
    let shown = |formation: Value| -> Vec<String> {
        let row = |f: &Value| {
            format!("{}={}:{}", f["type"].as_str().unwrap(), f["quantity"], f["size"].as_str().unwrap())
        };
        formation.as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(shown(platform.get("/apps/other-app/formation").good()), ["web=1:Basic", "worker=0:Basic"]);
    let update = |body: Value| platform.patch("/apps/other-app/formation", json!({ "updates": body }));
    let scaled = update(json!([
        { "type": "web", "quantity": "3", "size": "standard-2x" },
        { "type": "worker", "quantity": "+2" },
    ]));
    assert_eq!(shown(scaled.good()), ["web=3:Standard-2X", "worker=2:Basic"]);
    assert_eq!(
        shown(update(json!([{ "type": "web", "quantity": "-1" }])).good()),
        ["web=2:Standard-2X", "worker=2:Basic"]
    );
    for (body, status) in [
        (json!([{ "type": "clock", "quantity": 1 }]), 404),
        (json!([{ "type": "web", "quantity": -1 }]), 422),
        (json!([{ "type": "web", "quantity": "-9" }]), 422),
        (json!([{ "type": "web", "quantity": 101 }]), 422),
        (json!([{ "type": "web", "quantity": 60 }, { "type": "worker", "quantity": 60 }]), 422),
        (json!([{ "type": "web", "size": "huge" }]), 422),
        // One bad line: none of them counts.
        (json!([{ "type": "worker", "quantity": 9 }, { "type": "clock", "quantity": 1 }]), 404),
    ] {
        assert_eq!(update(body.clone()).status, status, "{body}");
    }
    let one = platform
        .patch("/apps/other-app/formation/worker", json!({ "quantity": 1, "dyno_size": { "name": "Eco" } }))
        .good();
    assert_eq!((&one["quantity"], &one["size"]), (&1.into(), &"Eco".into()));
    assert_eq!(
        shown(platform.get("/apps/other-app/formation").good()),
        ["web=2:Standard-2X", "worker=1:Eco"]
    );
    let other = platform.get("/apps/other-app").good()["id"].as_str().unwrap().parse().unwrap();
    let log = platform.run(platform.log(other)).join("\n");
    assert!(
        log.contains("app[api]: Scaled to web@3:Standard-2X worker@2:Basic by user dev@example.com"),
        "{log}"
    );
    assert_eq!(platform.delete("/apps/other-app/dynos").status, 202);
    assert_eq!(platform.delete("/apps/other-app/formations/worker").status, 202);
    assert_eq!(platform.delete("/apps/other-app/formations/clock").status, 404);
    assert_eq!(platform.delete("/apps/other-app/dynos/web.1").status, 404);
}

#[test]
fn refusals_of_scaling_say_what_there_is() {
    let mut platform = Platform::start();
    let app = platform.app("large-app");
    platform.deploy(app, &[("web", "serve"), ("worker", "work")]);
    let update = |platform: &Platform, name: &str, body: Value| {
        platform.patch(&format!("/apps/{name}/formation"), json!({ "updates": [body] }))
    };
    let (status, id, message) =
        update(&platform, "large-app", json!({ "type": "web", "size": "huge" })).refusal();
    assert_eq!((status, id.as_str()), (422, "invalid_params"));
    assert!(message.starts_with("No such size as huge. Available dyno sizes are Eco, Basic, "), "{message}");
    assert!(message.ends_with("Performance-XL and Performance-2XL."), "{message}");
    // The simulated machine has 16 GB, of which four times as much is promised; web has 512 MB of that.
    let much = json!({ "type": "worker", "quantity": 5, "size": "performance-l" });
    let (status, id, message) = update(&platform, "large-app", much).refusal();
    assert_eq!((status, id.as_str()), (422, "invalid_params"));
    assert!(
        message.starts_with(
            "Not enough memory: this takes 71680 MB more, and 65024 MB of the 65536 MB for dynos are free. Nothing was"
        ),
        "{message}"
    );
    update(&platform, "large-app", json!({ "type": "worker", "quantity": 4, "size": "performance-l" }))
        .good();
    let run = json!({ "command": "x", "size": "performance-m" });
    for _ in 0..3 {
        platform.post("/apps/large-app/dynos", run.clone()).good();
    }
    let (status, _, message) = platform.post("/apps/large-app/dynos", run).refusal();
    assert!(status == 422 && message.contains("takes 2560 MB more"), "{message}");
    update(&platform, "large-app", json!({ "type": "worker", "quantity": 0 })).good();

    // Its disk has 64 GB free, of which no more is promised; each dyno may take one.
    let (status, _, message) =
        update(&platform, "large-app", json!({ "type": "worker", "quantity": 65, "size": "basic" }))
            .refusal();
    assert!(status == 422, "{message}");
    assert!(
        message.starts_with(
            "Not enough disk: this takes 66560 MB more, and 61440 MB of the 65536 MB for dynos are free."
        ),
        "{message}"
    );

    platform.become_free();
    let (first, second) = (platform.app("first-app"), platform.app("second-app"));
    platform.deploy(first, &[("web", "serve"), ("worker", "work")]);
    platform.deploy(second, &[("web", "serve")]);
    let quantity =
        |name: &str| platform.get(&format!("/apps/{name}/formation/web")).good()["quantity"].clone();
    assert_eq!((quantity("first-app"), quantity("second-app")), (1.into(), 0.into()));
    for (name, body) in [
        ("first-app", json!({ "type": "web", "quantity": 2 })),
        ("first-app", json!({ "type": "worker", "quantity": 1 })),
        ("second-app", json!({ "type": "web", "quantity": 1 })),
    ] {
        let refusal = update(&platform, name, body).refusal();
        assert_eq!(refusal, (422, "invalid_params".into(), "Free accounts support one dyno.".into()));
    }
    update(&platform, "first-app", json!({ "type": "web", "quantity": 0 })).good();
    update(&platform, "second-app", json!({ "type": "web", "quantity": 1 })).good();
}

#[test]
fn one_off_dynos_are_made_named_and_stopped() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve --port $PORT")]);
    let body = json!({
        "attach": true, "command": "web --debug", "env": { "TERM": "xterm", "COLUMNS": 132, "LINES": 40 },
        "size": "standard-2x"
    });
    let dyno = platform.post("/apps/demo-app/dynos", body).good();
    let name = dyno["name"].as_str().unwrap();
    let number: u32 = name.strip_prefix("run.").unwrap().parse().unwrap();
    assert!((1_000..=9_999).contains(&number));
    assert_eq!(dyno["command"], "serve --port $PORT --debug");
    assert_eq!(
        (&dyno["state"], &dyno["size"], &dyno["type"]),
        (&"starting".into(), &"Standard-2X".into(), &"run".into())
    );
    let secret = dyno["attach_url"].as_str().unwrap().strip_prefix("rendezvous://localhost:4001/").unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()));
    let shown = platform.get(&format!("/apps/demo-app/dynos/{name}")).good();
    assert_eq!(shown["attach_url"], Value::Null, "a secret is shown once");
    let detached =
        platform.post("/apps/demo-app/dynos", json!({ "command": "true", "attach": false })).good();
    assert_eq!((&detached["attach_url"], &detached["size"]), (&Value::Null, &"Basic".into()));
    assert_eq!(platform.get("/apps/demo-app/dynos").good().as_array().unwrap().len(), 2);
    let stop = format!("/apps/demo-app/dynos/{name}/actions/stop");
    assert_eq!(platform.send(Method::POST, &stop, &[], None).status, 202);
    assert_eq!(platform.get(&format!("/apps/demo-app/dynos/{name}")).good()["state"], "down");
    assert_eq!(platform.send(Method::POST, &stop, &[], None).status, 202, "stopping twice stops once");
    for bad in [
        json!({ "command": " " }),
        json!({ "command": "x", "env": { "A B": "1" } }),
        json!({ "command": "x", "time_to_live": 0 }),
        json!({ "command": "x", "size": "huge" }),
        json!({ "command": "a\u{0}b" }),
    ] {
        assert_eq!(platform.post("/apps/demo-app/dynos", bad.clone()).status, 422, "{bad}");
    }
    for _ in 0..49 {
        platform.post("/apps/demo-app/dynos", json!({ "command": "true" }));
    }
    let (status, _, message) = platform.post("/apps/demo-app/dynos", json!({ "command": "true" })).refusal();
    assert_eq!((status, message.contains("50 one-off dynos")), (422, true), "{message}");
}

#[test]
fn buildpacks_features_and_domains() {
    let platform = Platform::start();
    platform.app("demo-app");
    let path = "/apps/demo-app/buildpack-installations";
    let list = ["heroku/nodejs", "urn:buildpack:heroku/python", "https://example.com/x.git#v1"];
    let updates: Vec<_> = list.iter().map(|buildpack| json!({ "buildpack": buildpack })).collect();
    let shown = platform.put(path, json!({ "updates": updates })).good();
    assert_eq!(
        shown[1],
        json!({ "ordinal": 1, "buildpack": { "url": "urn:buildpack:heroku/python", "name": "heroku/python" } })
    );
    assert_eq!(shown[2]["buildpack"]["url"], "https://example.com/x.git#v1");
    assert_eq!(platform.put(path, json!({ "updates": [{ "buildpack": "nonsense" }] })).status, 422);
    assert_eq!(platform.get(path).good(), shown);
    assert_eq!(platform.put(path, json!({ "updates": [] })).good(), json!([]));
    let feature = "/apps/demo-app/features/preboot";
    assert_eq!(platform.get(feature).good()["enabled"], true);
    assert_eq!(platform.patch(feature, json!({ "enabled": false })).good()["enabled"], false);
    assert_eq!(platform.get(feature).good()["enabled"], false);
    assert_eq!(platform.get("/apps/demo-app/features/none").status, 404);
    let states = [
        ("http-session-affinity", "general"),
        ("https-redirect", "general"),
        ("http-disable-keepalive-to-dyno", "beta"),
        ("http-end-to-end-continue", "beta"),
        ("http-disable-http2", "beta"),
    ];
    for (name, state) in states {
        let path = format!("/apps/demo-app/features/{name}");
        let shown = platform.get(&path).good();
        assert_eq!((&shown["enabled"], &shown["state"]), (&false.into(), &state.into()), "{name}");
        assert_eq!(platform.patch(&path, json!({ "enabled": true })).good()["enabled"], true, "{name}");
    }
    assert_eq!(platform.get("/apps/demo-app/domains").good()[0]["hostname"], "demo-app.localhost");
}

#[test]
fn builds_are_made_one_at_a_time() {
    let platform = Platform::start();
    platform.app("demo-app");
    let create = |body: Value| platform.post("/apps/demo-app/builds", body);
    for bad in ["ftp://x/y", "file:///etc/passwd", "https://a b", ""] {
        assert_eq!(create(json!({ "source_blob": { "url": bad } })).status, 422, "{bad}");
    }
    let blob = json!({ "url": "https://example.com/a.tgz", "version": "v7", "checksum": null });
    let build = create(json!({ "source_blob": blob })).good();
    assert_eq!((&build["status"], &build["slug"]), (&"pending".into(), &Value::Null));
    assert_eq!(create(json!({ "source_blob": { "url": "https://example.com/a.tgz" } })).refusal().0, 409);
    assert_eq!(platform.get("/apps/demo-app/builds").good()[0]["id"], build["id"]);
    assert_eq!(platform.delete("/apps/demo-app/build-cache").status, 202);
}

#[test]
fn what_is_asked_for_at_birth_is_done_or_refused() {
    let platform = Platform::start();
    let flags = json!({ "name": "demo-app", "feature_flags": ["runtime-dyno-metadata"] });
    platform.post("/apps", flags).good();
    let feature = platform.get("/apps/demo-app/features/runtime-dyno-metadata").good();
    assert_eq!(feature["enabled"], true);
    for (member, value) in [
        ("feature_flags", json!(["no-such-thing"])),
        ("locked", json!(true)),
        ("kernel", json!("other")),
        ("internal_routing", json!(true)),
    ] {
        let (status, _, message) =
            platform.post("/apps", json!({ "name": "never-made", member: value })).refusal();
        assert_eq!(status, 422);
        assert!(message.contains(member), "{message}");
    }
    assert_eq!(platform.get("/apps/never-made").status, 404);
    let blob = json!({ "url": "https://x/y.tgz" });
    let build =
        |stack: &str| platform.post("/apps/demo-app/builds", json!({ "source_blob": blob, "stack": stack }));
    assert_eq!((build("host").status.as_u16(), build("heroku-24").status.as_u16()), (422, 201));
}

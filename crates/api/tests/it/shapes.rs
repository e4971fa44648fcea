//! Every answer has every property that the published schema lists, of a type that it allows, and no other.

use serde_json::{Value, json};

use crate::{harness::Platform, schema::Schema};

/// An answer has the published shape of this resource.
#[track_caller]
pub(crate) fn assert_shape(resource: &str, answer: &Value) {
    check_all(&[(resource, answer.clone())]);
}

/// As [`assert_shape`], of every member of a list that is not empty.
#[track_caller]
pub(crate) fn assert_shapes(resource: &str, list: &Value) {
    let items = list.as_array().unwrap();
    assert!(!items.is_empty(), "no {resource} in the list");
    items.iter().for_each(|item| assert_shape(resource, item));
}

/// Asserts that these answers are what the published schema says of their resources.
#[track_caller]
pub(crate) fn check_all(answers: &[(&str, Value)]) {
    let schema = Schema::published();
    let mut problems: Vec<String> =
        answers.iter().flat_map(|(resource, answer)| schema.judge_resource(resource, answer)).collect();
    problems.dedup();
    assert!(problems.is_empty(), "{problems:#?}");
}

fn full_platform() -> Platform {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve"), ("worker", "work")]);
    platform.patch("/apps/demo-app/config-vars", json!({ "A": "1" })).good();
    platform
        .put(
            "/apps/demo-app/buildpack-installations",
            json!({ "updates": [{ "buildpack": "heroku/python" }] }),
        )
        .good();
    platform
}

#[test]
fn lists_and_single_answers_have_the_published_shape() {
    let platform = full_platform();
    let dyno = platform.post("/apps/demo-app/dynos", json!({ "command": "bash", "attach": true })).good();
    let release = platform.get("/apps/demo-app/releases/3").good();
    let slug = release["slug"]["id"].as_str().unwrap();
    let build = platform
        .post(
            "/apps/demo-app/builds",
            json!({ "source_blob": { "url": "https://x/y.tgz", "version": "v1" } }),
        )
        .good();
    let one = |resource: &'static str, path: String| (resource, platform.get(&path).good());
    let mut answers = vec![
        one("account", "/account".into()),
        one("account-delinquency", "/account/delinquency".into()),
        one("rate-limit", "/account/rate-limits".into()),
        one("app", "/apps/demo-app".into()),
        one("app-feature", "/apps/demo-app/features/preboot".into()),
        one("build", format!("/apps/demo-app/builds/{}", build["id"].as_str().unwrap())),
        one("domain", "/apps/demo-app/domains/demo-app.localhost".into()),
        one("collaborator", "/apps/demo-app/collaborators/dev@example.com".into()),
        one("dyno", format!("/apps/demo-app/dynos/{}", dyno["name"].as_str().unwrap())),
        one("dyno-size", "/dyno-sizes/standard-1x".into()),
        one("formation", "/apps/demo-app/formation/web".into()),
        one("generation", "/generations/cedar".into()),
        one("region", "/regions/us".into()),
        one("slug", format!("/apps/demo-app/slugs/{slug}")),
        one("stack", "/stacks/heroku-24".into()),
        ("release", release.clone()),
        ("dyno", dyno.clone()),
        ("source", platform.post("/sources", json!({})).good()),
        ("log-session", platform.post("/apps/demo-app/log-sessions", json!({})).good()),
        (
            "oauth-authorization",
            platform.post("/oauth/authorizations", json!({ "scope": ["global"] })).good(),
        ),
    ];
    for (resource, path) in [
        ("app", "/apps"),
        ("app", "/users/~/apps"),
        ("release", "/apps/demo-app/releases"),
        ("formation", "/apps/demo-app/formation"),
        ("dyno", "/apps/demo-app/dynos"),
        ("build", "/apps/demo-app/builds"),
        ("domain", "/apps/demo-app/domains"),
        ("collaborator", "/apps/demo-app/collaborators"),
        ("app-feature", "/apps/demo-app/features"),
        ("buildpack-installation", "/apps/demo-app/buildpack-installations"),
        ("stack", "/apps/demo-app/available-stacks"),
        ("dyno-size", "/apps/demo-app/available-dyno-sizes"),
        ("region", "/regions"),
        ("stack", "/stacks"),
        ("generation", "/generations"),
        ("oauth-authorization", "/oauth/authorizations"),
    ] {
        let list = platform.get(path).good();
        let list = list.as_array().unwrap_or_else(|| panic!("{path} is no array")).clone();
        assert!(!list.is_empty(), "{path} is empty");
        answers.extend(list.into_iter().map(|item| (resource, item)));
    }
    check_all(&answers);
}

#[test]
fn lists_that_clients_read_in_passing_are_empty_arrays() {
    let platform = full_platform();
    for path in [
        "/teams",
        "/pipelines",
        "/spaces",
        "/addons",
        "/addon-attachments",
        "/account/keys",
        "/account/credits",
        "/account/invoices",
        "/oauth/sessions",
        "/apps/demo-app/addons",
        "/apps/demo-app/addon-attachments",
        "/apps/demo-app/log-drains",
        "/apps/demo-app/webhooks",
    ] {
        assert_eq!(platform.get(path).good(), json!([]), "{path}");
    }
}

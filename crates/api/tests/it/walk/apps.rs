//! Apps, and the small things that hang on them.

use serde_json::json;

use super::Walk;

pub(super) fn apps(walk: &Walk) {
    walk.post("/apps", json!({ "name": "another" }))
        .seen_at("/apps", |apps| apps.as_array().unwrap().iter().any(|app| app["name"] == "another"));
    walk.get("/apps");
    let id = walk.get("/apps/another")["id"].clone();
    walk.patch("/apps/another", json!({ "name": "renamed", "maintenance": true }))
        .seen_at("/apps/renamed", |app| app["id"] == id && app["maintenance"] == true);
    walk.post("/filters/apps", json!({ "in": { "id": [id] } })).told_by(|_, found| found[0]["id"] == id);
    walk.delete("/apps/renamed").gone_at("/apps/renamed");
}

pub(super) fn things_of_an_app(walk: &Walk) {
    walk.get("/apps/walked/collaborators");
    walk.get("/apps/walked/collaborators/dev@example.com");
    walk.get("/apps/walked/features");
    walk.get("/apps/walked/features/preboot");
    walk.patch("/apps/walked/features/preboot", json!({ "enabled": false }))
        .seen_at("/apps/walked/features/preboot", |feature| feature["enabled"] == false);
    walk.put(
        "/apps/walked/buildpack-installations",
        json!({ "updates": [{ "buildpack": "heroku/python" }] }),
    )
    .seen_at("/apps/walked/buildpack-installations", |list| list[0]["buildpack"]["name"] == "heroku/python");
    walk.get("/apps/walked/buildpack-installations");
    walk.post("/apps/walked/log-sessions", json!({ "lines": 1 }))
        .told_by(|platform, session| platform.get(session["logplex_url"].as_str().unwrap()).status == 200);
}

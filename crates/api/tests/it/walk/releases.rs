//! From source to release.

use serde_json::json;

use super::Walk;

pub(super) fn config_vars(walk: &Walk) {
    walk.patch("/apps/walked/config-vars", json!({ "A": "1", "B": "2" }))
        .seen_at("/apps/walked/config-vars", |vars| vars["A"] == "1");
    walk.get("/apps/walked/config-vars");
    walk.get("/apps/walked/releases/4/config-vars");
}

pub(super) fn releases(walk: &Walk) {
    let slug = walk.get("/apps/walked/releases/3")["slug"]["id"].clone();
    walk.get("/apps/walked/releases");
    walk.get(&format!("/apps/walked/slugs/{}", slug.as_str().unwrap()));
    walk.post("/apps/walked/releases", json!({ "slug": slug, "description": "Again" }))
        .seen_at("/apps/walked/releases/4", |release| release["description"] == "Again");
    walk.post("/apps/walked/releases", json!({ "release": "3" }))
        .seen_at("/apps/walked/releases/5", |release| release["slug"]["id"] == slug);
}

pub(super) fn builds(walk: &Walk) {
    for path in ["/sources", "/apps/walked/sources"] {
        walk.post(path, json!({})).told_by(|platform, source| {
            let url = |name: &str| source["source_blob"][name].as_str().unwrap().to_owned();
            let put = platform.send(http::Method::PUT, &url("put_url"), &[], Some(b"bytes"));
            put.status == 200 && platform.get(&url("get_url")).text == "bytes"
        });
    }
    let made = walk.post("/apps/walked/builds", json!({ "source_blob": { "url": "https://x/y.tgz" } }));
    let path = format!("/apps/walked/builds/{}", made.answer["id"].as_str().unwrap());
    made.seen_at(&path, |build| build["status"] == "pending");
    walk.get("/apps/walked/builds");
    walk.get(&path);
    walk.delete(&path).seen_at(&path, |build| build["status"] == "failed");
    walk.delete("/apps/walked/build-cache").told_by(|_, answer| answer.is_object());
}

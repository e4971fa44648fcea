//! From source to release.

use http::Method;
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

pub(super) fn slugs(walk: &Walk) {
    let body = json!({
        "process_types": { "web": "./serve" }, "commit": "60883d9e", "stack": "heroku-24",
        "checksum": format!("SHA256:{}", "ab".repeat(32)), "buildpack_provided_description": "Go",
    });
    let made = walk.post("/apps/walked/slugs", body);
    let path = format!("/apps/walked/slugs/{}", made.answer["id"].as_str().unwrap());
    let made = made.seen_at(&path, |found| found["commit"] == "60883d9e" && found["size"].is_null());
    walk.get(&path);
    let blob = |slug: &serde_json::Value| {
        let text = |name: &str| slug["blob"][name].as_str().unwrap().to_owned();
        (text("method"), text("url"))
    };
    let (method, url) = blob(&made);
    assert_eq!((method.as_str(), walk.platform.get(&url).refusal().0), ("put", 404));
    let release = || walk.platform.post("/apps/walked/releases", json!({ "slug": made["id"] })).refusal();
    let (status, _, message) = release();
    assert!(status == 422 && message.contains("Nothing was uploaded"), "{status} {message}");
    // The URL is its own key: clients send no token with it.
    let put = |url: &str| walk.platform.send(Method::PUT, url, &[("authorization", "")], Some(b"archive"));
    assert_eq!(put(&url).status, 200);
    let (method, url) = blob(&walk.get(&path));
    assert_eq!((method.as_str(), walk.platform.get(&url).text.as_str()), ("get", "archive"));
    assert_eq!(put(&url.replace("/slugs/", "/slugs/x")).refusal().0, 404);
    // Of what was built here there is no archive, and it is said.
    let built = walk.platform.get("/apps/walked/releases/3").good()["slug"]["id"].clone();
    let built = walk.get(&format!("/apps/walked/slugs/{}", built.as_str().unwrap()));
    let (status, _, message) = walk.platform.get(&blob(&built).1).refusal();
    assert!(status == 404 && message.contains("built here"), "{message}");

    walk.platform.app("other");
    assert_eq!(walk.platform.get(&path.replace("walked", "other")).refusal().0, 404);
    let jane = walk.platform.person("jane@example.com");
    jane.post("/apps", json!({ "name": "janes" })).good();
    assert_eq!(jane.post("/apps/janes/releases", json!({ "slug": made["id"] })).refusal().0, 404);
    for (body, says) in [
        (json!({}), "Require params: process_types."),
        (json!({ "process_types": { "no name": "x" } }), "Process type must"),
        (json!({ "process_types": { "web": "x\u{0}" } }), "NUL"),
        (json!({ "process_types": {}, "checksum": "md5:1" }), "SHA256"),
        (json!({ "process_types": {}, "stack": "cedar" }), "cedar"),
        (json!({ "process_types": {}, "commit": "x".repeat(2_000) }), "commit"),
    ] {
        let (status, _, message) = walk.platform.post("/apps/walked/slugs", body).refusal();
        assert!(status == 422 && message.contains(says), "{message}");
    }
}

pub(super) fn oci_images(walk: &Walk) {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let image = json!({
        "digest": digest, "architecture": "arm64", "image_repo": "app/builds", "commit": "60883d9e",
        "process_types": { "web": { "name": "web", "command": "/cnb/process/web", "default": true } },
        "buildpacks": [{ "id": "heroku/ruby", "version": "2.0.0" }],
    });
    let made = walk.post("/apps/walked/oci-images", image);
    let path = format!("/apps/walked/oci-images/{}", made.answer["id"].as_str().unwrap());
    let made = made.seen_at(&path, |found| found[0]["commit"] == "60883d9e");
    assert_eq!(walk.get(&path), json!([made]));
    assert_eq!(walk.get(&format!("/apps/walked/oci-images/{digest}")), json!([made]));
    for (body, status) in [(json!({}), 422), (json!({ "digest": "latest" }), 422)] {
        assert_eq!(walk.platform.post("/apps/walked/oci-images", body).refusal().0, status);
    }
    // What runs here are slugs: it is said, not tried.
    let release = |image: &serde_json::Value| {
        walk.platform.post("/apps/walked/releases", json!({ "oci_image": image })).refusal().0
    };
    assert_eq!((release(&made["id"]), release(&json!("sha256:00"))), (422, 404));
    walk.platform.app("other");
    let elsewhere = path.replace("walked", "other");
    assert_eq!(walk.platform.get(&elsewhere).refusal().0, 404);
}

pub(super) fn builds(walk: &Walk) {
    for path in ["/sources", "/apps/walked/sources"] {
        walk.post(path, json!({})).told_by(|platform, source| {
            let url = |name: &str| source["source_blob"][name].as_str().unwrap().to_owned();
            let put = platform.send(Method::PUT, &url("put_url"), &[], Some(b"bytes"));
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

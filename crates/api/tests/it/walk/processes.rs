//! Formation and dynos.

use renga_model::DynoState;
use serde_json::json;

use super::Walk;
use crate::harness::Platform;

pub(super) fn formation(walk: &Walk) {
    walk.get("/apps/walked/formation");
    walk.get("/apps/walked/formation/web");
    walk.patch("/apps/walked/formation", json!({ "updates": [{ "type": "worker", "quantity": 2 }] }))
        .seen_at("/apps/walked/formation/worker", |worker| worker["quantity"] == 2);
    walk.patch("/apps/walked/formation/worker", json!({ "quantity": 1, "size": "standard-2x" }))
        .seen_at("/apps/walked/formation/worker", |worker| worker["quantity"] == 1);
}

pub(super) fn dynos(walk: &Walk) {
    let made = walk.post("/apps/walked/dynos", json!({ "command": "bash", "attach": true }));
    let name = made.answer["name"].as_str().unwrap().to_owned();
    let path = format!("/apps/walked/dynos/{name}");
    made.seen_at(&path, |dyno| dyno["command"] == "bash");
    walk.get("/apps/walked/dynos");
    walk.get(&path);
}

pub(super) fn restarts(walk: &Walk) {
    // No loop runs here: what a restart asks of the loops is another epoch of the type.
    let epoch = |platform: &Platform, kind: &str| {
        let app = platform.get("/apps/walked").good()["id"].as_str().unwrap().parse().unwrap();
        let list = platform.run(platform.engine.store.read(move |read| read.formation_list(app))).unwrap();
        list.iter().find(|row| row.process_type.as_str() == kind).unwrap().epoch
    };
    walk.delete("/apps/walked/dynos").told_by(|platform, _| epoch(platform, "worker") == 1);
    walk.delete("/apps/walked/formations/worker").told_by(|platform, _| epoch(platform, "worker") == 2);
    let mut name = run(walk);
    walk.delete(&format!("/apps/walked/dynos/{name}")).told_by(|platform, _| leaves(platform, &name));
    name = run(walk);
    walk.post(&format!("/apps/walked/dynos/{name}/actions/stop"), json!({}))
        .told_by(|platform, _| leaves(platform, &name));
    name = run(walk);
    walk.post("/apps/walked/formations/run/actions/stop", json!({}))
        .told_by(|platform, _| leaves(platform, &name));
}

fn run(walk: &Walk) -> String {
    let made = walk.platform.post("/apps/walked/dynos", json!({ "command": "true" })).good();
    made["name"].as_str().unwrap().to_owned()
}

/// Its row says that it goes, or it never came.
fn leaves(platform: &Platform, name: &str) -> bool {
    let app = platform.get("/apps/walked").good()["id"].as_str().unwrap().parse().unwrap();
    let list = platform.run(platform.engine.store.read(move |read| read.dyno_list_for_app(app))).unwrap();
    let row = list.iter().find(|dyno| dyno.name.to_string() == name);
    row.is_none_or(|dyno| matches!(dyno.state, DynoState::Stopping | DynoState::Exited))
}

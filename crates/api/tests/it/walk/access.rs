//! Who else: collaborators, transfers, teams.

use http::Method;
use serde_json::{Value, json};

use super::Walk;

const JANE: &str = "jane@example.com";

fn list_has(list: &Value, pointer: &str, value: &str) -> bool {
    list.as_array().unwrap().iter().any(|item| item.pointer(pointer) == Some(&value.into()))
}

pub(super) fn collaborators(walk: &Walk) {
    walk.platform.person(JANE);
    let one = format!("/apps/walked/collaborators/{JANE}");
    walk.post("/apps/walked/collaborators", json!({ "user": JANE }))
        .seen_at(&one, |found| found["user"]["email"] == JANE);
    walk.get("/apps/walked/collaborators");
    walk.get(&one);
    walk.delete(&one).gone_at(&one);
}

pub(super) fn transfers(walk: &Walk) {
    let jane = walk.platform.person(JANE);
    let offer = || walk.post("/account/app-transfers", json!({ "app": "walked", "recipient": JANE }));
    let path = |made: &Value| format!("/account/app-transfers/{}", made["id"].as_str().unwrap());
    let made = offer();
    let one = path(&made.answer);
    made.seen_at(&one, |found| found["state"] == "pending");
    walk.get("/account/app-transfers");
    walk.get(&one);
    walk.delete(&one).gone_at(&one);
    let again = offer();
    let one = path(&again.answer);
    again.seen_at(&one, |found| found["state"] == "pending");
    walk.called_by(&jane.bearer, || {
        walk.patch(&one, json!({ "state": "accepted" }))
            .told_by(|_, _| jane.get("/apps/walked").good()["owner"]["email"] == JANE);
    });
}

pub(super) fn teams(walk: &Walk) {
    walk.post("/teams", json!({ "name": "acme" })).seen_at("/teams/acme", |team| team["name"] == "acme");
    for path in [
        "/teams",
        "/teams/acme",
        "/teams/permissions",
        "/teams/acme/features",
        "/teams/acme/features/org-access-controls",
        "/teams/acme/available-generations",
    ] {
        walk.get(path);
    }
    walk.patch("/teams/acme", json!({ "name": "globex" }))
        .seen_at("/teams/globex", |team| team["name"] == "globex");
    walk.delete("/teams/globex").gone_at("/teams/globex");
    let path = "/enterprise-accounts/globex/teams";
    for (method, body) in [(Method::GET, Value::Null), (Method::POST, json!({ "name": "acme" }))] {
        walk.refused(&method, path, &body, 404);
        let refusal = walk.platform.send(method, path, &[], Some(body.to_string().as_bytes())).refusal();
        assert_eq!(
            (refusal.1.as_str(), refusal.2.as_str()),
            ("not_found", "Couldn't find that enterprise account.")
        );
    }
    assert_eq!(walk.platform.get("/teams").good(), json!([]));
}

pub(super) fn team_apps(walk: &Walk) {
    walk.platform.person(JANE);
    walk.platform.post("/teams", json!({ "name": "acme" })).good();
    walk.post("/teams/apps", json!({ "name": "shared", "team": "acme" }))
        .seen_at("/apps/shared", |app| app["team"]["name"] == "acme");
    walk.get("/teams/acme/apps");
    walk.get("/teams/apps/shared");
    walk.patch("/teams/apps/shared", json!({ "locked": true }))
        .seen_at("/teams/apps/shared", |app| app["locked"] == true);
    let one = format!("/teams/apps/shared/collaborators/{JANE}");
    walk.post("/teams/apps/shared/collaborators", json!({ "user": JANE, "permissions": ["view"] }))
        .seen_at(&one, |found| found["user"]["email"] == JANE);
    walk.get("/teams/apps/shared/collaborators");
    walk.get(&one);
    walk.get("/teams/acme/permissions");
    walk.patch(&one, json!({ "permissions": ["view", "deploy"] }))
        .seen_at(&one, |found| list_has(&found["permissions"], "/name", "deploy"));
    walk.delete(&one).gone_at(&one);
}

pub(super) fn team_preferences(walk: &Walk) {
    let path = "/teams/acme/preferences";
    walk.platform.post("/teams", json!({ "name": "acme" })).good();
    walk.get(path);
    walk.patch(path, json!({ "addons-controls": false }))
        .seen_at(path, |found| found["addons-controls"] == false);
    // Nobody would keep to such rules.
    let refused = walk.platform.patch(path, json!({ "addons-controls": true })).refusal();
    assert_eq!((refused.0, refused.1.as_str()), (422, "invalid_params"));
    assert_eq!(walk.get(path)["addons-controls"], false);
}

pub(super) fn team_members(walk: &Walk) {
    let (jane, _) = (walk.platform.person(JANE), walk.platform.person("joe@example.com"));
    walk.platform.post("/teams", json!({ "name": "acme" })).good();
    walk.platform.post("/teams/apps", json!({ "name": "shared", "team": "acme" })).good();
    let (members, invitations) = ("/teams/acme/members", "/teams/acme/invitations");
    let is = |role: &'static str| {
        move |list: &Value| {
            list.as_array()
                .unwrap()
                .iter()
                .any(|one| one["email"] == "joe@example.com" && one["role"] == role)
        }
    };
    let joe = |role: &str| json!({ "email": "joe@example.com", "role": role });
    walk.post(members, joe("member")).seen_at(members, is("member"));
    walk.patch(members, joe("admin")).seen_at(members, is("admin"));
    walk.put(members, joe("member")).seen_at(members, is("member"));
    walk.get(members);
    walk.get("/teams/acme/members/dev@example.com/apps");
    walk.delete(&format!("{members}/joe@example.com")).seen_at(members, |list| !is("member")(list));
    walk.put(invitations, joe("member"))
        .seen_at(invitations, |list| list_has(list, "/user/email", "joe@example.com"));
    walk.get(invitations);
    walk.delete(&format!("{invitations}/joe@example.com")).seen_at(invitations, |list| *list == json!([]));
    let body = json!({ "email": JANE, "role": "member" }).to_string();
    let sent = walk.platform.send(http::Method::PUT, invitations, &[], Some(body.as_bytes()));
    // The warning holds the link that the invited person follows.
    let secret = sent.header("warning-message").unwrap().rsplit('/').nth(1).unwrap().to_owned();
    walk.called_by(&jane.bearer, || {
        walk.get(&format!("/teams/invitations/{secret}"));
        walk.post(&format!("/teams/invitations/{secret}/accept"), json!({}))
            .seen_at(members, |list| list_has(list, "/email", JANE));
    });
}

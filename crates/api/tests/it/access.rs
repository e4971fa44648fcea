//! Who has access to apps: collaborators come and go, apps change hands.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{FREE, Platform, Reply},
    shapes::{assert_shape, assert_shapes},
};

const COLLABORATORS: &str = "/apps/demo-app/collaborators";

pub(crate) fn texts<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one.pointer(pointer).unwrap().as_str().unwrap()).collect()
}

#[track_caller]
pub(crate) fn is_refused(reply: &Reply, status: u16, words: &str) {
    let (found, _, message) = reply.refusal();
    assert_eq!(found, status, "{message}");
    assert!(message.contains(words), "{message}");
}

#[test]
fn a_collaborator_may_do_all_but_the_owners_matters() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    platform.deploy(app, &[("web", "serve")]);
    let jane = platform.person("jane@example.com");
    assert_eq!(jane.get("/apps/demo-app").status, 404);
    assert_eq!(jane.get("/apps").good(), json!([]));

    let added = platform.post(COLLABORATORS, json!({ "user": "Jane@example.com", "silent": true }));
    assert_eq!(added.status, 201);
    let added = added.good();
    assert_shape("collaborator", &added);
    assert_eq!(
        (&added["role"], &added["user"]["email"]),
        (&"collaborator".into(), &"jane@example.com".into())
    );
    assert_eq!(texts(&added["permissions"], "/name"), ["deploy", "operate", "view"]);

    assert_eq!(texts(&jane.get("/apps").good(), "/name"), ["demo-app"]);
    assert_eq!(jane.get("/users/~/apps").good()[0]["owner"]["email"], "dev@example.com");
    let id = platform.get("/apps/demo-app").good()["id"].clone();
    assert_eq!(jane.post("/filters/apps", json!({ "in": { "id": [id] } })).good()[0]["name"], "demo-app");
    jane.patch("/apps/demo-app/config-vars", json!({ "A": "1" })).good();
    assert_eq!(platform.get("/apps/demo-app/releases/4").good()["user"]["email"], "jane@example.com");
    jane.patch("/apps/demo-app/formation", json!({ "updates": [{ "type": "web", "quantity": 2 }] })).good();
    jane.patch("/apps/demo-app", json!({ "maintenance": true })).good();
    assert_eq!(platform.get("/apps/demo-app").good()["maintenance"], true);

    is_refused(&jane.patch("/apps/demo-app", json!({ "name": "mine" })), 403, "permission");
    is_refused(&jane.delete("/apps/demo-app"), 403, "permission");
    is_refused(&jane.post(COLLABORATORS, json!({ "user": "dev@example.com" })), 403, "permission");
    is_refused(&jane.delete(&format!("{COLLABORATORS}/dev@example.com")), 403, "permission");
    let give = json!({ "app": "demo-app", "recipient": "jane@example.com" });
    is_refused(&jane.post("/account/app-transfers", give), 403, "permission");
}

#[test]
fn collaborators_are_found_removed_and_leave() {
    let platform = Platform::start();
    platform.app("demo-app");
    let (jane, joe) = (platform.person("jane@example.com"), platform.person("joe@example.com"));
    for person in [&jane, &joe] {
        platform.post(COLLABORATORS, json!({ "user": person.account.id.to_string() })).good();
    }
    let list = platform.get(COLLABORATORS).good();
    assert_shapes("collaborator", &list);
    assert_eq!(texts(&list, "/role"), ["owner", "collaborator", "collaborator"]);
    assert_eq!(texts(&list[0]["permissions"], "/name"), ["deploy", "manage", "operate", "view"]);
    let row = &list[1];
    for name in [row["id"].as_str().unwrap(), row["user"]["id"].as_str().unwrap(), "JANE@example.com"] {
        assert_eq!(&joe.get(&format!("{COLLABORATORS}/{name}")).good(), row, "{name}");
    }
    assert_eq!(&jane.get(&format!("{COLLABORATORS}/~")).good(), row);
    assert_eq!(platform.get(&format!("{COLLABORATORS}/nobody@example.com")).status, 404);

    is_refused(&joe.delete(&format!("{COLLABORATORS}/jane@example.com")), 403, "permission");
    assert_eq!(&jane.delete(&format!("{COLLABORATORS}/jane@example.com")).good(), row);
    assert_eq!(jane.get("/apps/demo-app").status, 404);
    assert_eq!(
        platform.delete(&format!("{COLLABORATORS}/joe@example.com")).good()["user"]["email"],
        "joe@example.com"
    );
    assert_eq!(joe.get("/apps/demo-app").status, 404);
    assert_eq!(platform.get(COLLABORATORS).good().as_array().unwrap().len(), 1);
    is_refused(&platform.delete(&format!("{COLLABORATORS}/~")), 422, "owner");
    assert_eq!(platform.delete(&format!("{COLLABORATORS}/joe@example.com")).status, 404);
}

#[test]
fn who_has_access_is_not_given_it_again_and_addresses_are_checked() {
    let platform = Platform::start();
    platform.app("demo-app");
    platform.person("jane@example.com");
    platform.post(COLLABORATORS, json!({ "user": "jane@example.com" })).good();
    for again in ["jane@example.com", "dev@example.com", "~"] {
        is_refused(&platform.post(COLLABORATORS, json!({ "user": again })), 422, "already a collaborator");
    }
    for bad in ["jane", "a b@example.com", "x@herokumanager.com"] {
        is_refused(&platform.post(COLLABORATORS, json!({ "user": bad })), 422, "address");
    }
    is_refused(&platform.post(COLLABORATORS, json!({})), 422, "user");
    let nobody = platform.post(COLLABORATORS, json!({ "user": uuid::Uuid::new_v4().to_string() }));
    assert_eq!(nobody.refusal().0, 404);
}

/// The link that a `Warning-Message` ends with.
fn link(reply: &Reply) -> String {
    let told = reply.header("warning-message").unwrap();
    told.rsplit(' ').next().unwrap().to_owned()
}

/// Told that the address was invited before, without a link.
fn assert_waits(reply: &Reply) {
    let told = reply.header("warning-message").unwrap();
    assert!(told.contains("was invited before") && !told.contains("://"), "{told}");
}

#[test]
fn where_only_operators_invite_others_give_to_those_who_have_an_account() {
    let mut platform = Platform::start_where_operators_invite();
    let jane = platform.person("jane@example.com");
    jane.post("/apps", json!({ "name": "janes" })).good();
    jane.post("/teams", json!({ "name": "acme" })).good();
    let (on_app, members) = ("/apps/janes/collaborators", "/teams/acme/members");
    let member = |email: &str| json!({ "email": email, "role": "member" });
    for refused in [
        jane.post(on_app, json!({ "user": "new@example.com" })),
        jane.put(members, member("new@example.com")),
        jane.put("/teams/acme/invitations", member("new@example.com")),
    ] {
        assert!(refused.header("warning-message").is_none());
        let (status, id, message) = refused.refusal();
        assert_eq!((status, id.as_str()), (403, "forbidden"));
        assert!(message.contains("renga users add new@example.com"), "{message}");
    }
    assert_eq!(
        platform.run(platform.engine.user_find("new@example.com")).unwrap_err().say,
        "Couldn't find that user."
    );
    // Those who have one are given things as ever, and so is whom an operator has invited; without a link.
    platform.account("joe@example.com");
    jane.post(on_app, json!({ "user": "joe@example.com" })).good();
    let bearer = jane.bearer.clone();
    platform.become_operator();
    platform.app("operators");
    let invited = platform.post("/apps/operators/collaborators", json!({ "user": "new@example.com" }));
    assert!(link(&invited).starts_with(&platform.url));
    let body = member("new@example.com").to_string();
    let given = platform.send(Method::PUT, members, &[("authorization", &bearer)], Some(body.as_bytes()));
    assert_waits(&given);
    given.good();
}

#[test]
fn who_has_no_account_is_invited_and_finds_what_he_was_given() {
    let platform = Platform::start();
    platform.app("demo-app");
    platform.post("/teams", json!({ "name": "acme" })).good();
    let added = platform.post(COLLABORATORS, json!({ "user": "new@example.com" }));
    assert_eq!(added.status, 201);
    let first = link(&added);
    assert_shape("collaborator", &added.good());
    assert_eq!(
        texts(&platform.get(COLLABORATORS).good(), "/user/email"),
        ["dev@example.com", "new@example.com"]
    );
    assert!(first.starts_with(&platform.url), "{first}");
    // The same address again, before he came: one account, and no link, for it would open what others gave him.
    let member = platform.put("/teams/acme/members", json!({ "email": "NEW@example.com", "role": "member" }));
    assert_waits(&member);
    assert_eq!(member.good()["user"]["id"], platform.get(COLLABORATORS).good()[1]["user"]["id"]);
    let stranger = platform.person("stranger@example.com");
    stranger.post("/apps", json!({ "name": "bait" })).good();
    let baited = stranger.post("/apps/bait/collaborators", json!({ "user": "new@example.com" }));
    assert_waits(&baited);
    stranger.delete("/apps/bait").good();
    let log_in = || {
        let basic = format!("Basic {}", STANDARD.encode("new@example.com:a good password"));
        platform.send(Method::POST, "/oauth/authorizations", &[("authorization", &basic)], Some(b"{}"))
    };
    assert_eq!(log_in().status, 401);

    let form = "password=a+good+password&password_confirmation=a+good+password";
    let accept = |link: &str| {
        platform.send(Method::POST, link, &[("authorization", "")], Some(form.as_bytes())).status
    };
    assert_eq!(accept(&first), 200);
    assert_eq!(accept(&first), 404, "a link works once");
    let token = log_in().good()["access_token"]["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let get = |path: &str| platform.send(Method::GET, path, &[("authorization", &bearer)], None).good();
    assert_eq!(get("/apps/demo-app")["name"], "demo-app");
    assert_eq!(get("/teams")[0]["role"], "member");
    // Who has come is added like anybody.
    platform.app("other-app");
    let again = platform.post("/apps/other-app/collaborators", json!({ "user": "new@example.com" }));
    assert_eq!(again.header("warning-message"), None);
    again.good();
}

// === transfers ===

#[test]
fn an_app_changes_hands_when_its_recipient_agrees() {
    let platform = Platform::start();
    platform.app("demo-app");
    let (jane, joe) = (platform.person("jane@example.com"), platform.person("joe@example.com"));
    platform.post(COLLABORATORS, json!({ "user": "jane@example.com" })).good();
    let give = json!({ "app": "demo-app", "recipient": "jane@example.com", "silent": false });
    let made = platform.post("/account/app-transfers", give.clone());
    assert_eq!(made.status, 201);
    let told = made.header("warning-message").unwrap().to_owned();
    let made = made.good();
    assert!(told.contains(made["id"].as_str().unwrap()) && told.contains("jane@example.com"), "{told}");
    assert_shape("app-transfer", &made);
    assert_eq!((&made["state"], &made["owner"]["email"]), (&"pending".into(), &"dev@example.com".into()));
    let path = format!("/account/app-transfers/{}", made["id"].as_str().unwrap());
    for one in [platform.get(&path).good(), jane.get("/account/app-transfers/demo-app").good()] {
        assert_eq!(one, made);
    }
    assert_shapes("app-transfer", &jane.get("/account/app-transfers").good());
    assert_eq!(joe.get("/account/app-transfers").good(), json!([]));
    assert_eq!(joe.get(&path).status, 404);
    assert_eq!(joe.patch(&path, json!({ "state": "accepted" })).status, 404);
    is_refused(&platform.post("/account/app-transfers", give), 422, "offered to jane@example.com already");
    is_refused(&platform.patch(&path, json!({ "state": "accepted" })), 403, "recipient");
    is_refused(&jane.patch(&path, json!({ "state": "pending" })), 422, "state");
    is_refused(&jane.patch(&path, json!({ "state": "maybe" })), 422, "state");

    let accepted = jane.patch(&path, json!({ "state": "accepted" })).good();
    assert_shape("app-transfer", &accepted);
    assert_eq!(accepted["state"], "accepted");
    assert_eq!(jane.get("/apps/demo-app").good()["owner"]["email"], "jane@example.com");
    let list = platform.get(COLLABORATORS).good();
    assert_eq!(texts(&list, "/user/email"), ["jane@example.com", "dev@example.com"]);
    is_refused(&platform.delete("/apps/demo-app"), 403, "permission");
    is_refused(&jane.patch(&path, json!({ "state": "declined" })), 422, "accepted");
    jane.delete("/apps/demo-app").good();
    assert_eq!(platform.get("/account/app-transfers").good(), json!([]));
}

#[test]
fn transfers_are_declined_taken_back_and_refused() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    let jane = platform.person("jane@example.com");
    let give =
        |to: &str| platform.post("/account/app-transfers", json!({ "app": "demo-app", "recipient": to }));
    is_refused(&give("~"), 422, "already");
    assert_eq!(
        platform.post("/account/app-transfers", json!({ "app": "none", "recipient": "~" })).status,
        404
    );

    let declined = give("jane@example.com").good();
    let path = |one: &Value| format!("/account/app-transfers/{}", one["id"].as_str().unwrap());
    is_refused(&jane.delete(&path(&declined)), 403, "take");
    assert_eq!(jane.patch(&path(&declined), json!({ "state": "declined" })).good()["state"], "declined");
    let taken_back = give(&jane.account.id.to_string()).good();
    assert_eq!(platform.delete(&path(&taken_back)).good(), taken_back);
    assert_eq!(
        jane.send(Method::PATCH, &path(&taken_back), Some(json!({ "state": "accepted" }))).status,
        404
    );
    assert_eq!(platform.get("/apps/demo-app").good()["owner"]["email"], "dev@example.com");

    // Her tier has no room for two dynos.
    platform.deploy(app, &[("web", "serve")]);
    platform
        .patch("/apps/demo-app/formation", json!({ "updates": [{ "type": "web", "quantity": 2 }] }))
        .good();
    let poor = platform.person(FREE);
    let offered = give(FREE).good();
    is_refused(
        &poor.patch(&path(&offered), json!({ "state": "accepted" })),
        422,
        "Free accounts support one dyno.",
    );
    assert_eq!(platform.get("/apps/demo-app").good()["owner"]["email"], "dev@example.com");
    assert_eq!(poor.get(&path(&offered)).good()["state"], "pending");
}

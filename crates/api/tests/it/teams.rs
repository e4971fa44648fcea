//! Teams: their people, their apps, and what each may do.

use http::Method;
use serde_json::{Value, json};

use crate::{
    access::{is_refused, texts},
    harness::{PASSWORD, Person, Platform},
    shapes::{assert_shape, assert_shapes},
};

/// The holder of the platform's token is the admin of team `acme`.
fn with_team() -> Platform {
    let platform = Platform::start();
    platform.post("/teams", json!({ "name": "acme", "country": "US", "card_number": null })).good();
    platform
}

fn member<'a>(platform: &'a Platform, email: &str, role: &str) -> Person<'a> {
    let person = platform.person(email);
    let body = json!({ "email": email, "role": role });
    assert_shape("team-member", &platform.put("/teams/acme/members", body).good());
    person
}

fn team_app(platform: &Platform, name: &str) -> Value {
    platform.post("/teams/apps", json!({ "name": name, "team": "acme" })).good()
}

#[test]
fn teams_are_made_found_renamed_and_deleted() {
    let platform = Platform::start();
    assert_eq!(platform.get("/teams").good(), json!([]));
    let made = platform.post("/teams", json!({ "name": "acme" }));
    assert_eq!(made.status, 201);
    let made = made.good();
    assert_shape("team", &made);
    assert_eq!((&made["role"], &made["type"]), (&"admin".into(), &"team".into()));
    assert_eq!(platform.get("/teams").good(), json!([made]));
    for name in ["acme", made["id"].as_str().unwrap()] {
        assert_eq!(platform.get(&format!("/teams/{name}")).good(), made);
    }
    is_refused(&platform.post("/teams", json!({ "name": "acme" })), 422, "already taken");
    for bad in ["ab", "Acme", "a b", "-acme", "apps", "01234567-89ab-cdef-0123-456789abcdef"] {
        assert_eq!(platform.post("/teams", json!({ "name": bad })).status, 422, "{bad}");
    }
    let stranger = platform.person("jane@example.com");
    for (method, path) in
        [(Method::GET, "/teams/acme"), (Method::DELETE, "/teams/acme"), (Method::GET, "/teams/none")]
    {
        let reply = stranger.send(method, path, None);
        is_refused(&reply, 404, "Couldn't find that team.");
    }
    assert_eq!(stranger.get("/teams").good(), json!([]));

    team_app(&platform, "demo-app");
    is_refused(&platform.delete("/teams/acme"), 422, "has 1 apps");
    let renamed = platform.patch("/teams/acme", json!({ "name": "globex" })).good();
    assert_eq!((&renamed["name"], &renamed["id"]), (&"globex".into(), &made["id"]));
    assert_eq!(platform.get("/teams/acme").status, 404);
    assert_eq!(platform.get("/apps/demo-app").good()["owner"]["email"], "globex@herokumanager.com");
    platform.delete("/apps/demo-app").good();
    assert_eq!(platform.delete("/teams/globex").good()["name"], "globex");
    assert_eq!(platform.get("/teams").good(), json!([]));
    platform.post("/teams", json!({ "name": "globex" })).good();
}

#[test]
fn a_teams_account_is_nobodys() {
    let platform = with_team();
    let app = team_app(&platform, "demo-app");
    let (email, id) = (app["owner"]["email"].as_str().unwrap(), app["owner"]["id"].as_str().unwrap());
    assert_eq!(email, "acme@herokumanager.com");
    platform.app("other-app");
    assert_eq!(platform.post("/apps/other-app/collaborators", json!({ "user": email })).status, 422);
    assert_eq!(platform.post("/apps/other-app/collaborators", json!({ "user": id })).status, 404);
    let give = json!({ "app": "other-app", "recipient": id });
    assert_eq!(platform.post("/account/app-transfers", give).status, 404);
    assert_eq!(platform.put("/teams/acme/members", json!({ "email": email, "role": "admin" })).status, 422);
}

#[test]
fn members_come_change_and_go_but_an_admin_stays() {
    let platform = with_team();
    let jane = platform.person("jane@example.com");
    let body = |email: &str, role: &str| json!({ "email": email, "role": role });
    let path = "/teams/acme/members";
    assert_eq!(platform.patch(path, body("jane@example.com", "admin")).status, 404);
    let added = platform.post(path, body("jane@example.com", "member"));
    assert_eq!(added.status, 201);
    let added = added.good();
    assert_shape("team-member", &added);
    assert_eq!((&added["role"], &added["user"]["email"]), (&"member".into(), &"jane@example.com".into()));
    is_refused(&platform.post(path, body("jane@example.com", "member")), 422, "already a member");
    for (email, role, words) in [
        ("joe@example.com", "king", "no role"),
        ("joe@example.com", "owner", "no owner"),
        ("joe", "member", "address"),
    ] {
        is_refused(&platform.put(path, body(email, role)), 422, words);
    }
    assert_eq!(platform.patch(path, body("jane@example.com", "viewer")).good()["role"], Value::Null);
    assert_eq!(platform.put(path, body("jane@example.com", "admin")).good()["role"], "admin");
    assert_eq!(jane.get("/teams/acme").good()["role"], "admin");
    let list = jane.get(path).good();
    assert_shapes("team-member", &list);
    assert_eq!(texts(&list, "/email"), ["dev@example.com", "jane@example.com"]);

    jane.patch(path, body("dev@example.com", "member")).good();
    is_refused(&platform.patch(path, body("jane@example.com", "member")), 403, "permission");
    is_refused(&platform.delete(&format!("{path}/jane@example.com")), 403, "permission");
    is_refused(&jane.patch(path, body("jane@example.com", "member")), 422, "at least one admin");
    is_refused(&jane.delete(&format!("{path}/~")), 422, "at least one admin");
    assert_eq!(platform.delete(&format!("{path}/dev@example.com")).good()["email"], "dev@example.com");
    assert_eq!(platform.get("/teams/acme").status, 404);
    assert_eq!(jane.get(path).good().as_array().unwrap().len(), 1);
}

#[test]
fn apps_are_made_in_teams_and_seen_by_their_members() {
    let platform = with_team();
    let (jane, joe) = (member(&platform, "jane@example.com", "member"), platform.person("joe@example.com"));
    let made = jane.post("/teams/apps", json!({ "name": "demo-app", "team": "acme", "locked": false }));
    assert_eq!(made.status, 201);
    let made = made.good();
    assert_shape("team-app", &made);
    assert_eq!(
        (&made["team"]["name"], &made["joined"], &made["locked"]),
        (&"acme".into(), &true.into(), &false.into())
    );
    let app = platform.get("/apps/demo-app").good();
    assert_shape("app", &app);
    assert_eq!(
        (&app["team"]["name"], &app["owner"]["email"]),
        (&"acme".into(), &"acme@herokumanager.com".into())
    );
    assert_eq!(platform.get("/apps/demo-app/releases/1").good()["user"]["email"], "jane@example.com");
    let seen = platform.get("/teams/apps/demo-app").good();
    assert_eq!((&seen["id"], &seen["joined"]), (&made["id"], &false.into()));
    assert_shapes("team-app", &platform.get("/teams/acme/apps").good());
    assert_eq!(texts(&jane.get("/teams/acme/members/jane@example.com/apps").good(), "/name"), ["demo-app"]);

    assert_eq!(texts(&platform.get("/apps").good(), "/name"), ["demo-app"]);
    assert_eq!(platform.get("/users/~/apps").good(), json!([]));
    assert_eq!(joe.get("/apps").good(), json!([]));
    is_refused(&joe.post("/teams/apps", json!({ "team": "acme" })), 404, "team");
    // A personal app in the same words, and the team that is meant when none is named.
    let own = platform.post("/teams/apps", json!({ "name": "own-app" })).good();
    assert_shape("team-app", &own);
    assert_eq!((&own["team"], &own["owner"]["email"]), (&Value::Null, &"dev@example.com".into()));
    assert_eq!(platform.patch("/teams/acme", json!({ "default": true })).good()["default"], true);
    assert_eq!(platform.get("/account").good()["default_team"]["name"], "acme");
    assert_eq!(platform.post("/teams/apps", json!({})).good()["team"]["name"], "acme");
    assert_eq!(platform.post("/teams/apps", json!({ "personal": true })).good()["team"], Value::Null);
    is_refused(&platform.patch("/teams/apps/own-app", json!({ "locked": true })), 422, "no team");
}

#[test]
fn members_join_what_is_not_locked_and_leave_again() {
    let platform = with_team();
    let jane = member(&platform, "jane@example.com", "member");
    let viewer = member(&platform, "vic@example.com", "viewer");
    team_app(&platform, "demo-app");
    let join = |person: &Person<'_>| {
        person.post("/teams/apps/demo-app/collaborators", json!({ "user": person.account.email }))
    };
    assert_eq!(jane.get("/apps/demo-app").good()["name"], "demo-app");
    assert_eq!(jane.get("/apps/demo-app/config-vars").status, 403);

    let locked = platform.patch("/teams/apps/demo-app", json!({ "locked": true })).good();
    assert_shape("team-app", &locked);
    assert_eq!(locked["locked"], true);
    assert_eq!(jane.get("/apps/demo-app").status, 403);
    assert_eq!(jane.get("/apps").good(), json!([]));
    assert_eq!(jane.get("/teams/apps/demo-app").good()["locked"], true);
    is_refused(&join(&jane), 403, "is locked");
    is_refused(&jane.patch("/teams/apps/demo-app", json!({ "locked": false })), 403, "permission");

    platform.patch("/teams/apps/demo-app", json!({ "locked": false })).good();
    is_refused(&join(&viewer), 403, "Only members");
    let joined = join(&jane);
    assert_eq!(joined.status, 201);
    let joined = joined.good();
    assert_shape("team-app-collaborator", &joined);
    assert_eq!(
        (&joined["role"], texts(&joined["permissions"], "/name")),
        (&"member".into(), vec!["deploy", "operate", "view"])
    );
    assert_eq!(jane.get("/teams/apps/demo-app").good()["joined"], true);
    is_refused(&join(&jane), 422, "already");
    jane.get("/apps/demo-app/config-vars").good();
    // Who has joined stays when it is locked.
    platform.patch("/teams/apps/demo-app", json!({ "locked": true })).good();
    jane.get("/apps/demo-app/config-vars").good();
    jane.delete("/apps/demo-app/collaborators/jane@example.com").good();
    assert_eq!(jane.get("/apps/demo-app").status, 403);
}

#[test]
fn people_are_given_permissions_on_an_app() {
    let platform = with_team();
    team_app(&platform, "demo-app");
    let joe = platform.person("joe@example.com");
    let path = "/teams/apps/demo-app/collaborators";
    for (bad, words) in [(json!(["fly"]), "no permission"), (json!([]), "at least one")] {
        is_refused(
            &platform.post(path, json!({ "user": "joe@example.com", "permissions": bad })),
            422,
            words,
        );
    }
    let added =
        platform.post(path, json!({ "user": "joe@example.com", "permissions": ["view", "operate"] })).good();
    assert_shape("team-app-collaborator", &added);
    assert_eq!(
        (&added["role"], texts(&added["permissions"], "/name")),
        (&"collaborator".into(), vec!["operate", "view"])
    );
    joe.patch("/apps/demo-app", json!({ "maintenance": true })).good();
    assert_eq!(joe.get("/apps/demo-app/config-vars").status, 403);
    assert_eq!(joe.get("/teams/acme").good()["role"], "collaborator");
    assert_eq!(joe.get("/teams/acme/members").status, 403);
    assert_eq!(texts(&joe.get("/teams/acme/apps").good(), "/name"), ["demo-app"]);

    let own = format!("{path}/joe@example.com");
    assert_eq!(joe.patch(&own, json!({ "permissions": ["manage"] })).status, 403);
    let changed = platform.patch(&own, json!({ "permissions": ["deploy", "manage"] })).good();
    assert_eq!(texts(&changed["permissions"], "/name"), ["deploy", "manage", "view"]);
    assert_eq!(platform.get(&own).good(), changed);
    assert_eq!(joe.get("/apps/demo-app/config-vars").status, 200);
    assert_eq!(joe.patch("/apps/demo-app", json!({ "maintenance": false })).status, 403);
    joe.patch("/apps/demo-app", json!({ "name": "other-app" })).good();

    let members = platform.get("/teams/acme/members").good();
    assert_shapes("team-member", &members);
    assert_eq!(texts(&members, "/role"), ["admin", "collaborator"]);
    let entities = platform.get("/teams/acme/permissions").good();
    assert_shapes("permission-entity", &entities);
    assert_eq!(texts(&entities[0]["users"], "/email"), ["dev@example.com", "joe@example.com"]);
    assert_eq!(entities[0]["users"][1]["permissions"], json!(["deploy", "manage", "view"]));
    assert_shapes("team-app-permission", &joe.get("/teams/permissions").good());
    assert_shapes("team-app-collaborator", &platform.get("/teams/apps/other-app/collaborators").good());

    platform.delete("/teams/acme/members/joe@example.com").good();
    assert_eq!(joe.get("/apps/other-app").status, 404);
    // A personal app has no permissions to choose.
    platform.app("own-app");
    let add = json!({ "user": "joe@example.com", "permissions": ["view"] });
    is_refused(&platform.post("/teams/apps/own-app/collaborators", add), 422, "no team");
}

#[test]
fn apps_are_given_to_teams_and_back() {
    let platform = with_team();
    platform.app("demo-app");
    let (jane, joe) = (member(&platform, "jane@example.com", "member"), platform.person("joe@example.com"));
    jane.post("/apps", json!({ "name": "hers" })).good();
    jane.post("/apps/hers/collaborators", json!({ "user": "joe@example.com" })).good();
    let give = |person: &Person<'_>, app: &str, owner: &str| {
        person.patch(&format!("/teams/apps/{app}"), json!({ "owner": owner }))
    };
    is_refused(&give(&joe, "hers", "acme"), 403, "permission");
    is_refused(&give(&jane, "hers", "globex"), 404, "team");
    is_refused(&give(&jane, "hers", "joe@example.com"), 422, "/account/app-transfers");
    let given = give(&jane, "hers", "acme").good();
    assert_shape("team-app", &given);
    assert_eq!((&given["team"]["name"], &given["joined"]), (&"acme".into(), &true.into()));
    is_refused(&give(&jane, "hers", "acme"), 422, "already");
    // She keeps all permissions on it, and its collaborators stay.
    jane.patch("/apps/hers", json!({ "name": "theirs" })).good();
    joe.patch("/apps/theirs", json!({ "maintenance": true })).good();
    let offer = json!({ "app": "theirs", "recipient": "joe@example.com" });
    is_refused(&jane.post("/account/app-transfers", offer), 422, "belongs to a team");

    let outsider = platform.person("olaf@example.com");
    is_refused(&give(&jane, "theirs", &outsider.account.email), 422, "neither a member");
    let back = give(&jane, "theirs", "joe@example.com").good();
    assert_eq!((&back["team"], &back["owner"]["email"]), (&Value::Null, &"joe@example.com".into()));
    assert_eq!(jane.get("/apps/theirs").status, 404);
    assert_eq!(texts(&joe.get("/apps/theirs/collaborators").good(), "/role"), ["owner"]);
    assert_eq!(platform.patch("/teams/apps/demo-app", json!({})).status, 422);
    // To another team, which somebody else rules.
    joe.post("/teams", json!({ "name": "globex" })).good();
    assert_eq!(give(&joe, "theirs", "globex").good()["team"]["name"], "globex");
    assert_eq!(give(&joe, "theirs", "~").good()["owner"]["email"], "joe@example.com");
}

#[test]
fn features_and_empty_lists_of_a_team() {
    let platform = with_team();
    let features = platform.get("/teams/acme/features").good();
    assert_shapes("team-feature", &features);
    assert_eq!(texts(&features, "/name"), ["org-access-controls", "team-invite-acceptance"]);
    assert_eq!(platform.get("/teams/acme/features/org-access-controls").good(), features[0]);
    assert_eq!(platform.get("/teams/acme/features/none").status, 404);
    for list in ["addons", "invitations", "invoices", "pipeline-couplings", "spaces"] {
        assert_eq!(platform.get(&format!("/teams/acme/{list}")).good(), json!([]), "{list}");
    }
    assert_shapes("generation", &platform.get("/teams/acme/available-generations").good());
}

#[test]
fn who_is_invited_becomes_a_member_when_he_says_yes() {
    let platform = with_team();
    let (jane, joe) = (platform.person("jane@example.com"), platform.person("joe@example.com"));
    let path = "/teams/acme/invitations";
    let reply = platform.put(path, json!({ "email": "jane@example.com", "role": "member" }));
    let told = reply.header("warning-message").unwrap().to_owned();
    let invited = reply.good();
    assert_shape("team-invitation", &invited);
    assert_eq!((&invited["user"]["email"], &invited["role"]), (&"jane@example.com".into(), &"member".into()));
    assert_eq!(platform.get(path).good(), json!([invited]));
    let secret = told.rsplit('/').nth(1).unwrap();
    let (seen, accept) =
        (format!("/teams/invitations/{secret}"), format!("/teams/invitations/{secret}/accept"));
    assert_eq!(jane.get(&seen).good(), invited);
    assert_eq!(jane.get("/teams/acme").status, 404);
    is_refused(&joe.post(&accept, json!({})), 403, "somebody else");
    let accepted = jane.post(&accept, json!({}));
    assert_eq!(accepted.status, 201);
    assert_shape("team-member", &accepted.good());
    assert_eq!(jane.get("/teams/acme").good()["role"], "member");
    assert_eq!(jane.post(&accept, json!({})).status, 404);
    assert_eq!(jane.get(&seen).status, 404);
    assert_eq!(platform.get(path).good(), json!([]));
    is_refused(
        &platform.put(path, json!({ "email": "jane@example.com", "role": "admin" })),
        422,
        "already a member",
    );

    for by in ["email", "id"] {
        let invited = platform.put(path, json!({ "email": "joe@example.com", "role": "admin" })).good();
        let named = if by == "id" { &invited["id"] } else { &invited["user"]["email"] };
        assert_eq!(platform.delete(&format!("{path}/{}", named.as_str().unwrap())).good(), invited);
        assert_eq!(platform.get(path).good(), json!([]));
    }
    let old = platform.put(path, json!({ "email": "joe@example.com", "role": "admin" }));
    let secret = old.header("warning-message").unwrap().rsplit('/').nth(1).unwrap().to_owned();
    platform.clock.advance(jiff::SignedDuration::from_hours(24 * 30));
    assert_eq!(joe.post(&format!("/teams/invitations/{secret}/accept"), json!({})).status, 404);
    assert_eq!(platform.get(path).good(), json!([]));
}

#[test]
fn an_account_that_ends_leaves_no_access_behind_and_no_team_without_an_admin() {
    let platform = with_team();
    team_app(&platform, "demo-app");
    let jane = member(&platform, "jane@example.com", "admin");
    platform.post("/apps", json!({ "name": "own-app" })).good();
    platform.post("/apps/own-app/collaborators", json!({ "user": "jane@example.com" })).good();
    platform
        .post("/account/app-transfers", json!({ "app": "own-app", "recipient": "jane@example.com" }))
        .good();
    platform.patch("/teams/acme/members", json!({ "email": "jane@example.com", "role": "admin" })).good();
    jane.delete("/teams/acme/members/dev@example.com").good();
    let end = || {
        let headers = [("authorization", jane.bearer.as_str()), ("heroku-password", PASSWORD)];
        platform.send(Method::DELETE, "/account", &headers, None)
    };
    is_refused(&end(), 422, "only admin of the team acme");
    jane.put("/teams/acme/members", json!({ "email": "dev@example.com", "role": "admin" })).good();
    end().good();
    assert_eq!(texts(&platform.get("/teams/acme/members").good(), "/email"), ["dev@example.com"]);
    assert_eq!(platform.get("/apps/own-app/collaborators").good().as_array().unwrap().len(), 1);
    assert_eq!(platform.get("/account/app-transfers").good(), json!([]));
}

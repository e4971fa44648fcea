//! Commands of the table and their neighbours: what they ask the platform, and what they show.

use serde_json::{Value, json};

use crate::harness::{Platform, app, ok, refused, release, renga, text};

const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// Any request is answered with `answer`; gives stdout, the first request's line and its body.
fn asked(words: &[&str], answer: Value) -> (String, String, Value) {
    let platform = Platform::new(move |_| ok(&answer));
    let done = platform.run(words);
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    let request = platform.requests().remove(0);
    (text(&done.stdout), request.line(), request.body)
}

#[test]
fn tokens_are_made_shown_and_ended() {
    let token = json!({
        "id": ID, "description": "deploys", "client": null, "scope": ["read", "write"], "updated_at": "2026-01-01T00:00:00Z",
        "access_token": { "token": "HRKU-1", "expires_in": 60 },
    });
    let words = ["authorizations:create", "-d", "deploys", "-s", "read,write", "-e", "60", "--short"];
    let (out, line, body) = asked(&words, token.clone());
    assert_eq!((out.as_str(), line.as_str()), ("HRKU-1\n", "POST /oauth/authorizations"));
    assert_eq!(body, json!({ "description": "deploys", "scope": ["read", "write"], "expires_in": 60 }));
    let (out, ..) = asked(&["authorizations:info", ID], token.clone());
    assert!(out.contains("Scope:       read, write\n") && out.contains("Token:       HRKU-1\n"), "{out}");
    let (_, line, _) = asked(&["authorizations:rotate", ID], token.clone());
    assert_eq!(line, format!("POST /oauth/authorizations/{ID}/actions/regenerate-tokens"));
    let words = ["authorizations:update", ID, "--client-id", "a", "--client-secret", "b"];
    assert_eq!(asked(&words, token.clone()).2, json!({ "client": { "id": "a", "secret": "b" } }));
    let (_, line, _) = asked(&["authorizations:destroy", ID], token);
    assert_eq!(line, format!("DELETE /oauth/authorizations/{ID}"));
    let (out, line, _) = asked(&["sessions"], json!([]));
    assert_eq!((out.as_str(), line.as_str()), ("No OAuth sessions.\n", "GET /oauth/sessions"));
}

#[test]
fn clients_can_be_sourced_by_a_shell_and_keys_printed_whole() {
    let client = json!({ "id": ID, "name": "board", "redirect_uri": "https://b.example/", "secret": "S" });
    let (out, _, body) = asked(&["clients:create", "board", "https://b.example/", "--shell"], client);
    assert_eq!(out, format!("HEROKU_OAUTH_ID={ID}\nHEROKU_OAUTH_SECRET=S\n"));
    assert_eq!(body, json!({ "name": "board", "redirect_uri": "https://b.example/" }));
    let keys =
        json!([{ "comment": "ann@laptop", "fingerprint": "aa", "public_key": "ssh-ed25519 A ann@laptop" }]);
    assert_eq!(asked(&["keys", "--long"], keys.clone()).0, "ssh-ed25519 A ann@laptop\n");
    assert!(asked(&["keys"], keys).0.contains("ann@laptop  aa"));
}

#[test]
fn a_key_is_taken_from_where_ssh_keeps_it() {
    let key = json!({
        "comment": "x", "created_at": "2026-01-01T00:00:00Z", "email": "x", "fingerprint": "aa", "id": ID,
        "public_key": "ssh-ed25519 A x", "updated_at": "2026-01-01T00:00:00Z",
    });
    let platform =
        Platform::new(move |request| ok(&if request.method == "GET" { json!([key]) } else { key.clone() }));
    let none = platform.run(&["keys:add"]);
    assert!(text(&none.stderr).contains("ssh-keygen") && platform.requests().is_empty());
    let folder = platform.home().join(".ssh");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("id_ed25519.pub"), "ssh-ed25519 A x\n").unwrap();
    assert!(platform.run(&["keys:add"]).status.success());
    assert_eq!(platform.requests()[0].body, json!({ "public_key": "ssh-ed25519 A x" }));
    assert!(platform.run(&["keys:clear"]).status.success());
    assert_eq!(platform.asked()[1..], ["GET /account/keys".to_owned(), format!("DELETE /account/keys/{ID}")]);
}

#[test]
fn an_app_goes_to_a_person_who_accepts_or_to_a_team_at_once() {
    let transfer = json!({
        "app": { "id": ID, "name": "times" }, "created_at": "2026-01-01T00:00:00Z", "id": ID, "owner": app("x")["owner"],
        "recipient": { "email": "ann@example.com", "id": ID }, "state": "pending", "updated_at": "2026-01-01T00:00:00Z",
    });
    let platform = Platform::new(move |request| match request.method.as_str() {
        "POST" => ok(&transfer),
        _ => ok(&app("times")),
    });
    let done = platform.run(&["apps:transfer", "ann@example.com", "-a", "times"]);
    assert!(text(&done.stderr).contains("renga apps:transfers:accept times"), "{}", text(&done.stderr));
    assert!(platform.run(&["apps:transfer", "shop", "-a", "times", "--locked"]).status.success());
    let requests = platform.requests();
    assert_eq!(requests[1].body, json!({ "app": "times", "recipient": "ann@example.com", "silent": null }));
    assert_eq!(
        (requests[3].line().as_str(), &requests[3].body),
        ("PATCH /teams/apps/times", &json!({ "owner": "shop" }))
    );
    assert_eq!(requests[4].body, json!({ "locked": true }));
    let (_, line, body) = asked(&["apps:transfers:accept", "times"], json!({}));
    assert_eq!((line.as_str(), body), ("PATCH /account/app-transfers/times", json!({ "state": "accepted" })));
    assert_eq!(asked(&["join", "-a", "times"], json!({})).2, json!({ "user": "~" }));
    assert_eq!(asked(&["leave", "-a", "times"], json!({})).1, "DELETE /apps/times/collaborators/~");
    assert_eq!(asked(&["unlock", "-a", "times"], json!({})).2, json!({ "locked": false }));
}

#[test]
fn a_feature_is_looked_for_in_the_account_and_then_in_the_app() {
    let feature = json!({
        "created_at": "2026-01-01T00:00:00Z", "description": "d", "doc_url": "", "enabled": true, "id": ID, "name": "f",
        "state": "general", "updated_at": "2026-01-01T00:00:00Z", "display_name": "F", "feedback_email": "",
    });
    let platform = Platform::new(move |request| match request.path.starts_with("/account/") {
        true => refused(404, "not_found", "Couldn't find that feature."),
        false => ok(&feature),
    });
    assert!(platform.run(&["labs:enable", "f", "-a", "times"]).status.success());
    assert_eq!(platform.asked(), ["PATCH /account/features/f", "PATCH /apps/times/features/f"]);
    let without = platform.run(&["labs:disable", "f"]);
    assert!(text(&without.stderr).contains("--app"), "{}", text(&without.stderr));
}

#[test]
fn own_host_names_go_and_the_platforms_stays() {
    let domain = |hostname: &str, kind: &str| {
        json!({
            "acm_status": null, "acm_status_reason": null, "app": { "id": ID, "name": "times" }, "cname": null,
            "created_at": "2026-01-01T00:00:00Z", "hostname": hostname, "id": ID, "kind": kind, "status": "succeeded",
            "updated_at": "2026-01-01T00:00:00Z", "sni_endpoint": null,
        })
    };
    let all = json!([domain("times.localhost", "heroku"), domain("*.example.com", "custom")]);
    let platform =
        Platform::new(move |request| ok(&if request.method == "GET" { all.clone() } else { json!({}) }));
    let done = platform.run(&["domains:clear", "-a", "times"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(platform.asked(), ["GET /apps/times/domains", "DELETE /apps/times/domains/%2A.example.com"]);
}

#[test]
fn waiting_ends_when_every_dyno_runs_the_newest_release() {
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let platform = Platform::new(move |request| match request.path.as_str() {
        "/apps/times/releases" => ok(&json!([release(3, true)])),
        _ => {
            let first = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            ok(&json!([crate::harness::dyno("web.1", if first { "starting" } else { "up" }, None)]))
        }
    });
    let done = platform.run(&["ps:wait", "-a", "times", "-w", "1"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "Waiting for every dyno to be running v3...\n0 / 1\n1 / 1\n");
}

#[test]
fn a_url_and_a_key_are_all_it_takes() {
    let platform = Platform::new(|_| ok(&json!([{ "description": "laptop", "id": ID }])));
    let mut command = renga(&["sessions"]);
    let done = command.env("RENGA_URL", &platform.api).env("RENGA_API_KEY", "K3Y").output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("laptop"));
    assert_eq!(platform.requests()[0].headers["authorization"], "Bearer K3Y");
}

#[test]
fn whoever_begins_is_told_how() {
    let folder = tempfile::tempdir().unwrap();
    let said = |words: &[&str], vars: &[(&str, &str)]| {
        let mut command = renga(words);
        command.env("HOME", folder.path()).current_dir(folder.path()).envs(vars.iter().copied());
        let done = command.output().unwrap();
        (done.status.code(), text(&done.stderr))
    };
    let (code, none) = said(&["apps"], &[("RENGA_DATA_DIR", "/nowhere")]);
    assert!(code == Some(1) && none.contains("renga up") && none.contains("RENGA_URL"), "{none}");
    let (_, unsigned) = said(&["apps"], &[("RENGA_URL", "https://paas.example")]);
    assert!(unsigned.contains("renga login") && unsigned.contains("RENGA_API_KEY"), "{unsigned}");
    let (_, no_app) = said(&["ps"], &[("RENGA_URL", "https://paas.example"), ("RENGA_API_KEY", "K")]);
    assert!(no_app.contains("--app") && no_app.contains("renga git:remote"), "{no_app}");
    let (code, mistyped) = said(&["members", "--tem", "shop"], &[]);
    assert_eq!(code, Some(2));
    assert!(
        mistyped.starts_with(" ›   Error: \"--tem\"") && mistyped.contains("Did you mean --team?"),
        "{mistyped}"
    );
    assert!(mistyped.ends_with("See renga help members.\n"), "{mistyped}");
}

//! Commands that are one request and one answer.

use serde_json::json;

use crate::harness::{Answer, Platform, ok, refused, text};

fn platform() -> Platform {
    Platform::new(|request| match request.line().as_str() {
        "GET /apps/times/collaborators" => ok(&json!([
            { "user": { "email": "ann@example.com" }, "role": "owner", "permissions": [{ "name": "deploy" }, { "name": "view" }] },
            { "user": { "email": "bob@example.com" }, "role": null, "permissions": [] },
        ])),
        "GET /apps/bare/sni-endpoints" => ok(&json!([])),
        "GET /apps/times/sni-endpoints" => ok(&json!([{ "name": "rex-1" }])),
        "GET /apps/many/sni-endpoints" => ok(&json!([{ "name": "rex-1" }, { "name": "rex-2" }])),
        "GET /apps/times/sni-endpoints/rex-1" => ok(&json!({
            "name": "rex-1", "ssl_cert": { "cert_domains": ["a.example", "b.example"], "issuer": "Us" },
        })),
        "POST /apps/told/collaborators" => Answer {
            headers: vec![
                ("content-type", "application/json".into()),
                ("warning-message", "hand this over: https://x/y".into()),
            ],
            ..ok(&json!({}))
        },
        line if line.starts_with("GET ") => refused(404, "not_found", "Couldn't find that."),
        _ => {
            Answer { status: 201, ..ok(&json!({ "hostname": "www.example.com", "cname": "target.example" })) }
        }
    })
}

fn said(platform: &Platform, line: &str) -> (i32, String) {
    let words: Vec<&str> = line.split(' ').collect();
    let done = platform.run(&words);
    (done.status.code().unwrap_or(-1), text(&done.stdout) + &text(&done.stderr))
}

#[test]
fn lists_are_tables_or_json_and_empty_ones_say_so() {
    let platform = platform();
    let (code, table) = said(&platform, "access -a times");
    assert_eq!(code, 0, "{table}");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect())
        .collect();
    assert_eq!(rows[0], ["Email", "Role", "Permissions"]);
    assert_eq!(rows[1], ["ann@example.com", "owner", "deploy, view"]);
    assert_eq!(rows[2], ["bob@example.com"]);
    let (_, json) = said(&platform, "access -a times --json");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()[1]["user"]["email"],
        "bob@example.com"
    );
    assert!(said(&platform, "certs -a bare").1.contains("renga certs:add"));
}

#[test]
fn what_was_typed_goes_into_path_and_body() {
    let platform = platform();
    let (code, words) = said(&platform, "access:add a/b@example.com -a times");
    assert_eq!((code, words.as_str()), (0, "Adding a/b@example.com access to the app times... done\n"));
    said(&platform, "access:add ann@example.com -p deploy,view -a times");
    said(&platform, "access:remove a/b@example.com -a times");
    said(&platform, "features:disable preboot -a times");
    let (_, words) = said(&platform, "domains:add www.example.com -a times");
    assert!(words.contains("target.example"), "{words}");
    let asked: Vec<_> = platform.requests().into_iter().map(|r| (r.line(), r.body)).collect();
    let of_app = |rest: &str| format!("/apps/times/{rest}");
    assert_eq!(asked[0], (format!("POST {}", of_app("collaborators")), json!({ "user": "a/b@example.com" })));
    let team = json!({ "user": "ann@example.com", "permissions": ["deploy", "view"] });
    assert_eq!(asked[1], ("POST /teams/apps/times/collaborators".into(), team));
    assert_eq!(asked[2].0, format!("DELETE {}", of_app("collaborators/a%2Fb%40example.com")));
    assert_eq!(asked[3], (format!("PATCH {}", of_app("features/preboot")), json!({ "enabled": false })));
    assert_eq!(asked[4].1, json!({ "hostname": "www.example.com", "sni_endpoint": null }));
}

#[test]
fn what_the_platform_says_beside_its_answer_is_shown() {
    let (code, words) = said(&platform(), "access:add new@example.com -a told");
    let adding = "Adding new@example.com access to the app told... done\n";
    assert_eq!((code, words), (0, format!("{adding} ›   Warning: hand this over: https://x/y\n")));
}

#[test]
fn the_only_certificate_needs_no_name_and_its_removal_a_word() {
    let platform = platform();
    let (code, words) = said(&platform, "certs:info -a times");
    assert!(code == 0 && words.contains("rex-1") && words.contains("a.example, b.example"), "{words}");
    assert_eq!(
        said(&platform, "certs:info -a many"),
        (64, " ›   Error: Say which one by --name: rex-1, rex-2.\n".into())
    );
    assert_eq!(said(&platform, "certs:info -a bare").0, 64);
    let before = platform.requests().len();
    let (code, words) = said(&platform, "certs:remove --name rex-1 -a times");
    assert!(code != 0 && words.contains("times"), "{words}");
    assert_eq!(platform.requests().len(), before, "nothing is asked before the word is given");
    assert_eq!(said(&platform, "certs:remove --name rex-1 -a times --confirm times").0, 0);
    let (code, words) = said(&platform, "certs:add /nowhere.crt /nowhere.key -a times");
    assert!(code == 64 && words.contains("Could not read /nowhere.crt"), "{words}");
    let (code, words) = said(&platform, "domains:info no.example -a times");
    assert!(code == 2 && words.contains("Couldn't find that."), "{words}");
}

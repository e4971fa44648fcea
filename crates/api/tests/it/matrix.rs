//! The authorization matrix: every endpoint, asked by everybody. Who is let in is decided a second time, by hand, in
//! `data/decisions.txt`: an endpoint without a line there, or whose row says something else, fails.

use std::collections::BTreeMap;

use http::Method;
use renga_api::{EndpointRow, endpoint_rows};
use renga_model::{Account, TokenScope};
use serde_json::json;

use crate::harness::{Platform, Reply};

/// A line of `decisions.txt`.
struct Decision {
    words: Vec<&'static str>,
    /// Whoever is let in does harm: nobody is sent who would be.
    harmful: bool,
}

fn decisions() -> BTreeMap<String, Decision> {
    let lines = include_str!("../data/decisions.txt").lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &'static str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let harmful = words.last() == Some(&"harmful");
        words.truncate(words.len() - usize::from(harmful));
        let endpoint = format!("{} {}", words[0], words[1]);
        (endpoint, Decision { words: words.split_off(2), harmful })
    };
    lines.filter(|line| !line.trim().is_empty()).map(parse).collect()
}

impl Decision {
    fn on(&self, what: &str) -> Option<&'static str> {
        self.words.iter().find_map(|word| word.strip_prefix(what))
    }
    /// Scopes whose tokens are let in, as Heroku's documentation has them.
    fn scopes(&self) -> &'static [TokenScope] {
        use TokenScope::*;
        match self.words[0] {
            "identity" => &[Global, Identity],
            "read" => &[Global, Read, Write, ReadProtected, WriteProtected],
            "write" => &[Global, Write, WriteProtected],
            "read-protected" => &[Global, ReadProtected, WriteProtected],
            "write-protected" => &[Global, WriteProtected],
            "global" | "password" => &[Global],
            // Nobody here is one.
            "operator" => &[],
            other => panic!("no such need: {other}"),
        }
    }
}

#[test]
fn every_endpoint_has_a_decision_and_keeps_to_it() {
    let decided: BTreeMap<String, String> =
        decisions().into_iter().map(|(endpoint, decision)| (endpoint, decision.words.join(" "))).collect();
    let in_table: BTreeMap<String, String> = endpoint_rows()
        .into_iter()
        .map(|row| (format!("{} {}", row.method, row.path), row.decision))
        .collect();
    let differ: Vec<String> = in_table
        .iter()
        .filter(|(endpoint, says)| decided.get(*endpoint) != Some(*says))
        .map(|(endpoint, says)| format!("{endpoint} {says}"))
        .collect();
    assert!(differ.is_empty(), "decide on these in tests/data/decisions.txt:\n{}", differ.join("\n"));
    let gone: Vec<_> = decided.keys().filter(|endpoint| !in_table.contains_key(*endpoint)).collect();
    assert!(gone.is_empty(), "decided, but no endpoint: {gone:?}");
}

// === the cast ===

/// Somebody who asks for one app, with what he may do to it and to its team.
struct Asker {
    name: &'static str,
    bearer: String,
    app: &'static str,
    app_may: &'static [&'static str],
    team_may: &'static [&'static str],
}

const ALL: &[&str] = &["know", "view", "deploy", "operate", "manage"];

/// `own-app` is a personal app, `team-app` one of team `acme`, `locked-app` another, which is locked.
fn cast(platform: &Platform) -> Vec<Asker> {
    platform.app("own-app");
    platform.post("/teams", json!({ "name": "acme" })).good();
    for (name, locked) in [("team-app", false), ("locked-app", true)] {
        let body = json!({ "name": name, "team": "acme", "locked": locked });
        platform.post("/teams/apps", body).good();
    }
    let owner = Asker {
        name: "owner",
        bearer: format!("Bearer {}", platform.token),
        app: "own-app",
        app_may: ALL,
        team_may: &["know", "see", "make-apps", "rule"],
    };
    let mut all = vec![owner];
    let mut add = |name, app, app_may, team_may, prepare: &dyn Fn(&str)| {
        let email = format!("{name}@example.com");
        let person = platform.person(&email);
        prepare(&email);
        all.push(Asker { name, bearer: person.bearer, app, app_may, team_may });
    };
    let member = move |role: &'static str| {
        move |email: &str| {
            platform.put("/teams/acme/members", json!({ "email": email, "role": role })).good();
        }
    };
    let given = move |permission: &'static str| {
        move |email: &str| {
            let body = json!({ "user": email, "permissions": [permission] });
            platform.post("/teams/apps/team-app/collaborators", body).good();
        }
    };
    add("stranger", "own-app", &[], &[], &|_| ());
    add("strange-to-team", "team-app", &[], &[], &|_| ());
    add("collaborator", "own-app", &["know", "view", "deploy", "operate"], &[], &|email| {
        platform.post("/apps/own-app/collaborators", json!({ "user": email })).good();
    });
    add("may-view", "team-app", &["know", "view"], &["know"], &given("view"));
    add("may-deploy", "team-app", &["know", "view", "deploy"], &["know"], &given("deploy"));
    add("may-operate", "team-app", &["know", "view", "operate"], &["know"], &given("operate"));
    add("may-manage", "team-app", &["know", "view", "manage"], &["know"], &given("manage"));
    add("admin", "team-app", ALL, &["know", "see", "make-apps", "rule"], &member("admin"));
    add("member", "team-app", &["know", "view"], &["know", "see", "make-apps"], &member("member"));
    add("member-before-lock", "locked-app", &["know"], &["know", "see", "make-apps"], &member("member"));
    add("viewer", "team-app", &["know", "view"], &["know", "see"], &member("viewer"));
    add("mere-collaborator", "team-app", &[], &["know"], &member("collaborator"));
    all
}

fn ask(platform: &Platform, row: &EndpointRow, app: &str, authorization: &str) -> Reply {
    let segment = |segment: &str| match segment {
        "{app}" => app.to_owned(),
        "{team}" => "acme".into(),
        segment if segment.starts_with('{') => "none".into(),
        segment => segment.to_owned(),
    };
    let path = row.path.split('/').map(segment).collect::<Vec<_>>().join("/");
    let body = [Method::POST, Method::PUT, Method::PATCH].contains(&row.method).then_some(b"{}".as_slice());
    platform.send(row.method.clone(), &path, &[("authorization", authorization)], body)
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Whatever the handler says then.
    LetIn,
    Unknown,
    Forbidden,
    /// As if the app, or the team, were not there.
    NotFound(&'static str),
}

/// 403 and the two 404s come from the gate alone: with an empty body no handler gets as far as to refuse so.
fn fate(reply: &Reply) -> Fate {
    let resource = || reply.json()["resource"].as_str().unwrap_or_default().to_owned();
    match reply.status.as_u16() {
        401 => Fate::Unknown,
        403 => Fate::Forbidden,
        404 if resource() == "app" => Fate::NotFound("app"),
        404 if resource() == "team" => Fate::NotFound("team"),
        _ => Fate::LetIn,
    }
}

fn expected(decision: &Decision, asker: &Asker) -> Fate {
    if decision.words[0] == "operator" {
        return Fate::Forbidden;
    }
    let judge = |needed: Option<&str>, may: &[&str], what| match needed {
        Some(_) if may.is_empty() => Fate::NotFound(what),
        Some(needed) if !may.contains(&needed) => Fate::Forbidden,
        _ => Fate::LetIn,
    };
    match judge(decision.on("app:"), asker.app_may, "app") {
        Fate::LetIn => judge(decision.on("team:"), asker.team_may, "team"),
        refused => refused,
    }
}

/// Endpoints that ask for a token, with what was decided about them.
fn guarded() -> Vec<(EndpointRow, Decision)> {
    let mut decisions = decisions();
    let rows = endpoint_rows().into_iter().filter(|row| !row.public);
    let rows: Vec<_> = rows
        .filter_map(|row| Some((decisions.remove(&format!("{} {}", row.method, row.path))?, row)))
        .map(|(decision, row)| (row, decision))
        .collect();
    assert!(rows.len() > 100, "the walk has lost its table");
    rows
}

#[test]
fn everybody_gets_exactly_as_far_as_was_decided() {
    let platform = Platform::start();
    let cast = cast(&platform);
    let mut wrong = Vec::new();
    for (row, decision) in guarded() {
        for asker in &cast {
            let expected = expected(&decision, asker);
            if decision.harmful && expected == Fate::LetIn {
                continue;
            }
            let reply = ask(&platform, &row, asker.app, &asker.bearer);
            if fate(&reply) != expected {
                let (method, path, name) = (&row.method, row.path, asker.name);
                wrong.push(format!(
                    "{method} {path} by {name}: {} {}, not {expected:?}",
                    reply.status, reply.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tokens_open_what_their_scope_says_and_none_opens_nothing() {
    let platform = Platform::start();
    cast(&platform);
    let bearer =
        |account: &Account, scope, life| format!("Bearer {}", platform.token_with(account, scope, life));
    let expired = bearer(&platform.account, TokenScope::Global, Some(60));
    platform.clock.advance(jiff::SignedDuration::from_secs(61));
    let tokens = TokenScope::ALL.map(|scope| (scope, bearer(&platform.account, scope, None)));
    let mut wrong = Vec::new();
    for (row, decision) in guarded() {
        for no_token in ["", "Bearer wrong", &expired] {
            if fate(&ask(&platform, &row, "own-app", no_token)) != Fate::Unknown {
                wrong.push(format!("{} {} opens without a token ({no_token})", row.method, row.path));
            }
        }
        for (scope, token) in &tokens {
            let opens = decision.scopes().contains(scope);
            if opens && decision.harmful {
                continue;
            }
            let found = fate(&ask(&platform, &row, "own-app", token));
            let fits = if opens { found != Fate::Forbidden } else { found == Fate::Forbidden };
            if !fits || found == Fate::Unknown {
                wrong.push(format!("{} {} with scope {}: {found:?}", row.method, row.path, scope.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Git is not in the table; it asks for `deploy` to push and for `view` to fetch.
#[test]
fn git_keeps_to_the_same_permissions() {
    let platform = Platform::start();
    for asker in cast(&platform) {
        for (service, needed) in [("git-receive-pack", "deploy"), ("git-upload-pack", "view")] {
            let path = format!("/{}.git/info/refs?service={service}", asker.app);
            let status =
                platform.send(Method::GET, &path, &[("authorization", &asker.bearer)], None).status.as_u16();
            let expected = match asker.app_may {
                [] => 404,
                may if may.contains(&needed) => 200,
                _ => 403,
            };
            assert_eq!(status, expected, "{} {service}", asker.name);
        }
    }
}

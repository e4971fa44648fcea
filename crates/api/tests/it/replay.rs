//! Every recorded exchange of the official command line that this platform has an answer to, played again: the request
//! as it was sent, and in the answer all that the command reads. The recording is `data/cli-exchanges.txt`, whose head
//! has its format. What the commands do beyond the Platform API (streams, rendezvous, the browser's part of a login, a
//! second factor) has tests of its own.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Platform, Reply},
    walk::domains::upload,
};

const RECORDING: &str = include_str!("../data/cli-exchanges.txt");
const ACCEPT: &str = "application/vnd.heroku+json; version=3";

/// Every command of the recording: one that is taken out of the file, or added, is missed here.
const COMMANDS: &str = "
    login -i, login, auth:whoami, auth:token, auth:2fa, logout, authorizations, authorizations:create,
    authorizations:info, authorizations:update, authorizations:rotate, authorizations:revoke, clients, clients:create,
    clients:info, clients:update, clients:rotate, clients:destroy, sessions, sessions:destroy, keys, keys:add,
    keys:remove, keys:clear, create, create --team, apps, apps --all, apps --team, apps:info, apps:rename, apps:open,
    apps:stacks, stack:set, maintenance, apps:transfer, apps:lock, apps:join, apps:leave, apps:diff, apps:destroy,
    regions, features, features:info, features:enable, features:disable, labs, labs:enable, buildpacks,
    buildpacks:search, buildpacks:info, buildpacks:add, buildpacks:clear, ps, ps:scale, ps:type, ps:restart, ps:stop,
    ps:wait, ps:exec --status, run, run:detached, run:inside, logs, config, config:set, config:unset, config:edit,
    releases, releases:info, releases:output, releases:retry, rollback, sources, domains, domains:add, domains:info,
    domains:update, domains:remove, domains:clear, certs, certs:add, certs:info, certs:update, certs:remove,
    certs:auto, certs:auto:enable, certs:auto:refresh, certs:auto:disable, access, access:add, access:update, access:remove, members, members:add, members:set, members:remove,
    teams, addons, addons --all, addons:info, addons:open, addons:create, drains, webhooks, telemetry, pipelines,
    spaces, status, notifications, apps:favorites, empty bodies, Request-Id, Basic, malformed, Range, Accept";
/// Requests of the recording, so that none goes unseen.
const EXCHANGES: usize = 209;

#[derive(Debug, Clone)]
struct Exchange {
    part: &'static str,
    command: &'static str,
    request: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    statuses: Vec<u16>,
    members: Vec<String>,
    /// Names for what is at these members of the answer.
    keeps: Vec<(&'static str, &'static str)>,
}

fn recording() -> Vec<Exchange> {
    let (mut all, mut part, mut command) = (Vec::<Exchange>::new(), "", "");
    for line in RECORDING.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(name) = line.strip_prefix("== ") {
            command = name;
        } else if let Some(name) = line.strip_prefix("= ") {
            part = name;
        } else if let Some(detail) = line.strip_prefix("  ") {
            all.last_mut().unwrap().detail(detail);
        } else {
            let (headers, statuses, members, keeps) = Default::default();
            all.push(Exchange { part, command, request: line, headers, statuses, members, keeps });
        }
    }
    all
}

impl Exchange {
    fn detail(&mut self, detail: &'static str) {
        let (mark, rest) = detail.split_at(2);
        match mark {
            "| " => {
                let (name, value) = rest.split_once(':').unwrap();
                // A header that is sent with nothing in it has a blank behind its colon.
                let value = if value.is_empty() { "" } else { value.strip_prefix(' ').unwrap() };
                self.headers.push((name, if rest.ends_with(": ") { " " } else { value }));
            }
            "< " => {
                let (statuses, members) = rest.split_once(' ').unwrap_or((rest, ""));
                self.statuses = statuses.split('|').map(|status| status.parse().unwrap()).collect();
                self.members = words(members);
            }
            "& " => self.members.extend(words(rest)),
            "! " => self.keeps.push(rest.split_once(' ').unwrap()),
            other => panic!("{other:?} begins nothing"),
        }
    }
}

/// Split at blanks that stand in no JSON text.
fn words(text: &str) -> Vec<String> {
    let (mut all, mut quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        quoted ^= letter == '"';
        match letter {
            ' ' if !quoted => all.push(String::new()),
            letter => all.last_mut().unwrap().push(letter),
        }
    }
    all.retain(|word| !word.is_empty());
    all
}

// === playing ===

struct Stage {
    platform: Platform,
    names: BTreeMap<String, String>,
}

impl Stage {
    fn set() -> Self {
        let platform = Platform::start();
        let app = platform.app("demo");
        platform.deploy(app, &[("web", "serve"), ("worker", "work")]);
        platform.account("jane@example.com");
        platform.account("joe@example.com");
        platform.post("/teams", json!({ "name": "acme" })).good();
        platform.post("/teams/apps", json!({ "name": "shared", "team": "acme" })).good();
        let certificate = upload(&["www.example.com"]);
        let basic = |user: &str, password: &str| STANDARD.encode(format!("{user}:{password}"));
        let names = [
            ("TOKEN", platform.token.clone()),
            ("LOGIN", basic("dev@example.com", PASSWORD)),
            ("WRONG", basic("dev@example.com", "wrong")),
            ("BASIC", basic("", &platform.token)),
            ("CHAIN", certificate["certificate_chain"].to_string()),
            ("PRIVATE", certificate["private_key"].to_string()),
        ];
        let names = names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { platform, names }
    }

    fn filled(&self, text: &str) -> String {
        let fill = |text: String, (name, value): (&String, &String)| text.replace(&format!("${name}"), value);
        self.names.iter().fold(text.to_owned(), fill)
    }

    fn send(&self, exchange: &Exchange) -> Reply {
        let (method, rest) = exchange.request.split_once(' ').unwrap();
        let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (variant, body) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => ("", rest),
        };
        let accept = if variant.is_empty() { ACCEPT.to_owned() } else { format!("{ACCEPT}.{variant}") };
        let mut headers = BTreeMap::from([
            ("user-agent", "heroku-cli/11.10.0 linux".to_owned()),
            ("accept", accept),
            ("request-id", uuid::Uuid::new_v4().to_string()),
        ]);
        if !body.is_empty() {
            headers.insert("content-type", "application/json".into());
        }
        let lower: Vec<_> = exchange
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), self.filled(value)))
            .collect();
        headers.extend(lower.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (path, body) = (self.filled(path), self.filled(body));
        let body = (!body.is_empty() || method != "GET").then_some(body.as_bytes());
        self.platform.send(method.parse::<Method>().unwrap(), &path, &headers, body)
    }

    /// What is wrong with the answer.
    fn play(&mut self, exchange: &Exchange) -> Vec<String> {
        let reply = self.send(exchange);
        if !exchange.statuses.contains(&reply.status.as_u16()) {
            return vec![format!("answered {}: {}", reply.status, reply.text)];
        }
        let kind = reply.header("content-type").unwrap_or_default().to_owned();
        if !kind.starts_with("application/json") {
            return vec![format!("is {kind}")];
        }
        let answer = reply.json();
        let judged = exchange.members.iter().filter_map(|member| wrong(&self.filled(member), &answer));
        let problems = judged.map(|what| format!("{what}: {answer}")).collect();
        for (name, member) in &exchange.keeps {
            let value = at(&answer, member).pop().flatten().and_then(Value::as_str).unwrap_or_default();
            self.names.insert((*name).to_owned(), value.to_owned());
        }
        problems
    }
}

/// The values at a member: one, or one of every element.
fn at<'a>(answer: &'a Value, member: &str) -> Vec<Option<&'a Value>> {
    let mut found = vec![Some(answer)];
    for step in member.split('.').filter(|step| !step.is_empty()) {
        found = match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) {
            Some("") => {
                let lists = found.into_iter().flatten().filter_map(Value::as_array);
                lists.flatten().map(Some).collect()
            }
            Some(index) => {
                let index: usize = index.parse().unwrap();
                found.into_iter().map(|value| value?.get(index)).collect()
            }
            None => found.into_iter().map(|value| value?.get(step)).collect(),
        };
    }
    found
}

/// Where the name ends and what is asked of it begins.
fn wrong(word: &str, answer: &Value) -> Option<String> {
    let end = word.find(['=', ':', '^', '~']).unwrap_or(word.len());
    let (member, asked) = word.split_at(end);
    let (mark, asked) = asked.split_at(asked.len().min(1));
    let values = at(answer, member);
    if values.is_empty() {
        return Some(format!("{word}: the list is empty"));
    }
    let fits = |value: &Option<&Value>| match (mark, value) {
        ("~", _) => true,
        (_, None | Some(Value::Null)) => false,
        ("", Some(_)) => true,
        ("=", Some(value)) => **value == serde_json::from_str::<Value>(asked).unwrap(),
        ("^", Some(value)) => value.as_str().is_some_and(|text| text.starts_with(asked)),
        (":", Some(value)) => match asked {
            "string" => value.is_string(),
            "int" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "bool" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no such kind: {other}"),
        },
        _ => panic!("{word} asks for nothing"),
    };
    (!values.iter().all(fits)).then(|| format!("{word} is not so"))
}

// === tests ===

#[test]
fn nothing_of_the_recording_is_missed() {
    let all = recording();
    let played: BTreeSet<&str> = all.iter().map(|exchange| exchange.command).collect();
    let known: BTreeSet<&str> = COMMANDS.split(',').map(str::trim).collect();
    assert_eq!(played.symmetric_difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(all.len(), EXCHANGES);
    for exchange in &all {
        assert!(!exchange.statuses.is_empty(), "{} asks for no status", exchange.request);
        let reads = !exchange.members.is_empty();
        assert!(reads, "{} reads nothing", exchange.request);
    }
}

#[test]
fn every_recorded_exchange_is_answered_as_its_command_reads_it() {
    let all = recording();
    let (mut played, mut problems) = (0, Vec::new());
    for part in all.chunk_by(|one, next| one.part == next.part) {
        let mut stage = Stage::set();
        for exchange in part {
            played += 1;
            let wrong = stage.play(exchange);
            problems.extend(
                wrong.iter().map(|what| format!("{}: {} {what}", exchange.command, exchange.request)),
            );
        }
    }
    assert!(problems.is_empty(), "{} of {played}:\n{}", problems.len(), problems.join("\n"));
    assert_eq!(played, EXCHANGES);
}

#[test]
fn what_is_asked_of_a_member_is_looked_at() {
    let answer = json!({ "a": { "b": 1, "c": null, "d?": true }, "list": [{ "x": "y" }], "none": [] });
    for good in [
        "a.b",
        "a.b=1",
        "a.b:int",
        "a.c~",
        "a.z~",
        "a.d?=true",
        "list:array",
        "list.[].x^y",
        "list.[0].x=\"y\"",
    ] {
        assert_eq!(wrong(good, &answer), None, "{good}");
    }
    for bad in
        ["a.c", "a.z", "a.b=2", "a.b:string", "list.[].z", "list.[1].x", "none.[].x", "list.[].x^z", "=1"]
    {
        assert!(wrong(bad, &answer).is_some(), "{bad}");
    }
}

//! Every published link that is offered, called for real: the answer is held against the published schema, and what was
//! written is read back through another link. An offered link that no walk comes by fails the test.
//!
//! To add a link, call it in the function of its resource (or in a new one, named in [`WALKS`]):
//!
//! ```text
//! walk.get("/apps/walked/domains");
//! walk.post("/apps/walked/domains", json!({..})).seen_at("/apps/walked/domains/x", |domain| domain["id"] != Null);
//! walk.delete("/apps/walked/domains/x").gone_at("/apps/walked/domains/x");
//! ```

mod access;
mod account;
mod apps;
mod catalogue;
pub(crate) mod domains;
mod oauth;
mod processes;
mod releases;

use std::{cell::RefCell, collections::BTreeSet};

use http::Method;
use renga_api::{
    coverage::{Class, links, pattern},
    endpoint_rows,
};
use serde_json::{Value, json};

use crate::{
    harness::{PASSWORD, Platform},
    schema::Schema,
};

/// Each starts on a platform of its own, with the app `walked` deployed.
const WALKS: &[fn(&Walk)] = &[
    access::collaborators,
    access::transfers,
    access::teams,
    access::team_apps,
    access::team_members,
    access::team_preferences,
    account::account,
    account::authorizations,
    account::changes,
    account::features_keys_and_preferences,
    account::invoices_and_credits,
    account::password_resets,
    oauth::clients,
    oauth::tokens,
    apps::apps,
    apps::things_of_an_app,
    catalogue::catalogue,
    domains::domains,
    domains::certificates,
    domains::automatic,
    processes::formation,
    processes::dynos,
    processes::restarts,
    releases::builds,
    releases::config_vars,
    releases::oci_images,
    releases::releases,
    releases::slugs,
];

/// What an offered link was seen to do, as `METHOD pattern`.
type Walked = BTreeSet<String>;

pub(crate) struct Walk {
    pub(crate) platform: Platform,
    schema: Schema,
    /// Who calls, if it is not the owner of everything.
    bearer: RefCell<Option<String>>,
    walked: RefCell<Walked>,
}

/// The answer of a write. It counts only once its effect was looked at.
#[must_use = "read it back: seen_at, gone_at, or as_said"]
pub(crate) struct Written<'a> {
    walk: &'a Walk,
    link: String,
    pub(crate) answer: Value,
}

impl Walk {
    fn start() -> Self {
        let platform = Platform::start();
        let app = platform.app("walked");
        platform.deploy(app, &[("web", "serve"), ("worker", "work")]);
        Self { platform, schema: Schema::published(), bearer: RefCell::default(), walked: RefCell::default() }
    }

    #[track_caller]
    fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> (String, Value) {
        let bytes = body.map(|body| body.to_string().into_bytes());
        let bearer = self.bearer.borrow().clone();
        let mut headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        // Asked for by the few links that end an account.
        headers.push(("heroku-password", PASSWORD));
        let answer = self.platform.send(method.clone(), path, &headers, bytes.as_deref()).good();
        let links = self.schema.links_of(method.as_str(), path);
        let judged = links.iter().map(|link| self.schema.judge(link, &answer)).min_by_key(Vec::len);
        let problems = judged.unwrap_or_else(|| panic!("{method} {path} is not published"));
        assert!(problems.is_empty(), "{method} {path} answered {answer:#}\n{problems:#?}");
        (format!("{method} {}", links[0].pattern), answer)
    }

    /// What is called in `work` is called by somebody else; what a write did, the owner still looks at.
    pub(crate) fn called_by(&self, bearer: &str, work: impl FnOnce()) {
        *self.bearer.borrow_mut() = Some(bearer.to_owned());
        work();
        *self.bearer.borrow_mut() = None;
    }

    /// Something to read. A list must not be empty, or nothing of its shape was seen.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (link, answer) = self.call(&Method::GET, path, None);
        assert_ne!(answer, json!([]), "GET {path}: an empty list shows nothing");
        self.walked.borrow_mut().insert(link);
        answer
    }
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: Value) -> Written<'_> {
        self.write(&Method::POST, path, Some(&body))
    }
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: Value) -> Written<'_> {
        self.write(&Method::PATCH, path, Some(&body))
    }
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: Value) -> Written<'_> {
        self.write(&Method::PUT, path, Some(&body))
    }
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Written<'_> {
        self.write(&Method::DELETE, path, None)
    }
    /// A link that does nothing but refuse, with this status.
    #[track_caller]
    pub(crate) fn refused(&self, method: &Method, path: &str, body: &Value, status: u16) {
        let bytes = body.to_string().into_bytes();
        let reply = self.platform.send(method.clone(), path, &[], Some(&bytes));
        assert_eq!(reply.refusal().0, status, "{method} {path}: {}", reply.text);
        let link = self.schema.links_of(method.as_str(), path).remove(0);
        self.walked.borrow_mut().insert(format!("{method} {}", link.pattern));
    }
    #[track_caller]
    fn write(&self, method: &Method, path: &str, body: Option<&Value>) -> Written<'_> {
        let (link, answer) = self.call(method, path, body);
        Written { walk: self, link, answer }
    }
}

impl Written<'_> {
    /// What this path answers now shows the write.
    #[track_caller]
    pub(crate) fn seen_at(self, path: &str, shows: impl Fn(&Value) -> bool) -> Value {
        let found = self.walk.platform.get(path).good();
        assert!(shows(&found), "{} is not to be seen at {path}: {found:#}", self.link);
        self.count()
    }
    /// What was there is not there any more.
    #[track_caller]
    pub(crate) fn gone_at(self, path: &str) -> Value {
        assert_eq!(self.walk.platform.get(path).status, 404, "{} left {path} there", self.link);
        self.count()
    }
    /// The platform itself shows the write, where no link does.
    #[track_caller]
    pub(crate) fn told_by(self, shows: impl Fn(&Platform, &Value) -> bool) -> Value {
        assert!(shows(&self.walk.platform, &self.answer), "{} did nothing", self.link);
        self.count()
    }
    fn count(self) -> Value {
        self.walk.walked.borrow_mut().insert(self.link);
        self.answer
    }
}

#[test]
fn every_offered_link_does_what_the_schema_says() {
    let mut walked = Walked::new();
    for work in WALKS {
        let walk = Walk::start();
        work(&walk);
        walked.extend(walk.walked.take());
    }
    let link = |link: &renga_api::coverage::Link| format!("{} {}", link.method, link.pattern);
    let of = |class: Class| links().iter().filter(|l| l.class == class).map(link).collect::<Walked>();
    let missed: Vec<_> = of(Class::Offered).difference(&walked).cloned().collect();
    assert!(missed.is_empty(), "offered, but no walk comes by: {missed:#?}");
    let wrong: Vec<_> = of(Class::Empty).intersection(&walked).cloned().collect();
    assert!(wrong.is_empty(), "these hold something; take their rows out of empty_endpoints: {wrong:#?}");
}

#[test]
fn what_is_said_to_be_empty_is_an_empty_list_or_not_there() {
    let walk = Walk::start();
    for row in endpoint_rows().iter().filter(|row| row.empty) {
        let path =
            pattern(row.path).replacen("{}", if row.on_app { "walked" } else { "~" }, 1).replace("{}", "x");
        let reply = walk.platform.send(row.method.clone(), &path, &[], None);
        match reply.status.as_u16() {
            200 => assert_eq!(reply.json(), json!([]), "{} {path}", row.method),
            _ => assert_eq!(reply.refusal().0, 404, "{} {path}", row.method),
        }
    }
}

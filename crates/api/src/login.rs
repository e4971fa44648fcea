//! Login with a browser, for `heroku login`.
//!
//! ```text
//! command line ──POST /auth──> {browser_url, cli_url, token}
//!      │                            │
//!      │                    browser opens the page, its user gives e-mail and password
//!      └──GET cli_url (Bearer token): one long poll──> {access_token}, or {error}
//! ```
//!
//! A login lives for some minutes and in memory only: after a restart the user begins again.

use std::{collections::HashMap, convert::Infallible, sync::Mutex, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use rand::RngCore;
use renga_engine::operations::TokenNew;
use renga_model::{Fault, Refusal, Secret, TokenScope};
use renga_wire as wire;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    answer::{Answer, Answered, PageKind, ok, page, page_refused},
    call::Call,
    gate::Credentials,
    pages::{self, CREDENTIALS, escape},
    passwords::Passwords,
};

/// How long a user may take.
const LOGIN_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// Logins under way at one time; beyond it the oldest is given up.
const LOGINS_MAX: usize = 1_000;
/// The command line gives up a response that is silent for 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Life of the token that a browser login gives (Heroku: up to a year).
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Characters of the description that are shown and kept.
const DESCRIPTION_CHARS_MAX: usize = 200;

#[derive(Default)]
pub(crate) struct Logins {
    pub(crate) passwords: Passwords,
    pending: Mutex<HashMap<String, Pending>>,
}

struct Pending {
    /// SHA-256 of the token that the command line polls with.
    token_hash: [u8; 32],
    description: String,
    since: Timestamp,
    outcome: watch::Sender<Option<Secret>>,
}

impl Logins {
    fn insert(&self, id: String, pending: Pending) {
        let mut logins = self.pending.lock().expect("nothing panics while it holds this lock");
        let now = pending.since;
        logins.retain(|_, login| now < login.since + LOGIN_LIFE);
        if logins.len() >= LOGINS_MAX {
            let oldest = logins.iter().min_by_key(|(_, login)| login.since).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| logins.remove(&oldest));
        }
        logins.insert(id, pending);
    }

    /// What `f` sees of a login that is not over.
    fn with<T>(&self, id: &str, now: Timestamp, f: impl FnOnce(&Pending) -> T) -> Option<T> {
        let logins = self.pending.lock().expect("nothing panics while it holds this lock");
        logins.get(id).filter(|login| now < login.since + LOGIN_LIFE).map(f)
    }

    fn remove(&self, id: &str) {
        self.pending.lock().expect("nothing panics while it holds this lock").remove(id);
    }
}

// === the command line's side ===

pub(crate) async fn begin(mut call: Call) -> Answered {
    let asked: wire::BrowserLoginBegin = call.json().await?;
    let description = asked.description.unwrap_or_else(|| "Heroku CLI login".into());
    let (id, token) = (random_hex(), random_hex());
    let pending = Pending {
        token_hash: Sha256::digest(&token).into(),
        description: description.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARS_MAX).collect(),
        since: call.state.engine.now(),
        outcome: watch::Sender::new(None),
    };
    call.state.logins.insert(id.clone(), pending);
    ok(&wire::BrowserLogin {
        browser_url: format!("/auth/browser/{id}"),
        cli_url: format!("/auth/cli/{id}"),
        token,
    })
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Answers at once and then, with a blank every few seconds, goes on until the user has finished.
pub(crate) async fn wait(call: Call) -> Answered {
    let (id, now) = (call.param("login")?.to_owned(), call.state.engine.now());
    let Some(Credentials::Token(token)) = Credentials::of(&call.parts.headers) else {
        return Err(Refusal::unauthorized().into());
    };
    let hash: [u8; 32] = Sha256::digest(token.expose()).into();
    let login = call.state.logins.with(&id, now, |login| {
        (login.token_hash == hash).then(|| (login.outcome.subscribe(), login.since + LOGIN_LIFE))
    });
    let (outcome, end) = login.flatten().ok_or_else(|| Refusal::not_found("login"))?;
    let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
    let poll = Poll { outcome, deadline: tokio::time::Instant::now() + left, over: false };
    let state = call.state.clone();
    let chunks = stream::unfold(poll, move |mut poll| {
        let (state, id) = (state.clone(), id.clone());
        async move {
            let chunk = poll.next().await?;
            if poll.over {
                state.logins.remove(&id);
            }
            Some((Ok::<_, Infallible>(chunk), poll))
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Answer::Raw(response))
}

struct Poll {
    outcome: watch::Receiver<Option<Secret>>,
    deadline: tokio::time::Instant,
    over: bool,
}

impl Poll {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let done = tokio::time::timeout(KEEP_ALIVE, self.outcome.wait_for(Option::is_some)).await;
        let json = match done {
            Ok(Ok(token)) => serde_json::json!({ "access_token": token.as_ref().map(Secret::expose) }),
            // The sender went: given up for newer logins.
            Ok(Err(_)) => serde_json::json!({ "error": "This login was given up. Log in again." }),
            Err(_silent) if tokio::time::Instant::now() >= self.deadline => {
                serde_json::json!({ "error": "The login took too long. Log in again." })
            }
            Err(_silent) => return Some(Bytes::from_static(b" ")),
        };
        self.over = true;
        Some(json.to_string().into())
    }
}

// === the browser's side ===

pub(crate) async fn show(call: Call) -> Answered {
    let (id, now) = (call.param("login")?, call.state.engine.now());
    let described = call.state.logins.with(id, now, |login| login.description.clone());
    match described {
        Some(description) => page(PageKind::Good, pages::frame(&form(&description, None), &[])),
        None => expired(),
    }
}

pub(crate) async fn submit(mut call: Call) -> Answered {
    let (id, now) = (call.param("login")?.to_owned(), call.state.engine.now());
    let Some(description) = call.state.logins.with(&id, now, |login| login.description.clone()) else {
        return expired();
    };
    let fields: HashMap<String, String> = form_urlencoded::parse(&call.bytes().await?).into_owned().collect();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let (email, password, code) = (field("email"), Secret::new(field("password")), pages::code(&fields));
    let engine = &call.state.engine;
    let caller = match call.state.logins.passwords.check(engine, email, password, code).await {
        Ok(caller) => caller,
        Err(refusal) if refusal.fault == Fault::Internal => return Err(refusal.into()),
        Err(refusal) => {
            let again = pages::frame(&form(&description, Some(&refusal.say)), &[]);
            return page_refused(&refusal.into(), again);
        }
    };
    let new = TokenNew { description, scopes: vec![TokenScope::Global], life: Some(TOKEN_LIFE) };
    let (_, value) = engine.session_begin(caller.account.id, new).await?;
    call.state.logins.with(&id, now, |login| login.outcome.send_replace(Some(value)));
    let body = "<h1>Logged in</h1><p>You can close this page and go back to your terminal.</p>";
    page(PageKind::Good, pages::frame(body, &[]))
}

fn expired() -> Answered {
    let body = "<h1>This login is over</h1><p>Run <code>heroku login</code> again.</p>";
    page(PageKind::Gone, pages::frame(body, &[]))
}

/// The description comes from whoever began the login: it is shown as what he says, and escaped.
fn form(description: &str, refused: Option<&str>) -> String {
    let refused = pages::refused(refused);
    format!(
        "<h1>Log in</h1>\
         <p>A command line asks for access to your account. It calls itself: <b>{}</b></p>\
         <p>Go on only if you have just run <code>heroku login</code> yourself.</p>{refused}\
         <form method=\"post\">{CREDENTIALS}<button>Log in</button></form>",
        escape(description)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_cannot_leave_its_place() {
        let page = form("<script>alert('x')</script>\"", Some("a & b"));
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b"));
    }

    #[test]
    fn logins_are_bounded_and_expire() {
        let (logins, start) = (Logins::default(), "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let pending = |since| Pending {
            token_hash: [0; 32],
            description: String::new(),
            since,
            outcome: watch::Sender::new(None),
        };
        for n in 0..LOGINS_MAX + 5 {
            logins.insert(n.to_string(), pending(start + SignedDuration::from_millis(n as i64)));
        }
        assert_eq!(logins.pending.lock().unwrap().len(), LOGINS_MAX);
        assert!(logins.with("0", start, |_| ()).is_none());
        assert!(logins.with("500", start, |_| ()).is_some());
        assert!(logins.with("500", start + LOGIN_LIFE + LOGIN_LIFE, |_| ()).is_none());
    }
}

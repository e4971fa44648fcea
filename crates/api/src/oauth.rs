//! The web side of OAuth: the page where an account lets a client in, and the token address that client libraries know.
//!
//! ```text
//! client's site ──> GET /oauth/authorize?client_id&response_type=code&scope&state
//!                     page: who asks, for what; e-mail, password; Allow or Deny
//!                   POST (the same address) ──303──> redirect_uri?code&state   or ?error=access_denied&state
//! client's server ──> POST /oauth/token (form) ──> access and refresh token
//! ```
//!
//! Whoever allows gives his password on the page: there is no cookie that another site could use.

use std::collections::HashMap;

use renga_engine::operations::{TokenNew, parse_scopes};
use renga_model::{Fault, OauthClient, OauthClientId, Refusal, Secret, TokenScope};
use renga_wire as wire;

use crate::{
    answer::{Answered, PageKind, oauth_refused, page, page_refused, see_other, unkept},
    call::Call,
    error::Problem,
    handlers::tokens::Given,
    pages::{self, CREDENTIALS, escape},
};

/// Characters of `state`, which is handed back as it came (ours).
const STATE_CHARS_MAX: usize = 2_000;

/// What a client's site sent its user here for.
struct Asked {
    client: OauthClient,
    scopes: Vec<TokenScope>,
    state: Option<String>,
}

pub(crate) async fn ask(call: Call) -> Answered {
    match Asked::of(&call).await {
        Ok(asked) => page(PageKind::Good, asked.page(None)),
        Err(refusal) if refusal.fault == Fault::Internal => Err(refusal.into()),
        Err(refusal) => page(PageKind::Bad, no_such_request(&refusal)),
    }
}

pub(crate) async fn decide(mut call: Call) -> Answered {
    let asked = match Asked::of(&call).await {
        Ok(asked) => asked,
        Err(refusal) if refusal.fault == Fault::Internal => return Err(refusal.into()),
        Err(refusal) => return page(PageKind::Bad, no_such_request(&refusal)),
    };
    let fields: HashMap<String, String> = form_urlencoded::parse(&call.bytes().await?).into_owned().collect();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    if field("decision") != "allow" {
        return see_other(&asked.back(&[("error", "access_denied")]));
    }
    let (engine, password) = (&call.state.engine, Secret::new(field("password")));
    let code = pages::code(&fields);
    let caller = match call.state.logins.passwords.check(engine, field("email"), password, code).await {
        Ok(caller) => caller,
        Err(refusal) if refusal.fault == Fault::Internal => return Err(refusal.into()),
        Err(refusal) => return page_refused(&refusal.clone().into(), asked.page(Some(&refusal.say))),
    };
    let new = TokenNew { description: asked.client.name.clone(), scopes: asked.scopes.clone(), life: None };
    let granted = engine.grant_create(caller.account.id, asked.client.id, new).await?;
    see_other(&asked.back(&[("code", granted.code.expose())]))
}

impl Asked {
    async fn of(call: &Call) -> Result<Self, Refusal> {
        let query = call.parts.uri.query().unwrap_or_default();
        let fields: HashMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let id: OauthClientId =
            field("client_id").parse().map_err(|_| Refusal::invalid("The address names no client."))?;
        let client = call.state.engine.client_find(id).await?;
        if field("response_type") != "code" {
            return Err(Refusal::invalid("response_type: must be \"code\"."));
        }
        if fields.get("redirect_uri").is_some_and(|uri| *uri != client.redirect_uri) {
            return Err(Refusal::invalid("redirect_uri: is not the one that the client is registered with."));
        }
        let scopes = parse_scopes(field("scope").split([',', ' ', '+']).filter(|word| !word.is_empty()))?;
        if scopes.contains(&TokenScope::Global) && scopes.len() > 1 {
            return Err(Refusal::invalid("scope: global goes with no other."));
        }
        let state = fields.get("state").cloned();
        if state.as_ref().is_some_and(|state| state.chars().count() > STATE_CHARS_MAX) {
            return Err(Refusal::invalid(format!("state: may have at most {STATE_CHARS_MAX} characters.")));
        }
        Ok(Self { client, scopes, state })
    }

    fn page(&self, refused: Option<&str>) -> axum::response::Response {
        let items: String =
            self.scopes.iter().map(|scope| format!("<li>{}</li>", in_words(*scope))).collect();
        let (name, uri) = (escape(&self.client.name), escape(origin(&self.client.redirect_uri)));
        let refused = pages::refused(refused);
        let body = format!(
            "<h1>Let {name} in?</h1><p><b>{name}</b> ({uri}) asks to act for your account. It could:</p>\
             <ul>{items}</ul><p>You can take this back at any time: <code>heroku authorizations</code>.</p>{refused}\
             <form method=\"post\">{CREDENTIALS}<button name=\"decision\" value=\"allow\">Allow</button>\
             <button name=\"decision\" value=\"deny\" formnovalidate>Deny</button></form>"
        );
        pages::frame(&body, &[origin(&self.client.redirect_uri)])
    }

    /// The client's address with these, and the state that it sent.
    fn back(&self, pairs: &[(&str, &str)]) -> String {
        let uri = &self.client.redirect_uri;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        query.extend_pairs(self.state.iter().map(|state| ("state", state)));
        format!("{uri}{}{}", if uri.contains('?') { '&' } else { '?' }, query.finish())
    }
}

fn no_such_request(refusal: &Refusal) -> axum::response::Response {
    let say = escape(&refusal.say);
    let body =
        format!("<h1>This can't be allowed</h1><p>{say}</p><p>Tell whoever runs the site that sent you.</p>");
    pages::frame(&body, &[])
}

fn origin(uri: &str) -> &str {
    let host = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[host..].find(['/', '?']).map_or(uri.len(), |at| host + at);
    &uri[..end]
}

fn in_words(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Global => "do everything that you can do",
        TokenScope::Identity => "see who you are",
        TokenScope::Read => "see your apps, without config vars and releases",
        TokenScope::Write => "change your apps, without config vars and releases",
        TokenScope::ReadProtected => "see your apps, with config vars and releases",
        TokenScope::WriteProtected => "change your apps, with config vars and releases",
    }
}

// === the token address ===

pub(crate) async fn token(mut call: Call) -> Answered {
    let fields: HashMap<String, String> = form_urlencoded::parse(&call.bytes().await?).into_owned().collect();
    let field = |name: &str| fields.get(name).cloned();
    let secret = field("client_secret").or_else(|| basic_secret(&call)).unwrap_or_default();
    let kind = field("grant_type").unwrap_or_default();
    let given = Given { kind: kind.clone(), code: field("code"), refresh: field("refresh_token") };
    match given.exchange(&call, &secret).await {
        Ok(exchanged) => {
            let token = &exchanged.token;
            let left = token.expires_at.map(|at| at.as_second() - call.state.engine.now().as_second());
            unkept(&wire::TokenAnswer {
                access_token: exchanged.access.expose().to_owned(),
                expires_in: left.unwrap_or_default(),
                refresh_token: exchanged.refresh.expose().to_owned(),
                token_type: "Bearer".into(),
                user_id: token.account.uuid(),
                session_nonce: None,
            })
        }
        Err(problem) => match &problem {
            Problem::Refused(Refusal { fault: Fault::Unauthorized, .. }) => {
                oauth_refused("invalid_client", &problem)
            }
            Problem::Refused(Refusal { fault: Fault::Invalid, .. }) => {
                let known = ["authorization_code", "refresh_token"].contains(&kind.as_str());
                oauth_refused(if known { "invalid_grant" } else { "unsupported_grant_type" }, &problem)
            }
            _ => Err(problem),
        },
    }
}

/// Client libraries may send id and secret in the header instead.
fn basic_secret(call: &Call) -> Option<String> {
    match crate::gate::Credentials::of(&call.parts.headers)? {
        crate::gate::Credentials::Pair { password, .. } => Some(password.expose().to_owned()),
        crate::gate::Credentials::Token(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_end_where_the_path_begins() {
        for (uri, expected) in [
            ("https://example.com/a/b?c", "https://example.com"),
            ("https://example.com:8443?c=/", "https://example.com:8443"),
            ("http://localhost", "http://localhost"),
        ] {
            assert_eq!(origin(uri), expected);
        }
    }
}

//! The frame of our few pages: plain HTML, no script, nothing from elsewhere, no cookies.

use std::collections::HashMap;

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use renga_model::Secret;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;\
    color:#222;background:#fff}label{display:block;margin:.8rem 0}input{display:block;width:100%;padding:.5rem;\
    font:inherit;box-sizing:border-box}button{padding:.5rem 1.5rem;margin-right:.5rem;font:inherit}.refused{color:#a00}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1d}.refused{color:#f77}}";

/// `leads_to`: origins that a form may lead to beside our own (`https://example.com`).
pub(crate) fn frame(body: &str, leads_to: &[&str]) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Renga</title><style>{STYLE}</style><main>{body}</main></html>"
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        leads_to.join(" ")
    );
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub(crate) fn escape(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&#39;".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(escaped).collect()
}

pub(crate) fn refused(say: Option<&str>) -> String {
    say.map(|say| format!("<p class=\"refused\" role=\"alert\">{}</p>", escape(say))).unwrap_or_default()
}

/// E-mail, password and code, to stand inside a form.
pub(crate) const CREDENTIALS: &str = "<label>E-mail <input name=\"email\" type=\"text\" autocomplete=\"username\" \
    required autofocus></label><label>Password <input name=\"password\" type=\"password\" \
    autocomplete=\"current-password\" required></label><label>Two-factor code, if you have enabled it <input \
    name=\"code\" type=\"text\" autocomplete=\"one-time-code\"></label>";

/// The code of [`CREDENTIALS`]; an empty field is none.
pub(crate) fn code(fields: &HashMap<String, String>) -> Option<Secret> {
    fields.get("code").map(|code| code.trim()).filter(|code| !code.is_empty()).map(Secret::new)
}

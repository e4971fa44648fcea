//! The pages behind links that work once: choose a password, and the account is yours, or yours again.

use std::collections::HashMap;

use renga_model::{Fault, OneTimeKind, Refusal, Secret};

use crate::{
    answer::{Answered, PageKind, page, page_refused},
    call::Call,
    pages::{self, escape},
};

pub(crate) async fn invitation(call: Call) -> Answered {
    show(&call, OneTimeKind::Invitation).await
}
pub(crate) async fn invitation_accept(call: Call) -> Answered {
    accept(call, OneTimeKind::Invitation).await
}
pub(crate) async fn reset(call: Call) -> Answered {
    show(&call, OneTimeKind::PasswordReset).await
}
pub(crate) async fn reset_accept(call: Call) -> Answered {
    accept(call, OneTimeKind::PasswordReset).await
}

async fn show(call: &Call, kind: OneTimeKind) -> Answered {
    let value = Secret::new(call.param("link")?);
    match call.state.engine.link_find(kind, &value).await {
        Ok(link) => page(PageKind::Good, form(kind, &link.subject, None)),
        Err(refusal) => over(refusal),
    }
}

async fn accept(mut call: Call, kind: OneTimeKind) -> Answered {
    let value = Secret::new(call.param("link")?);
    let fields: HashMap<String, String> = form_urlencoded::parse(&call.bytes().await?).into_owned().collect();
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let engine = &call.state.engine;
    let email = match engine.link_find(kind, &value).await {
        Ok(link) => link.subject,
        Err(refusal) => return over(refusal),
    };
    if field("password") != field("password_confirmation") {
        let say = "The two passwords differ.";
        return page_refused(&Refusal::invalid(say).into(), form(kind, &email, Some(say)));
    }
    let password = Secret::new(field("password"));
    let accepted = match kind {
        OneTimeKind::Invitation => engine.invitation_accept(value, password).await,
        _ => engine.reset_accept(value, password).await.map(|(account, _)| account),
    };
    match accepted {
        Ok(account) => page(PageKind::Good, done(&account.email)),
        Err(refusal) if matches!(refusal.fault, Fault::Invalid) => {
            page_refused(&refusal.clone().into(), form(kind, &email, Some(&refusal.say)))
        }
        Err(refusal) => over(refusal),
    }
}

fn over(refusal: Refusal) -> Answered {
    match refusal.fault {
        Fault::NotFound(_) => {
            let body = format!("<h1>This link is over</h1><p>{}</p>", escape(&refusal.say));
            page(PageKind::Gone, pages::frame(&body, &[]))
        }
        _ => Err(refusal.into()),
    }
}

fn form(kind: OneTimeKind, email: &str, refused: Option<&str>) -> axum::response::Response {
    let (email, refused) = (escape(email), pages::refused(refused));
    let (title, button) = match kind {
        OneTimeKind::Invitation => ("Welcome", "Make the account"),
        _ => ("A new password", "Set the password"),
    };
    let body = format!(
        "<h1>{title}</h1><p>Choose a password for <b>{email}</b>.</p>{refused}<form method=\"post\">\
         <input type=\"hidden\" name=\"email\" autocomplete=\"username\" value=\"{email}\">\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"new-password\" minlength=\"8\" \
         required autofocus></label><label>The same again <input name=\"password_confirmation\" type=\"password\" \
         autocomplete=\"new-password\" required></label><button>{button}</button></form>"
    );
    pages::frame(&body, &[])
}

fn done(email: &str) -> axum::response::Response {
    let email = escape(email);
    let body = format!(
        "<h1>Done</h1><p>You can log in as <b>{email}</b> now: <code>heroku login</code>, or <code>renga login</code>.</p>"
    );
    pages::frame(&body, &[])
}

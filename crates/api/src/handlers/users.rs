//! Accounts, for the operator.

use renga_engine::operations::Link;
use renga_model::{Account, Secret};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn list(call: Call) -> Answered {
    list_answer(&["email", "id"], call.state.engine.user_list().await?.iter().map(wire::User::new))
}

pub(crate) async fn info(call: Call) -> Answered {
    ok(&wire::User::new(&named(&call).await?))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::UserCreate = call.json().await?;
    let engine = &call.state.engine;
    match asked.password {
        Some(password) => {
            let account = engine.account_create(asked.email, Secret::new(password)).await?;
            created(&wire::UserLink { email: account.email, url: None, expires_at: None, mailed: false })
        }
        None => created(&shown(&asked.email, &engine.invitation_create(asked.email.clone()).await?)),
    }
}

pub(crate) async fn disable(call: Call) -> Answered {
    suspend(&call, true).await
}

pub(crate) async fn enable(call: Call) -> Answered {
    suspend(&call, false).await
}

async fn suspend(call: &Call, suspended: bool) -> Answered {
    let (operator, user) = (call.caller()?.account.id, named(call).await?.id);
    ok(&wire::User::new(&call.state.engine.user_suspend(operator, user, suspended).await?))
}

pub(crate) async fn reset_password(call: Call) -> Answered {
    let user = named(&call).await?;
    let link = call.state.engine.reset_create(user.email.clone()).await?;
    let link = link.ok_or_else(|| Problem::from(renga_model::Refusal::not_found("user")))?;
    created(&shown(&user.email, &link))
}

/// For whoever has lost the device and the recovery codes.
pub(crate) async fn disable_two_factor(call: Call) -> Answered {
    let user = named(&call).await?;
    call.state.engine.two_factor_disable(user.id).await?;
    ok(&wire::User::new(&named(&call).await?))
}

async fn named(call: &Call) -> Result<Account, Problem> {
    Ok(call.state.engine.user_find(call.param("user")?).await?)
}

fn shown(email: &str, link: &Link) -> wire::UserLink {
    let (url, expires_at) = (link.url.expose().to_owned(), link.expires_at.into());
    wire::UserLink {
        email: email.to_owned(),
        url: Some(url),
        expires_at: Some(expires_at),
        mailed: link.mailed,
    }
}

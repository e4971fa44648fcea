//! The second factor of the caller. Heroku has it on its dashboard only; its command line asks whether it is enabled.

use renga_model::Secret;
use renga_wire as wire;

use super::accounts::proven;
use crate::{
    answer::{Answered, created, ok},
    call::Call,
};

/// The password is asked for: a token that was found must not shut its owner out.
pub(crate) async fn begin(mut call: Call) -> Answered {
    let asked: wire::PasswordGiven = call.json().await?;
    let account = call.caller()?.account.clone();
    proven(&call, &account, Secret::new(asked.password)).await?;
    let begun = call.state.engine.two_factor_begin(&account).await?;
    let (secret, url) = (begun.secret.expose().to_owned(), begun.url.expose().to_owned());
    created(&wire::TwoFactorBegun { secret, url })
}

pub(crate) async fn enable(mut call: Call) -> Answered {
    let asked: wire::CodeGiven = call.json().await?;
    let (engine, account) = (&call.state.engine, call.caller()?.account.id);
    let codes = engine.two_factor_enable(account, Secret::new(asked.code)).await?;
    let recovery_codes = codes.iter().map(|code| code.expose().to_owned()).collect();
    ok(&wire::TwoFactorEnabled { recovery_codes })
}

/// Takes the password and, in its header, a code.
pub(crate) async fn disable(mut call: Call) -> Answered {
    let asked: wire::PasswordGiven = call.json().await?;
    let account = call.caller()?.account.clone();
    proven(&call, &account, Secret::new(asked.password)).await?;
    call.state.engine.two_factor_disable(account.id).await?;
    ok(&wire::Account::new(&call.state.engine.account_fetch(account.id).await?))
}

//! The caller's account. `~`, its id and its e-mail all mean it; there is no other that a caller may see.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use renga_engine::operations::{AccountChange, check_password};
use renga_model::{Account, Fault, Refusal, Secret};
use renga_wire as wire;

use crate::{
    answer::{Answered, ok},
    call::Call,
    error::Problem,
    gate::{self, two_factor_code},
};

/// All preferences of an account together, as JSON (ours).
const PREFERENCES_BYTES_MAX: usize = 16 * 1024;
/// Of an invoice address, as JSON (ours).
const INVOICE_ADDRESS_BYTES_MAX: usize = 4 * 1024;

pub(crate) async fn info(call: Call) -> Answered {
    shown(&call, &call.caller()?.account).await
}

pub(crate) async fn info_by_user(call: Call) -> Answered {
    shown(&call, own(&call)?).await
}

async fn shown(call: &Call, account: &Account) -> Answered {
    let team = call.state.engine.team_default(account.id).await?;
    ok(&wire::Account::new(account).with_default_team(team.as_ref()))
}

/// The account that the path names, which must be the caller's own.
pub(super) fn own(call: &Call) -> Result<&Account, Problem> {
    let (account, named) = (&call.caller()?.account, call.param("account")?);
    if gate::is_oneself(call.caller()?, named) { Ok(account) } else { Err(Refusal::not_found("user").into()) }
}

pub(crate) async fn update(call: Call) -> Answered {
    change(call).await
}

pub(crate) async fn update_by_user(call: Call) -> Answered {
    own(&call)?;
    change(call).await
}

async fn change(mut call: Call) -> Answered {
    let asked: wire::AccountUpdate = call.json().await?;
    let (account, token) = (call.caller()?.account.clone(), call.caller()?.token().map(|token| token.id));
    let engine = &call.state.engine;
    if asked.email.is_some() || asked.new_password.is_some() {
        let password = asked.password.ok_or_else(|| {
            Refusal::invalid("password: your current password is needed to change e-mail or password.")
        })?;
        proven(&call, &account, Secret::new(password)).await?;
    }
    let new_password = asked.new_password.map(Secret::new);
    // A request that is refused changes nothing.
    new_password.as_ref().map_or(Ok(()), check_password)?;
    let change = AccountChange {
        email: asked.email,
        name: asked.name,
        allow_tracking: asked.allow_tracking,
        beta: asked.beta,
    };
    let changed = engine.account_update(account.id, change).await?;
    if let Some(password) = new_password {
        engine.password_set(account.id, password, token).await?;
    }
    ok(&wire::Account::new(&changed))
}

/// A wrong password is 403 here: 401 would make clients log in anew.
pub(super) async fn proven(call: &Call, account: &Account, password: Secret) -> Result<(), Problem> {
    let (engine, code) = (&call.state.engine, two_factor_code(&call.parts.headers));
    match call.state.logins.passwords.check(engine, account.email.clone(), password, code).await {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.fault == Fault::Unauthorized => {
            Err(Refusal::forbidden("The current password is wrong.").into())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub(crate) async fn delete(call: Call) -> Answered {
    destroy(call).await
}

pub(crate) async fn delete_by_user(call: Call) -> Answered {
    own(&call)?;
    destroy(call).await
}

/// The password comes in a header of its own, as it is or in base64.
async fn destroy(call: Call) -> Answered {
    let account = call.caller()?.account.clone();
    let header = |name: &str| call.parts.headers.get(name).and_then(|value| value.to_str().ok());
    let decoded = |text: &str| STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let password = header("heroku-password-base64").and_then(decoded);
    let password = password.or_else(|| header("heroku-password").map(str::to_owned)).ok_or_else(|| {
        Refusal::invalid("Your password is needed in the header Heroku-Password (or Heroku-Password-Base64).")
    })?;
    proven(&call, &account, Secret::new(password)).await?;
    ok(&wire::Account::new(&call.state.engine.account_destroy(account.id).await?))
}

pub(crate) async fn rate_limit(call: Call) -> Answered {
    let remaining = call.state.limiter.take(call.caller()?, 0, call.state.engine.now())?;
    ok(&wire::RateLimit { remaining })
}

pub(crate) async fn delinquency(_: Call) -> Answered {
    ok(&wire::Delinquency::default())
}

// === preferences ===

pub(crate) async fn preferences(call: Call) -> Answered {
    let account = own(&call)?.id;
    ok(&kept(&call.state.engine.preferences(account).await?)?)
}

pub(crate) async fn preferences_update(mut call: Call) -> Answered {
    let asked: wire::PreferencesUpdate = call.json().await?;
    let account = own(&call)?.id;
    let engine = &call.state.engine;
    let updated = kept(&engine.preferences(account).await?)?.updated(asked);
    let json = serde_json::to_string(&updated).map_err(Problem::internal)?;
    if json.len() > PREFERENCES_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "Preferences may take {PREFERENCES_BYTES_MAX} bytes together."
        ))
        .into());
    }
    engine.preferences_set(account, json).await?;
    ok(&updated)
}

fn kept(json: &str) -> Result<wire::Preferences, Problem> {
    serde_json::from_str(json).map_err(Problem::internal)
}

// === what nobody is billed for ===

pub(crate) async fn invoice_address(call: Call) -> Answered {
    let account = &call.caller()?.account;
    let json = call.state.engine.invoice_address(account.id).await?;
    let kept: wire::InvoiceAddressPut = serde_json::from_str(&json).map_err(Problem::internal)?;
    ok(&kept.shown(account.email.clone()))
}

pub(crate) async fn invoice_address_put(mut call: Call) -> Answered {
    let asked: wire::InvoiceAddressPut = call.json().await?;
    let account = call.caller()?.account.clone();
    let json = serde_json::to_string(&asked).map_err(Problem::internal)?;
    if json.len() > INVOICE_ADDRESS_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "An invoice address may take {INVOICE_ADDRESS_BYTES_MAX} bytes."
        ))
        .into());
    }
    call.state.engine.invoice_address_set(account.id, json).await?;
    ok(&asked.shown(account.email))
}

/// Nobody is billed, so nobody hands out codes: whichever it is, it is not one.
pub(crate) async fn credit_create(mut call: Call) -> Answered {
    let _: wire::CreditCreate = call.json().await?;
    Err(Refusal::invalid("Invalid credit code. This platform bills nobody and has given out no codes.")
        .into())
}

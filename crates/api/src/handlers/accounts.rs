//! The caller's account. `~`, its id and its e-mail all mean it; there is no other that a caller may see.

use renga_model::{Account, Refusal};
use renga_wire as wire;

use crate::{
    answer::{Answered, ok},
    call::Call,
    error::Problem,
    gate,
};

pub(crate) async fn info(call: Call) -> Answered {
    ok(&wire::Account::new(&call.caller()?.account))
}

pub(crate) async fn info_by_user(call: Call) -> Answered {
    ok(&wire::Account::new(own(&call)?))
}

/// The account that the path names, which must be the caller's own.
pub(super) fn own(call: &Call) -> Result<&Account, Problem> {
    let (account, named) = (&call.caller()?.account, call.param("account")?);
    if gate::is_oneself(call.caller()?, named) { Ok(account) } else { Err(Refusal::not_found("user").into()) }
}

pub(crate) async fn rate_limit(call: Call) -> Answered {
    let account = call.caller()?.account.id;
    let remaining = call.state.limiter.take(account, 0, call.state.engine.now())?;
    ok(&wire::RateLimit { remaining })
}

pub(crate) async fn delinquency(_: Call) -> Answered {
    ok(&wire::Delinquency::default())
}

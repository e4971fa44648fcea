//! Sessions: log-ins, each with what it holds.

use renga_model::{Refusal, SessionId};
use renga_wire as wire;

use crate::{
    answer::{Answered, list as list_answer, ok},
    call::Call,
};

pub(crate) async fn list(call: Call) -> Answered {
    let (engine, account) = (&call.state.engine, call.caller()?.account.id);
    let (tokens, now) = (engine.token_list(account).await?, engine.now());
    list_answer(&["id", "updated_at"], tokens.iter().filter_map(|token| wire::Session::of(token, now)))
}

/// `~` is the session of the token that asks.
pub(crate) async fn delete(call: Call) -> Answered {
    let (caller, named) = (call.caller()?, call.param("session")?);
    let session: Option<SessionId> = match named {
        "~" => caller.token().and_then(|token| token.session),
        named => named.parse().ok(),
    };
    let session = session.ok_or_else(|| Refusal::not_found("session"))?;
    let ended = call.state.engine.session_end(caller.account.id, session).await?;
    let shown = wire::Session::of(&ended, call.state.engine.now());
    ok(&shown.ok_or_else(|| Refusal::not_found("session"))?)
}

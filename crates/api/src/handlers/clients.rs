//! OAuth clients: programs that ask accounts for access.

use renga_model::{OauthClientId, Refusal};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    gate,
};

pub(crate) async fn list(call: Call) -> Answered {
    let clients = call.state.engine.client_list(call.caller()?.account.id).await?;
    list_answer(&["id", "name", "updated_at"], clients.iter().map(wire::Client::for_owner))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::ClientCreate = call.json().await?;
    let account = call.caller()?.account.id;
    let client = call.state.engine.client_create(account, asked.name, asked.redirect_uri).await?;
    created(&wire::Client::for_owner(&client))
}

pub(crate) async fn info(call: Call) -> Answered {
    let client = call.state.engine.client_find(named(&call)?).await?;
    let caller = gate::authenticate_for(&call.state, &call.parts.headers, gate::Need::Global).await.ok();
    let owns = caller.is_some_and(|caller| caller.account.id == client.account);
    ok(&if owns { wire::Client::for_owner(&client) } else { wire::Client::for_anybody(&client) })
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::ClientUpdate = call.json().await?;
    let (account, id) = (call.caller()?.account.id, named(&call)?);
    let client = call.state.engine.client_update(account, id, asked.name, asked.redirect_uri).await?;
    ok(&wire::Client::for_owner(&client))
}

pub(crate) async fn rotate(call: Call) -> Answered {
    let client = call.state.engine.client_rotate(call.caller()?.account.id, named(&call)?).await?;
    ok(&wire::Client::for_owner(&client))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let client = call.state.engine.client_delete(call.caller()?.account.id, named(&call)?).await?;
    ok(&wire::Client::for_owner(&client))
}

fn named(call: &Call) -> Result<OauthClientId, crate::error::Problem> {
    Ok(parse_id(call.param("client")?)?)
}

/// What is no id names no client.
pub(super) fn parse_id(text: &str) -> Result<OauthClientId, Refusal> {
    text.parse().map_err(|_| Refusal::not_found("oauth client"))
}

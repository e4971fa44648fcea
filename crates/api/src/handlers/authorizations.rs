//! Authorizations: API tokens, as the API names them.

use std::time::Duration;

use renga_engine::operations::{Caller, TokenNew, parse_scopes};
use renga_model::{OauthClient, Refusal, Secret, Token, TokenId};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    handlers::clients,
};

/// Shown for a token whose maker gave no description (Heroku: the same).
const NO_DESCRIPTION: &str = "Long-lived user authorization";

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::AuthorizationCreate = call.json().await?;
    let new = TokenNew {
        description: asked.description.unwrap_or_else(|| NO_DESCRIPTION.into()),
        scopes: parse_scopes(asked.scope.iter().flatten().map(String::as_str))?,
        life: life(asked.expires_in.as_ref())?,
    };
    if let Some(client) = asked.client {
        return grant(&call, &client, new).await;
    }
    let (caller, engine) = (call.caller()?, &call.state.engine);
    let account = caller.account.id;
    let (token, value) = match caller.token() {
        Some(_) => engine.token_create(account, new).await?,
        None => engine.session_begin(account, new).await?,
    };
    created(&wire::Authorization::new(&token, None, &caller.account, Some(value.expose()), engine.now()))
}

/// For a client: it gets a code, and exchanges that for tokens.
async fn grant(call: &Call, client: &str, new: TokenNew) -> Answered {
    let (account, engine) = (&call.caller()?.account, &call.state.engine);
    if new.life.is_some() {
        return Err(Refusal::invalid("expires_in: a client's access tokens have a life of their own.").into());
    }
    let granted = engine.grant_create(account.id, clients::parse_id(client)?, new).await?;
    let (token, now) = (&granted.token, engine.now());
    let shown = wire::Authorization::new(token, Some(&granted.client), account, None, now);
    created(&shown.with_grant(granted.code.expose(), token, now))
}

fn life(asked: Option<&wire::NumberText>) -> Result<Option<Duration>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    let seconds =
        asked.number().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let refuse = || Refusal::invalid("expires_in: must be a number of seconds above 0.");
    seconds.map(Duration::from_secs).map(Some).ok_or_else(refuse)
}

pub(crate) async fn list(call: Call) -> Answered {
    let (caller, engine) = (call.caller()?, &call.state.engine);
    let tokens = engine.token_list(caller.account.id).await?;
    let clients = engine.clients_of(&tokens).await?;
    let shown =
        tokens.iter().zip(&clients).map(|(token, client)| shown(&call, caller, token, client.as_ref()));
    list_answer(&["id", "updated_at"], shown)
}

pub(crate) async fn info(call: Call) -> Answered {
    answered(&call, &find(&call).await?).await
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::AuthorizationUpdate = call.json().await?;
    let token = find(&call).await?;
    let client = match asked.client {
        Some(proof) => Some((clients::parse_id(&proof.id)?, Secret::new(proof.secret))),
        None => None,
    };
    let account = call.caller()?.account.id;
    let token = call.state.engine.token_describe(account, token.id, asked.description, client).await?;
    answered(&call, &token).await
}

pub(crate) async fn delete(call: Call) -> Answered {
    let token = find(&call).await?;
    let client = call.state.engine.clients_of(std::slice::from_ref(&token)).await?.remove(0);
    let caller = call.caller()?;
    let token = call.state.engine.token_delete(caller.account.id, token.id).await?;
    ok(&shown(&call, caller, &token, client.as_ref()))
}

pub(crate) async fn regenerate(call: Call) -> Answered {
    let (token, engine) = (find(&call).await?, &call.state.engine);
    let account = &call.caller()?.account;
    let (token, value) = engine.token_regenerate(account.id, token.id).await?;
    let client = engine.clients_of(std::slice::from_ref(&token)).await?.remove(0);
    let value = Some(value.expose());
    created(&wire::Authorization::new(&token, client.as_ref(), account, value, engine.now()))
}

/// `~` is the account's default authorization: its oldest that never expires. Clients spare it when they log out.
async fn find(call: &Call) -> Result<Token, Problem> {
    let (account, named) = (call.caller()?.account.id, call.param("authorization")?);
    let not_found = || Refusal::not_found("authorization");
    if named == "~" {
        let mut tokens = call.state.engine.token_list(account).await?;
        tokens.retain(|token| token.expires_at.is_none());
        return Ok(tokens.into_iter().min_by_key(|token| token.created_at).ok_or_else(not_found)?);
    }
    let id: TokenId = named.parse().map_err(|_| not_found())?;
    Ok(call.state.engine.token_fetch(account, id).await?)
}

async fn answered(call: &Call, token: &Token) -> Answered {
    let client = call.state.engine.clients_of(std::slice::from_ref(token)).await?.remove(0);
    ok(&shown(call, call.caller()?, token, client.as_ref()))
}

fn shown(call: &Call, caller: &Caller, token: &Token, client: Option<&OauthClient>) -> wire::Authorization {
    let value = caller.value_of(token).map(|value| value.expose());
    wire::Authorization::new(token, client, &caller.account, value, call.state.engine.now())
}

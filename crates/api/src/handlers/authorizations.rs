//! Authorizations: API tokens, as the API names them.

use std::time::Duration;

use renga_engine::operations::{Caller, TokenNew};
use renga_model::{Refusal, Token, TokenId, TokenScope};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

/// Shown for a token whose maker gave no description (Heroku: the same).
const NO_DESCRIPTION: &str = "Long-lived user authorization";

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::AuthorizationCreate = call.json().await?;
    if asked.client.is_some() {
        return Err(Refusal::invalid("client: OAuth clients are not offered yet.").into());
    }
    let new = TokenNew {
        description: asked.description.unwrap_or_else(|| NO_DESCRIPTION.into()),
        scopes: scopes(asked.scope)?,
        life: life(asked.expires_in.as_ref())?,
    };
    let caller = call.caller()?;
    let (token, value) = call.state.engine.token_create(caller.account.id, new).await?;
    let now = call.state.engine.now();
    created(&wire::Authorization::new(&token, &caller.account, Some(value.expose()), now))
}

fn scopes(asked: Option<Vec<String>>) -> Result<Vec<TokenScope>, Refusal> {
    let asked = asked.filter(|scopes| !scopes.is_empty()).unwrap_or_else(|| vec!["global".into()]);
    let parse = |text: &String| {
        TokenScope::parse(text).ok_or_else(|| Refusal::invalid(format!("scope: there is no scope {text:?}.")))
    };
    asked.iter().map(parse).collect()
}

fn life(asked: Option<&wire::NumberText>) -> Result<Option<Duration>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    let seconds =
        asked.number().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let refuse = || Refusal::invalid("expires_in: must be a number of seconds above 0.");
    seconds.map(Duration::from_secs).map(Some).ok_or_else(refuse)
}

pub(crate) async fn list(call: Call) -> Answered {
    let caller = call.caller()?;
    let tokens = call.state.engine.token_list(caller.account.id).await?;
    list_answer(&["id", "updated_at"], tokens.iter().map(|token| shown(&call, caller, token)))
}

pub(crate) async fn info(call: Call) -> Answered {
    let token = find(&call).await?;
    ok(&shown(&call, call.caller()?, &token))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let token = find(&call).await?;
    let caller = call.caller()?;
    let token = call.state.engine.token_delete(caller.account.id, token.id).await?;
    ok(&shown(&call, caller, &token))
}

pub(crate) async fn regenerate(call: Call) -> Answered {
    let token = find(&call).await?;
    let account = &call.caller()?.account;
    let (token, value) = call.state.engine.token_regenerate(account.id, token.id).await?;
    created(&wire::Authorization::new(&token, account, Some(value.expose()), call.state.engine.now()))
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

fn shown(call: &Call, caller: &Caller, token: &Token) -> wire::Authorization {
    let value = caller.value_of(token).map(|value| value.expose());
    wire::Authorization::new(token, &caller.account, value, call.state.engine.now())
}

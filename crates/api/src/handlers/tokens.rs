//! Tokens of OAuth clients: a code or a refresh token against an access token.

use renga_engine::operations::Exchanged;
use renga_model::{AccessTokenId, Refusal, Secret};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::OauthTokenCreate = call.json().await?;
    let refresh = asked.refresh_token.and_then(|refresh| refresh.token);
    let kind = asked.grant.kind;
    let given = Given { kind: kind.clone(), code: asked.grant.code.clone(), refresh };
    let exchanged = given.exchange(&call, &asked.client.secret).await?;
    let shown = wire::Shown {
        access: Some(exchanged.access.expose()),
        refresh: Some(exchanged.refresh.expose()),
        client_secret: Some(&asked.client.secret),
        code: asked.grant.code.as_deref(),
    };
    created(&wire::OauthToken::new(&exchanged.token, &kind, shown, call.state.engine.now()))
}

/// What a client brings for an access token.
pub(crate) struct Given {
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) refresh: Option<String>,
}

impl Given {
    pub(crate) async fn exchange(self, call: &Call, secret: &str) -> Result<Exchanged, Problem> {
        let (engine, secret) = (&call.state.engine, Secret::new(secret));
        let lacks = |what: &str| Refusal::invalid(format!("{what}: is needed for this type of grant."));
        let exchanged = match self.kind.as_str() {
            "authorization_code" => {
                let code = self.code.ok_or_else(|| lacks("grant.code"))?;
                engine.grant_exchange(secret, Secret::new(code)).await
            }
            "refresh_token" => {
                let refresh = self.refresh.ok_or_else(|| lacks("refresh_token.token"))?;
                engine.token_refresh(secret, Secret::new(refresh)).await
            }
            _ => Err(Refusal::invalid("grant.type: must be authorization_code or refresh_token.")),
        };
        Ok(exchanged?)
    }
}

pub(crate) async fn delete(call: Call) -> Answered {
    let access: AccessTokenId = call.param("token")?.parse().map_err(|_| Refusal::not_found("token"))?;
    let caller = call.caller()?;
    let token = call.state.engine.access_revoke(caller.account.id, access).await?;
    let shown = wire::Shown { access: caller.value_of(&token).map(Secret::expose), ..wire::Shown::default() };
    let kind = if token.client.is_some() { "authorization_code" } else { "direct" };
    ok(&wire::OauthToken::new(&token, kind, shown, call.state.engine.now()))
}

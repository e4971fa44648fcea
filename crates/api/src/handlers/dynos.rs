//! Dynos: listed, run, restarted, stopped.

use renga_engine::operations::{ExecNew, OneOffNew};
use renga_model::{ProcessType, Refusal, Secret};
use renga_wire as wire;
use serde_json::json;

use crate::{
    answer::{Answered, accepted, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn list(call: Call) -> Answered {
    let app = call.app()?;
    let dynos = call.state.engine.dyno_list(app.id).await?;
    list_answer(&["name", "id"], dynos.iter().filter_map(|dyno| wire::Dyno::new(dyno, app, None)))
}

pub(crate) async fn info(call: Call) -> Answered {
    let app = call.app()?;
    let dyno = call.state.engine.dyno_fetch(app.id, call.param("dyno")?).await?;
    ok(&wire::Dyno::new(&dyno, app, None).ok_or_else(|| Problem::from(Refusal::not_found("dyno")))?)
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::DynoCreate = call.json().await?;
    let process_type = asked.process_type.map(ProcessType::try_from).transpose().map_err(Refusal::from)?;
    let env = asked.env.unwrap_or_default();
    let new = OneOffNew {
        command: asked.command,
        attach: asked.attach.unwrap_or(false),
        env: env.into_iter().map(|(key, value)| (key, Secret::new(value.to_string()))).collect(),
        force_no_tty: asked.force_no_tty.unwrap_or(false),
        size: asked.size,
        process_type,
        time_to_live_s: asked.time_to_live,
    };
    let (app, account) = (call.app()?, &call.caller()?.account);
    let (dyno, secret) = call.state.engine.one_off_create(app, account, new).await?;
    let attach_url = secret.map(|secret| call.state.site.attach_url(secret.expose()));
    let shown = wire::Dyno::new(&dyno, app, attach_url);
    created(&shown.ok_or_else(|| Problem::internal("a one-off dyno was made without a release"))?)
}

/// Runs a process inside it. Heroku's command line asks so for `run:inside`.
pub(crate) async fn exec(mut call: Call) -> Answered {
    let asked: wire::DynoExec = call.json().await?;
    let env = asked.env.unwrap_or_default();
    let new = ExecNew {
        command: asked.command,
        env: env.into_iter().map(|(key, value)| (key, Secret::new(value.to_string()))).collect(),
        force_no_tty: asked.force_no_tty.unwrap_or(false),
    };
    let (app, account) = (call.app()?, &call.caller()?.account);
    let (dyno, secret) = call.state.engine.exec_create(app, account, call.param("dyno")?, new).await?;
    let shown = wire::Dyno::new(&dyno, app, Some(call.state.site.attach_url(secret.expose())));
    created(&shown.ok_or_else(|| Problem::from(Refusal::not_found("dyno")))?)
}

pub(crate) async fn restart_all(call: Call) -> Answered {
    call.state.engine.dynos_restart_all(call.app()?.id).await?;
    accepted(&json!({}))
}

pub(crate) async fn restart_type(call: Call) -> Answered {
    call.state.engine.dynos_restart_type(call.app()?.id, call.param("type")?).await?;
    accepted(&json!({}))
}

pub(crate) async fn restart(call: Call) -> Answered {
    let (app, named) = (call.app()?.id, call.param("dyno")?);
    // Older clients restart a whole type under this address.
    match named.contains('.') || named.parse::<uuid::Uuid>().is_ok() {
        true => call.state.engine.dyno_restart(app, named).await?,
        false => call.state.engine.dynos_restart_type(app, named).await?,
    }
    accepted(&json!({}))
}

pub(crate) async fn stop(call: Call) -> Answered {
    call.state.engine.dyno_stop(call.app()?.id, call.param("dyno")?).await?;
    accepted(&json!({}))
}

pub(crate) async fn stop_type(call: Call) -> Answered {
    call.state.engine.dynos_stop_type(call.app()?.id, call.param("type")?).await?;
    accepted(&json!({}))
}

//! The build API and the uploads that feed it.

use renga_engine::operations::builds as operations;
use renga_model::{Account, Build, BuildSource, Refusal};
use renga_wire as wire;
use serde_json::json;

use crate::{
    answer::{Answered, accepted, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    streams::output,
};

pub(crate) async fn list(call: Call) -> Answered {
    let builds = call.state.engine.build_list(call.app()?.id).await?;
    let shown =
        builds.iter().map(|(build, user)| shown(&call, build, user)).collect::<Result<Vec<_>, _>>()?;
    list_answer(&["created_at", "id"], shown)
}

pub(crate) async fn info(call: Call) -> Answered {
    let (build, user) = call.state.engine.build_fetch(call.app()?.id, call.param("build")?).await?;
    ok(&shown(&call, &build, &user)?)
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::BuildCreate = call.json().await?;
    let (app, account) = (call.app()?, &call.caller()?.account);
    if asked.stack.is_some_and(|stack| stack != app.build_stack.as_str()) {
        let say = format!("stack: the app is built for {}; heroku stack:set changes that.", app.build_stack);
        return Err(Refusal::invalid(say).into());
    }
    let blob = asked.source_blob;
    let source = BuildSource::Url {
        url: blob.url,
        checksum: blob.checksum,
        version: blob.version,
        description: blob.version_description,
    };
    let buildpack = |choice: wire::BuildpackChoice| {
        choice.url.or(choice.name).ok_or_else(|| Refusal::invalid("buildpacks: each needs a url or a name."))
    };
    let buildpacks =
        asked.buildpacks.unwrap_or_default().into_iter().map(buildpack).collect::<Result<_, _>>()?;
    let build = operations::create(&call.state.engine, app.id, account.id, source, buildpacks).await?;
    created(&shown(&call, &build, account)?)
}

pub(crate) async fn cancel(call: Call) -> Answered {
    let (app, account) = (call.app()?.id, &call.caller()?.account);
    let (build, user) = call.state.engine.build_cancel(app, account, call.param("build")?).await?;
    ok(&shown(&call, &build, &user)?)
}

pub(crate) async fn cache_delete(call: Call) -> Answered {
    call.state.engine.build_cache_delete(call.app()?.id).await?;
    accepted(&json!({}))
}

pub(crate) async fn source_create(call: Call) -> Answered {
    let url = call.state.engine.source_create().await?;
    created(&wire::Source { source_blob: wire::SourceUrls { get_url: url.clone(), put_url: url } })
}

fn shown(call: &Call, build: &Build, user: &Account) -> Result<wire::Build, Problem> {
    let app = call.app()?;
    let url = output::url(&call.state, &operations::output(build.id))?;
    Ok(wire::Build::new(build, app, user, &call.state.site.git_url(&app.name), url))
}

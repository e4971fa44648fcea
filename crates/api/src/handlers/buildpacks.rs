//! The buildpacks of an app.

use renga_engine::operations::buildpack_shown;
use renga_model::App;
use renga_wire as wire;

use crate::{
    answer::{Answered, list as list_answer},
    call::Call,
};

pub(crate) async fn list(call: Call) -> Answered {
    installations(call.app()?)
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::BuildpackUpdates = call.json().await?;
    let list = asked.updates.into_iter().map(|update| update.buildpack).collect();
    let app = call.state.engine.buildpacks_put(call.app()?.id, list).await?;
    installations(&app)
}

fn installations(app: &App) -> Answered {
    let one = |(ordinal, buildpack): (usize, &renga_model::Buildpack)| wire::BuildpackInstallation {
        ordinal,
        buildpack: wire::BuildpackName { url: buildpack_shown(buildpack), name: buildpack.0.clone() },
    };
    list_answer(&["ordinal"], app.buildpacks.iter().enumerate().map(one))
}

//! Releases, their config vars, slugs.

use renga_engine::operations::ReleaseView;
use renga_model::Refusal;
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    range::Wanted,
    streams::output,
};

const KEYS: &[&str] = &["version", "id"];
/// Characters of a description that a client gives (ours).
const DESCRIPTION_CHARS_MAX: usize = 255;

/// A long ledger is read in pieces: only as much as the range can show, and one more to know that there is more.
pub(crate) async fn list(call: Call) -> Answered {
    let app = call.app()?;
    let wanted = Wanted::of(&call.parts.headers)?;
    let (limit, after) =
        if wanted.sorted_by("version") { (wanted.max() + 1, wanted.after()) } else { (usize::MAX, None) };
    let views = call.state.engine.release_list(app.id, wanted.descending(), limit, after).await?;
    let shown = views.iter().map(|view| shown(&call, view)).collect::<Result<Vec<_>, _>>()?;
    list_answer(KEYS, shown)
}

pub(crate) async fn info(call: Call) -> Answered {
    let view = call.state.engine.release_fetch(call.app()?.id, call.param("release")?).await?;
    ok(&shown(&call, &view)?)
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::ReleaseCreate = call.json().await?;
    let (app, account, engine) = (call.app()?, &call.caller()?.account, &call.state.engine);
    if asked.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        return Err(Refusal::invalid(format!(
            "description: may have at most {DESCRIPTION_CHARS_MAX} characters."
        ))
        .into());
    }
    let view = match (asked.release, asked.slug, asked.oci_image) {
        (Some(release), None, None) => engine.release_rollback(app, account, &release).await?,
        (None, Some(slug), None) => engine.release_slug(app, account, &slug, asked.description).await?,
        (_, _, Some(_)) => {
            return Err(Refusal::invalid("oci_image: container releases are not offered yet.").into());
        }
        _ => {
            return Err(
                Refusal::invalid("Give either a slug to release, or a release to roll back to.").into()
            );
        }
    };
    created(&shown(&call, &view)?)
}

pub(crate) async fn config(call: Call) -> Answered {
    let view = call.state.engine.release_fetch(call.app()?.id, call.param("release")?).await?;
    ok(&wire::config_vars(&view.release.config))
}

pub(crate) async fn slug(call: Call) -> Answered {
    let app = call.app()?;
    let slug = call.state.engine.slug_fetch(app.id, call.param("slug")?).await?;
    let blob = format!("{}/apps/{}/slugs/{}/blob", call.state.site.api_url, app.id, slug.id);
    ok(&wire::Slug::new(&slug, blob))
}

/// Only a release command leaves output.
fn shown(call: &Call, view: &ReleaseView) -> Result<wire::Release, Problem> {
    let release = &view.release;
    let url = release.command_dyno.map(|_| output::url(&call.state, &release.id.to_string())).transpose()?;
    Ok(wire::Release::new(release, call.app()?, &view.user, view.eligible_for_rollback, url))
}

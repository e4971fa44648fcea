//! Releases, their config vars, slugs.

use renga_engine::operations::{ReleaseView, SlugNew, SlugView};
use renga_model::{InvalidName, Refusal};
use renga_wire as wire;

use super::apps::stack_named;
use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    range::Wanted,
    streams::{output, slug::blob},
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
        (None, None, Some(image)) => {
            engine.oci_image_find(app.id, &image).await?;
            let say = "oci_image: what runs here are slugs. An OCI image can't be released.";
            return Err(Refusal::invalid(say).into());
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
    ok(&match call.state.engine.slug_fetch(call.app()?.id, call.param("slug")?).await? {
        SlugView::Slug { slug, .. } => wire::Slug::new(&slug, blob(&call.state, slug.id, true)?.url),
        SlugView::Upload { upload, has_archive } => {
            wire::Slug::brought(&upload, blob(&call.state, upload.id, has_archive)?)
        }
    })
}

/// Its archive is put to the URL in the answer; then it can be released.
pub(crate) async fn slug_create(mut call: Call) -> Answered {
    let asked: wire::SlugCreate = call.json().await?;
    let app = call.app()?;
    let stack = match &asked.stack {
        Some(text) => stack_named(&call.state, text)?,
        None => app.build_stack.clone(),
    };
    let named = asked.process_types.into_iter().map(|(name, command)| Ok((name.parse()?, command)));
    let process_types = named.collect::<Result<_, InvalidName>>().map_err(Refusal::from)?;
    let new = SlugNew {
        stack,
        process_types,
        checksum: asked.checksum,
        commit: asked.commit,
        commit_description: asked.commit_description,
        buildpack_provided_description: asked.buildpack_provided_description,
    };
    let upload = call.state.engine.slug_create(app, new).await?;
    created(&wire::Slug::brought(&upload, blob(&call.state, upload.id, false)?))
}

/// Only a release command leaves output.
fn shown(call: &Call, view: &ReleaseView) -> Result<wire::Release, Problem> {
    let release = &view.release;
    let url = release.command_dyno.map(|_| output::url(&call.state, &release.id.to_string())).transpose()?;
    Ok(wire::Release::new(release, call.app()?, &view.user, view.eligible_for_rollback, url))
}

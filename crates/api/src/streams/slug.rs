//! `PUT` and `GET /slugs/SIGNED`: the archive of a slug that somebody brings. The URL is its own key, as the one that
//! Heroku gives out is.

use renga_model::{Refusal, SlugId, limits};
use renga_wire::SlugBlob;

use super::source::{receive, send};
use crate::{
    ApiState,
    answer::{Answered, ok},
    call::Call,
    error::Problem,
};

const PURPOSE: &str = "slug";

/// Where its archive is put, or got once it `is_there`.
pub(crate) fn blob(state: &ApiState, slug: SlugId, is_there: bool) -> Result<SlugBlob, Problem> {
    let signed = state.signer.sign(PURPOSE, &slug.uuid()).map_err(Problem::internal)?;
    let method = if is_there { "get" } else { "put" };
    Ok(SlugBlob { method: method.into(), url: format!("{}/slugs/{signed}", state.site.api_url) })
}

fn opened(call: &Call) -> Result<SlugId, Problem> {
    let id: Option<uuid::Uuid> = call.state.signer.open(PURPOSE, call.param("slug")?);
    Ok(SlugId::from_uuid(id.ok_or_else(|| Refusal::not_found("slug"))?))
}

pub(crate) async fn put(mut call: Call) -> Answered {
    let target = call.state.engine.slug_archive_place(opened(&call)?).await?;
    receive(&mut call, &target, limits::SLUG_BYTES_MAX).await?;
    ok(&serde_json::json!({}))
}

pub(crate) async fn get(call: Call) -> Answered {
    let path = call.state.engine.slug_archive(opened(&call)?).await?;
    send(&path, "slug").await
}

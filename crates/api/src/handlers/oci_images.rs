//! OCI images: kept and shown. What runs here are slugs.

use renga_model::{OciImage, Refusal};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer},
    call::Call,
    error::Problem,
};

/// What is said of an image, as JSON (ours).
const FACTS_BYTES_MAX: usize = 64 * 1024;
/// `sha256:` and 64 hex digits, or as long as another kind of digest may be.
const DIGEST_BYTES_MAX: usize = 200;

pub(crate) async fn create(mut call: Call) -> Answered {
    let mut said: wire::OciImageCreate = call.json().await?;
    let app = call.app()?;
    if !is_digest(&said.digest) {
        return Err(Refusal::invalid("digest: must look like sha256: and 64 hex digits.").into());
    }
    said.stack.get_or_insert_with(|| app.build_stack.to_string());
    let facts = serde_json::to_string(&said).map_err(Problem::internal)?;
    if facts.len() > FACTS_BYTES_MAX {
        return Err(
            Refusal::invalid(format!("An OCI image may be described in {FACTS_BYTES_MAX} bytes.")).into()
        );
    }
    let image = call.state.engine.oci_image_create(app.id, said.digest, facts).await?;
    created(&shown(image)?)
}

/// The schema has a list here: a digest may have been said more than once.
pub(crate) async fn info(call: Call) -> Answered {
    let images = call.state.engine.oci_image_find(call.app()?.id, call.param("image")?).await?;
    list_answer(&["id"], images.into_iter().map(shown).collect::<Result<Vec<_>, _>>()?)
}

fn shown(image: OciImage) -> Result<wire::OciImage, Problem> {
    let said = serde_json::from_str(&image.facts).map_err(Problem::internal)?;
    Ok(wire::OciImage::new(image.id.uuid(), said, image.created_at))
}

fn is_digest(text: &str) -> bool {
    text.len() <= DIGEST_BYTES_MAX
        && text.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty()
                && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && hex.len() >= 32
                && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

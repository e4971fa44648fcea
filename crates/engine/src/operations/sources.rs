//! Sources: tarballs that a client uploads before it asks for a build.

use std::path::PathBuf;

use renga_model::Refusal;

use crate::Engine;

/// The uploaded file behind a `get_url` of ours; none for any other URL.
pub async fn uploaded_file(engine: &Engine, url: &str) -> Result<Option<PathBuf>, Refusal> {
    let prefix = format!("{}/sources/", engine.settings.api_url);
    let Some(name) = url.strip_prefix(&prefix) else { return Ok(None) };
    let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let file = engine.settings.exchange.join(format!("source-{name}"));
    Ok((legal && file.exists()).then_some(file))
}

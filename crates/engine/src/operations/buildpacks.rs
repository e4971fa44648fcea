//! The list of buildpacks that the next build uses.

use renga_model::{App, AppId, Buildpack, Refusal};

use super::access::app_row;
use crate::Engine;

/// Buildpacks of one app (Heroku: 20).
const BUILDPACKS_MAX: usize = 20;
/// Bytes of a buildpack's name or URL (ours).
const BUILDPACK_BYTES_MAX: usize = 2_048;
/// How the registry's own entries come back from clients.
const URN: &str = "urn:buildpack:";
/// Old clients send the registry's tarball instead of the name.
const REGISTRY_TARBALLS: &str = "https://buildpack-registry.s3.amazonaws.com/buildpacks/";

impl Engine {
    /// Takes effect with the next build.
    pub async fn buildpacks_put(&self, app: AppId, list: Vec<String>) -> Result<App, Refusal> {
        if list.len() > BUILDPACKS_MAX {
            return Err(Refusal::invalid(format!("An app may have at most {BUILDPACKS_MAX} buildpacks.")));
        }
        let buildpacks = list.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        let now = self.now();
        let update = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            row.buildpacks = buildpacks;
            row.updated_at = now;
            tx.app_update(&row)?;
            Ok(row)
        });
        update.await
    }
}

/// `NAMESPACE/NAME` in any spelling that clients use, or a URL.
pub(super) fn parse(text: &str) -> Result<Buildpack, Refusal> {
    let text = text.trim();
    let refuse = || {
        let shown: String = text.chars().take(100).collect();
        Refusal::invalid(format!(
            "{shown:?} is not a buildpack: give NAMESPACE/NAME, or the URL of a git repository or a tarball."
        ))
    };
    let registry = text.strip_prefix(REGISTRY_TARBALLS).and_then(|rest| rest.strip_suffix(".tgz"));
    let name = text.strip_prefix(URN).or(registry).unwrap_or(text);
    if is_registry_name(name) {
        return Ok(Buildpack(name.to_owned()));
    }
    let url =
        ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme) && text.len() > scheme.len());
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    if !url || !printable || text.len() > BUILDPACK_BYTES_MAX {
        return Err(refuse());
    }
    Ok(Buildpack(text.to_owned()))
}

fn is_registry_name(text: &str) -> bool {
    let legal = |part: &str| {
        let characters = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && part.len() <= 100 && !part.starts_with('.') && part.bytes().all(characters)
    };
    text.split_once('/').is_some_and(|(namespace, name)| legal(namespace) && legal(name))
}

/// What the API shows as a buildpack's URL: clients cut `urn:buildpack:` off, and send it back either way.
pub fn buildpack_shown(buildpack: &Buildpack) -> String {
    if is_registry_name(&buildpack.0) { format!("{URN}{}", buildpack.0) } else { buildpack.0.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_the_name() {
        for text in [
            "heroku/python",
            "urn:buildpack:heroku/python",
            "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/python.tgz",
        ] {
            assert_eq!(parse(text).unwrap().0, "heroku/python");
        }
        assert_eq!(buildpack_shown(&parse("heroku/python").unwrap()), "urn:buildpack:heroku/python");
        let url = "https://example.com/a/buildpack.git#v2";
        assert_eq!(buildpack_shown(&parse(url).unwrap()), url);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "python",
            "../x",
            "a/../b",
            "file:///etc",
            "ssh://host/x",
            "https://",
            "https://a b",
            "--upload-pack=x/y z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

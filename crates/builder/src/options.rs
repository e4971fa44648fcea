//! Which buildpacks run: the user's list, a file in the source, what was remembered, or detection.

use serde::Deserialize;

use crate::{
    BuildError,
    buildpack::Buildpack,
    context::Context,
    external::External,
    fetch::{Origin, redacted},
    limits::BUILDPACKS_MAX,
    node::Node,
    procfile::ProcfileOnly,
    python::Python,
};

/// The built-in buildpacks by their short names.
pub(crate) const BUILT_IN: [&str; 3] = ["heroku/nodejs", "heroku/python", "heroku/procfile"];

/// Where a list came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// By the user, in any of the ways; each must apply.
    Listed(Vec<String>),
    /// The built-in that detection chose for an earlier build.
    Remembered(String),
    Detect,
}

/// The first of: the list, `.buildpacks`, `app.json`, `BUILDPACK_URL`, what was remembered.
pub(crate) fn choose(context: &Context<'_>) -> Result<Choice, BuildError> {
    let listed = |names: Vec<String>| {
        if names.len() > BUILDPACKS_MAX {
            return Err(BuildError::TooManyBuildpacks { max: BUILDPACKS_MAX });
        }
        Ok(Choice::Listed(names))
    };
    if !context.request.buildpacks.is_empty() {
        return listed(context.request.buildpacks.clone());
    }
    if let Some(text) = context.app_text(".buildpacks")? {
        let names = lines_of(&text);
        if !names.is_empty() {
            return listed(names);
        }
    }
    if let Some(text) = context.app_text("app.json")? {
        let names = names_of_app_json(&text)?;
        if !names.is_empty() {
            return listed(names);
        }
    }
    if let Some(url) = context.config("BUILDPACK_URL").filter(|url| !url.trim().is_empty()) {
        return listed(vec![url.trim().to_owned()]);
    }
    Ok(context.request.remembered.clone().map_or(Choice::Detect, Choice::Remembered))
}

fn lines_of(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn names_of_app_json(text: &str) -> Result<Vec<String>, BuildError> {
    #[derive(Deserialize)]
    struct AppJson {
        #[serde(default)]
        buildpacks: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        url: String,
    }
    let parsed: AppJson = serde_json::from_str(text)
        .map_err(|cause| BuildError::FileInvalid { file: "app.json".into(), reason: cause.to_string() })?;
    Ok(parsed.buildpacks.into_iter().map(|item| item.url).collect())
}

/// The buildpack of a name or URL.
pub(crate) fn resolve(name: &str) -> Result<Box<dyn Buildpack>, BuildError> {
    let name = name.trim();
    let short = name.strip_prefix("urn:buildpack:").unwrap_or(name);
    match short.strip_prefix("heroku/").or_else(|| official_repository(short)) {
        Some("python") => Ok(Box::new(Python::default())),
        Some("nodejs") => Ok(Box::new(Node::default())),
        Some("procfile" | "null") => Ok(Box::new(ProcfileOnly)),
        Some(language) if short.starts_with("heroku/") => {
            Err(BuildError::BuildpackNotOffered { name: format!("heroku/{language}") })
        }
        _ => match Origin::parse(short) {
            Some(origin) => Ok(Box::new(External::new(origin))),
            None => Err(BuildError::BuildpackUrl { name: redacted(short) }),
        },
    }
}

/// The official repositories' addresses mean the same as the short names, as long as no ref is asked for.
fn official_repository(url: &str) -> Option<&'static str> {
    let path = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let repository = path.rsplit_once("/heroku/")?.1;
    match repository.trim_end_matches(".git") {
        "heroku-buildpack-python" => Some("python"),
        "heroku-buildpack-nodejs" => Some("nodejs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(name: &str) -> String {
        resolve(name).map_or_else(|error| format!("{error:?}"), |buildpack| buildpack.name())
    }

    #[test]
    fn names_and_urls_are_told_apart() {
        assert_eq!(name_of("heroku/python"), "heroku/python");
        assert_eq!(name_of("urn:buildpack:heroku/nodejs"), "heroku/nodejs");
        assert_eq!(name_of("https://example.com/heroku/heroku-buildpack-python.git"), "heroku/python");
        assert_eq!(name_of("https://u:p@example.com/x.git#v1"), "https://example.com/x.git#v1");
        assert!(name_of("heroku/cobol").contains("BuildpackNotOffered"));
        for bad in ["file:///etc", "ext::sh -c x", "-oProxy=x", "git@host:x", "nonsense", "ssh://h/x"] {
            assert!(name_of(bad).contains("BuildpackUrl"), "{bad}");
        }
    }

    #[test]
    fn lists_in_files_are_read() {
        assert_eq!(lines_of("# x\n\nhttps://a/b\r\nheroku/python\n"), ["https://a/b", "heroku/python"]);
        assert_eq!(
            names_of_app_json(r#"{"buildpacks":[{"url":"heroku/nodejs"}]}"#).unwrap(),
            ["heroku/nodejs"]
        );
        assert!(names_of_app_json("{}").unwrap().is_empty());
        assert!(names_of_app_json("[").is_err());
    }
}

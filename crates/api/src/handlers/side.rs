//! Small neighbouring services that the command line asks: the buildpack registry and the status page. Both tell what
//! is true of this installation and no more.

use axum::response::{IntoResponse, Response};
use renga_model::Refusal;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Answered, ok},
    call::Call,
    error::Problem,
};

/// Built-in buildpacks: namespace, name, description.
const BUILT_IN: [(&str, &str, &str); 2] = [
    ("heroku", "nodejs", "Node.js, built into this platform"),
    ("heroku", "python", "Python, built into this platform"),
];

/// `?in[namespace][]=X&in[name][]=Y&like[description]=Z`
pub(crate) async fn registry_search(call: Call) -> Answered {
    let query = call.parts.uri.query().unwrap_or_default();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let admits = |key: &str, value: &str| {
        let mut asked = pairs.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).peekable();
        asked.peek().is_none() || asked.any(|asked| value.to_lowercase().contains(&asked.to_lowercase()))
    };
    let fits = |(namespace, name, description): &&(&str, &str, &str)| {
        admits("in[namespace][]", namespace)
            && admits("in[name][]", name)
            && admits("like[description]", description)
    };
    let found: Vec<Value> = BUILT_IN.iter().filter(fits).map(shown).collect();
    ok(&found)
}

pub(crate) async fn registry_info(call: Call) -> Answered {
    ok(&shown(find(&call)?))
}

pub(crate) async fn registry_revisions(call: Call) -> Answered {
    find(&call)?;
    ok(&json!([{
        "id": "1", "release": 1, "created_at": "2026-01-01T00:00:00Z", "status": "published",
        "license": "Apache-2.0", "error": null, "checksum": null, "tarball": null
    }]))
}

pub(crate) async fn registry_readme(call: Call) -> Answered {
    let (namespace, name, description) = find(&call)?;
    ok(&json!({ "content": format!("# {namespace}/{name}\n\n{description}.\n"), "encoding": "utf-8" }))
}

/// Either spelling: `heroku/python`, `heroku%2Fpython` (the path is decoded).
fn find(call: &Call) -> Result<&'static (&'static str, &'static str, &'static str), Problem> {
    let named = call.param("buildpack")?;
    let found = BUILT_IN.iter().find(|(namespace, name, _)| named.split_once('/') == Some((namespace, name)));
    found.ok_or_else(|| Refusal::not_found("buildpack").into())
}

fn shown((namespace, name, description): &(&str, &str, &str)) -> Value {
    json!({
        "id": renga_wire::derived_id("buildpack", &format!("{namespace}/{name}")),
        "namespace": namespace,
        "name": name,
        "category": "languages",
        "description": description,
        "logo": null,
        // Clients put this into the app's list; it comes back and is understood as the name.
        "blob_url": format!("urn:buildpack:{namespace}/{name}"),
        "source": { "type": "built-in", "owner": namespace, "repo": name },
        "support": { "method": "website", "address": "the operator of this installation" },
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    })
}

/// Whoever reads this has just been answered by the API. Incidents are not recorded here.
pub(crate) async fn status(_: Call) -> Answered {
    let system = |name: &str| json!({ "system": name, "status": "green" });
    let systems = ["Apps", "Data", "Tools"].map(system);
    let response: Response =
        axum::Json(json!({ "status": systems, "incidents": [], "scheduled": [] })).into_response();
    Ok(Answer::Raw(response))
}

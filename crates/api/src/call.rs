//! One request on its way to its handler: who calls, which app is meant, and the body once somebody asks for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{header, request::Parts};
use http_body_util::{BodyExt, Limited};
use renga_engine::operations::Caller;
use renga_model::{App, Refusal, Team, TeamRole, limits};
use serde::de::DeserializeOwned;

use crate::{
    ApiState,
    error::{Problem, body_too_large},
};

/// The request's body until somebody takes it. What nobody took is read to its end (or the connection closed) when the
/// answer is there: a client that keeps its connection must not find it broken because a refusal came early.
#[derive(Clone)]
pub(crate) struct BodySlot(Arc<Mutex<Body>>);

/// Unread bytes that are worth a connection.
const DRAIN_BYTES_MAX: u64 = 256 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

impl BodySlot {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }
    fn take(&self) -> Body {
        std::mem::take(&mut *self.0.lock().expect("nothing panics while it holds this lock"))
    }
    /// Whether the connection can be used again.
    pub(crate) async fn drain(&self) -> bool {
        let body = self.take();
        if body.is_end_stream() {
            return true;
        }
        let announced = body.size_hint();
        if announced.lower() > DRAIN_BYTES_MAX {
            return false;
        }
        let limit = usize::try_from(DRAIN_BYTES_MAX).unwrap_or(usize::MAX);
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, Limited::new(body, limit).collect()).await;
        drained.is_ok_and(|read| read.is_ok())
    }
}

pub(crate) struct Call {
    pub(crate) state: ApiState,
    pub(crate) parts: Parts,
    body: BodySlot,
    params: BTreeMap<String, String>,
    caller: Option<Caller>,
    found: Found,
}

/// What the path names, as the gate found it and found that the caller may.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) app: Option<App>,
    pub(crate) team: Option<(Team, TeamRole)>,
}

impl Call {
    pub(crate) fn new(
        state: ApiState,
        request: (Parts, BodySlot),
        params: BTreeMap<String, String>,
        caller: Option<Caller>,
        found: Found,
    ) -> Self {
        let (parts, body) = request;
        Self { state, parts, body, params, caller, found }
    }

    /// The gate has let somebody in, unless the endpoint is public.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Refusal::unauthorized().into())
    }
    /// The gate has looked it up and found the caller's permission, if the endpoint names one.
    pub(crate) fn app(&self) -> Result<&App, Problem> {
        let none = || Problem::internal("the endpoint's row names no permission on an app");
        self.found.app.as_ref().ok_or_else(none)
    }
    /// Likewise, if the endpoint names a right in a team.
    pub(crate) fn team(&self) -> Result<&Team, Problem> {
        let none = || Problem::internal("the endpoint's row names no right in a team");
        self.found.team.as_ref().map(|(team, _)| team).ok_or_else(none)
    }
    /// A segment of the path; the route has it, or the row and the handler disagree.
    pub(crate) fn param(&self, name: &str) -> Result<&str, Problem> {
        let value = self.params.get(name).map(String::as_str);
        value.ok_or_else(|| Problem::internal(format!("the route has no parameter {name}")))
    }

    /// The body as JSON. An empty one counts as `{}`, as clients send none where nothing needs to be said.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let body = self.bytes().await?;
        parse(if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &body })
    }

    /// The body as it comes, for those who do not want it in memory.
    pub(crate) fn take_body(&mut self) -> Body {
        self.body.take()
    }

    /// The whole body, refused before it is read if its announced length is too large.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes, Problem> {
        let announced = self.parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let too_large = |length: u64| length > limits::API_BODY_BYTES_MAX as u64;
        if announced.and_then(|text| text.parse().ok()).is_some_and(too_large) {
            return Err(body_too_large());
        }
        let body = self.take_body();
        match Limited::new(body, limits::API_BODY_BYTES_MAX).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(body_too_large()),
            Err(error) => Err(Refusal::bad_request("The request body ended early.").because(error).into()),
        }
    }
}

/// Malformed JSON is 400; well-formed JSON of the wrong shape is 422 and names the member.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let parsed = parsed.map_err(|error| {
        let (path, cause) = (error.path().to_string(), error.inner());
        if cause.is_data() {
            Refusal::invalid(wrong_shape(&path, &without_position(&cause.to_string())))
        } else {
            Refusal::bad_request(format!("Unable to parse the JSON request body: {cause}."))
        }
    })?;
    deserializer
        .end()
        .map_err(|cause| Refusal::bad_request(format!("Unable to parse the JSON request body: {cause}.")))?;
    Ok(parsed)
}

/// In Heroku's words, where it has some.
fn wrong_shape(path: &str, what: &str) -> String {
    let named = |rest: &str| {
        let name = rest.split('`').next().unwrap_or_default();
        match path {
            "." => name.to_owned(),
            path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
            path => format!("{path}.{name}"),
        }
    };
    if let Some(rest) = what.strip_prefix("missing field `") {
        return format!("Require params: {}.", named(rest));
    }
    if let Some(rest) = what.strip_prefix("unknown field `") {
        let known = rest.split_once(", expected ").map_or("nothing", |(_, known)| known);
        let known = known.trim_start_matches("one of ").replace('`', "");
        return format!("Unknown params: {}. Known here: {known}.", named(rest));
    }
    let place = if path == "." { String::new() } else { format!("{path}: ") };
    format!("Invalid request body: {place}{what}.")
}

/// Where the parser stood is of no use to somebody whose client wrote the JSON.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use renga_model::Fault;
    use renga_wire::{AppCreate, BuildCreate, FormationUpdates};

    fn refusal<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> (Fault, String) {
        match parse::<T>(body.as_bytes()) {
            Err(Problem::Refused(refusal)) => (refusal.fault, refusal.say),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        for (body, named) in [
            (r#"{"name": 5}"#, "name"),
            (r#"{"nmae": "x"}"#, "nmae"),
            (r#"{"feature_flags": ["a", 1]}"#, "feature_flags[1]"),
            (r#"[1]"#, "Invalid request body"),
        ] {
            let (fault, say) = refusal::<AppCreate>(body);
            assert_eq!(fault, Fault::Invalid, "{body}");
            assert!(say.contains(named), "{body}: {say}");
        }
        let (_, say) = refusal::<FormationUpdates>(r#"{"updates": [{"type": "web", "quantity": []}]}"#);
        assert!(say.contains("updates[0].quantity"), "{say}");
        let (_, say) = refusal::<BuildCreate>(r#"{"source_blob": {}}"#);
        assert_eq!(say, "Require params: source_blob.url.");
        let (_, say) = refusal::<FormationUpdates>("{}");
        assert_eq!(say, "Require params: updates.");
        let (_, say) = refusal::<FormationUpdates>(r#"{"updates": [], "more": 1}"#);
        assert_eq!(say, "Unknown params: more. Known here: updates.");
    }

    #[test]
    fn malformed_json_is_a_bad_request() {
        for body in ["{", "nope", "{\"name\": \"x\"} trailing", "\u{0}", &"[".repeat(100_000)] {
            let fault = match parse::<AppCreate>(body.as_bytes()) {
                Err(Problem::Refused(refusal)) => refusal.fault,
                other => panic!("{other:?}"),
            };
            assert!(matches!(fault, Fault::BadRequest | Fault::Invalid));
        }
    }
}

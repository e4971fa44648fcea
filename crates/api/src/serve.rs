//! The way of a request: conventions on the way in, gate, handler, conventions on the way out.

use std::{
    collections::BTreeMap,
    future::Future,
    io::Write,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use renga_engine::operations::{Caller, Permission, TeamRight};
use renga_model::Refusal;
use sha2::{Digest, Sha256};

use crate::{
    ApiState,
    answer::{Answer, Answered},
    call::{BodySlot, Call, Found},
    error::Problem,
    gate::{self, Need},
    kept::Question,
    range,
    routes::Endpoint,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");
const WARNING_MESSAGE: HeaderName = HeaderName::from_static("warning-message");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// Characters of a request id that is taken over from a client (ours; Heroku's router: 20 to 200).
const REQUEST_ID_BYTES_MAX: usize = 200;

pub(crate) type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Send + Sync>;

pub(crate) async fn serve(state: ApiState, endpoint: Arc<Endpoint>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (request_id, body) = (request_id(&parts.headers), BodySlot::new(body));
    let mut headers = HeaderMap::new();
    let answer = answer(state, &endpoint, (parts, body.clone()), &mut headers);
    let answer = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or(Err(Problem::Panicked));
    let mut response = answer.unwrap_or_else(|problem| refuse(&problem, &request_id));
    headers.insert(REQUEST_ID, HeaderValue::from_str(&request_id).expect("checked when it was taken over"));
    response.headers_mut().extend(headers);
    close_unless_drained(response, &body).await
}

/// A request that no endpoint is there for.
pub(crate) async fn reject(problem: Problem, headers: &HeaderMap, body: Body) -> Response {
    let request_id = request_id(headers);
    let mut response = refuse(&problem, &request_id);
    let id = HeaderValue::from_str(&request_id).expect("checked when it was taken over");
    response.headers_mut().insert(REQUEST_ID, id);
    close_unless_drained(response, &BodySlot::new(body)).await
}

fn refuse(problem: &Problem, request_id: &str) -> Response {
    problem.log(request_id);
    problem.response()
}

async fn close_unless_drained(mut response: Response, body: &BodySlot) -> Response {
    if !body.drain().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `headers` are added to the answer, whether it is a refusal or not.
async fn answer(
    state: ApiState,
    endpoint: &Endpoint,
    request: (Parts, BodySlot),
    headers: &mut HeaderMap,
) -> Result<Response, Problem> {
    let (mut parts, body) = request;
    if endpoint.platform {
        check_accept(&parts.headers)?;
    }
    let caller = gate::admit(&state, &parts.headers, endpoint.need).await?;
    if let Some(caller) = &caller {
        let left = state.limiter.take(caller, endpoint.cost, state.engine.now())?;
        headers.insert(RATE_LIMIT_REMAINING, left.into());
    }
    let params = params(&mut parts).await?;
    let found = match &caller {
        Some(caller) => find(&state, endpoint, &params, caller).await?,
        None => Found::default(),
    };
    let (method, asked) = (parts.method.clone(), parts.headers.clone());
    let question = match (&caller, endpoint.kept) {
        (Some(caller), true) => Some(Question {
            account: caller.account.id,
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            range: range_of(&asked).to_owned(),
        }),
        _ => None,
    };
    let call = Call::new(state.clone(), (parts, body), params, caller, found);
    let Some(question) = question else {
        return Ok(match finish((endpoint.handler)(call).await?, &asked)? {
            Finished::Rendered(rendered) => rendered.respond(&method, &asked),
            Finished::Raw(response) => response,
        });
    };
    let make = async {
        match finish((endpoint.handler)(call).await?, &asked)? {
            Finished::Rendered(rendered) => Ok(rendered),
            Finished::Raw(_) => Err(Problem::internal("a stream can't be kept")),
        }
    };
    let moment = state.engine.ledger_moment();
    Ok(state.kept.answer(question, moment, make).await?.respond(&method, &asked))
}

/// The app and the team that the path names, if the caller may do to them what the endpoint's row says.
async fn find(
    state: &ApiState,
    endpoint: &Endpoint,
    params: &BTreeMap<String, String>,
    caller: &Caller,
) -> Result<Found, Problem> {
    let segment = |name: &str| params.get(name).map_or("", String::as_str);
    let oneself = endpoint.oneself.is_some_and(|name| gate::is_oneself(caller, segment(name)));
    let mut found = Found::default();
    if let Some(permission) = endpoint.permission {
        let permission = if oneself { Permission::View } else { permission };
        found.app = Some(gate::app(state, caller, segment("app"), permission).await?);
    }
    if let Some(right) = endpoint.right {
        let right = if oneself { TeamRight::Know } else { right };
        found.team = Some(gate::team(state, caller, segment("team"), right).await?);
    }
    Ok(found)
}

/// `application/vnd.heroku+json; version=3` with any or no variant (`version=3.sdk`).
fn check_accept(headers: &HeaderMap) -> Result<(), Problem> {
    let accepts = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value.split(',').any(|kind| {
            let mut parts = kind.split(';').map(str::trim);
            let heroku = parts.next() == Some("application/vnd.heroku+json");
            heroku
                && parts.any(|part| {
                    part.strip_prefix("version=3").is_some_and(|v| v.is_empty() || v.starts_with('.'))
                })
        })
    };
    if headers.get_all(header::ACCEPT).iter().any(accepts) { Ok(()) } else { Err(Problem::NotAcceptable) }
}

async fn params(parts: &mut Parts) -> Result<BTreeMap<String, String>, Problem> {
    let refuse = |_| Refusal::bad_request("The path of the request is not valid UTF-8.");
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(refuse)?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

// === the answer ===

/// An answer with everything that does not depend on how it was asked for.
pub(crate) struct Rendered {
    status: StatusCode,
    body: Bytes,
    etag: HeaderValue,
    /// What only some answers have.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// In gzip, if somebody wanted it so; none if it is not worth it.
    small: OnceLock<Option<Bytes>>,
}

enum Finished {
    Rendered(Rendered),
    Raw(Response),
}

fn finish(answer: Answer, asked: &HeaderMap) -> Result<Finished, Problem> {
    let header = |text: String| HeaderValue::try_from(text).map_err(Problem::internal);
    Ok(Finished::Rendered(match answer {
        Answer::Raw(response) => return Ok(Finished::Raw(response)),
        Answer::Document { status, text } => Rendered::new(status, Bytes::from_static(text.as_bytes())),
        Answer::Json { status, value, warning } => {
            let mut rendered = Rendered::new(status, value.to_string().into());
            if let Some(warning) = warning {
                rendered.headers.push((WARNING_MESSAGE, header(warning)?));
            }
            rendered
        }
        Answer::List(list) => {
            let keys = list.keys.join(", ");
            let page = range::cut(list, Some(range_of(asked)))?;
            let status = if page.next.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
            let mut rendered = Rendered::new(status, serde_json::Value::Array(page.items).to_string().into());
            rendered.headers.push((header::ACCEPT_RANGES, header(keys)?));
            if let Some(next) = page.next {
                rendered.headers.push((NEXT_RANGE, header(next)?));
            }
            rendered
        }
    }))
}

fn range_of(asked: &HeaderMap) -> &str {
    asked.get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Rendered {
    fn new(status: StatusCode, body: Bytes) -> Self {
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..16]));
        let etag = HeaderValue::try_from(etag).expect("hex digits in quotes");
        Self { status, body, etag, headers: Vec::new(), small: OnceLock::new() }
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        Self::new(StatusCode::OK, text.to_owned().into())
    }
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }

    fn respond(&self, method: &Method, asked: &HeaderMap) -> Response {
        let known =
            asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let same =
            |known: &str| known == "*" || known.trim_start_matches("W/").as_bytes() == self.etag.as_bytes();
        let unchanged =
            *method == Method::GET && self.status.is_success() && known.split(',').map(str::trim).any(same);
        let mut response = match unchanged {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => match self.small(asked) {
                Some(small) => {
                    let gzip = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
                    (self.status, gzip, Body::from(small)).into_response()
                }
                None => (self.status, Body::from(self.body.clone())).into_response(),
            },
        };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::ETAG, self.etag.clone());
        headers.extend(self.headers.iter().cloned());
        response
    }

    /// In gzip, for a client that takes it, and if it is worth it.
    fn small(&self, asked: &HeaderMap) -> Option<Bytes> {
        if self.body.len() < GZIP_BYTES_MIN || !takes_gzip(asked) {
            return None;
        }
        self.small.get_or_init(|| compressed(&self.body)).clone()
    }
}

/// Smaller answers gain nothing.
const GZIP_BYTES_MIN: usize = 1024;

fn takes_gzip(asked: &HeaderMap) -> bool {
    let encodings =
        asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes = |encoding: &str| {
        let mut parts = encoding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        gzip && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    };
    encodings.split(',').any(takes)
}

fn compressed(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// The first of the ids that the client sent, or a fresh one.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let first = sent.and_then(|ids| ids.split(',').next()).map(str::trim);
    let legal = |id: &&str| {
        let characters = |b: u8| b.is_ascii_alphanumeric() || b"-_./=+".contains(&b);
        !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(characters)
    };
    first.filter(legal).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

impl Endpoint {
    /// Whether a token is asked for at all.
    pub(crate) fn is_public(&self) -> bool {
        self.need == Need::Public
    }
}

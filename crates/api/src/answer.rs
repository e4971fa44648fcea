//! What a handler gives back, before the conventions (ranges, ETag, ids) are applied to it.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use crate::error::Problem;

pub(crate) enum Answer {
    Json {
        status: StatusCode,
        value: Value,
        /// Told to the person who asks, beside the answer: the official command line prints it.
        warning: Option<String>,
    },
    /// JSON that is text already.
    Document {
        status: StatusCode,
        text: &'static str,
    },
    List(List),
    /// Already complete: a stream, a page, an upload's receipt.
    Raw(Response),
}

/// A whole list in its natural order; the range asked for is cut out of it.
pub(crate) struct List {
    /// Properties that a range may name.
    pub(crate) keys: &'static [&'static str],
    pub(crate) items: Vec<Value>,
}

impl Answer {
    /// With something to tell the person who asks.
    pub(crate) fn warning(self, say: impl Into<String>) -> Self {
        match self {
            Self::Json { status, value, .. } => Self::Json { status, value, warning: Some(say.into()) },
            other => other,
        }
    }
}

pub(crate) type Answered = Result<Answer, Problem>;

pub(crate) fn document(text: &'static str) -> Answered {
    Ok(Answer::Document { status: StatusCode::OK, text })
}

pub(crate) fn ok(value: &impl Serialize) -> Answered {
    json(StatusCode::OK, value)
}
pub(crate) fn created(value: &impl Serialize) -> Answered {
    json(StatusCode::CREATED, value)
}
pub(crate) fn accepted(value: &impl Serialize) -> Answered {
    json(StatusCode::ACCEPTED, value)
}

pub(crate) fn list<T: Serialize>(
    keys: &'static [&'static str],
    items: impl IntoIterator<Item = T>,
) -> Answered {
    let items = items.into_iter().map(|item| serde_json::to_value(item)).collect::<Result<_, _>>();
    Ok(Answer::List(List { keys, items: items.map_err(Problem::internal)? }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    Ok(Answer::Json { status, value: serde_json::to_value(value).map_err(Problem::internal)?, warning: None })
}

// === what browsers and OAuth clients get ===

/// Whose fault a page tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    Good,
    /// What the address names is over, or never was.
    Gone,
    /// The address itself can't be meant.
    Bad,
}

pub(crate) fn page(kind: PageKind, page: Response) -> Answered {
    let status = match kind {
        PageKind::Good => StatusCode::OK,
        PageKind::Gone => StatusCode::NOT_FOUND,
        PageKind::Bad => StatusCode::BAD_REQUEST,
    };
    Ok(Answer::Raw((status, page).into_response()))
}

/// The same page again, with a refusal on it.
pub(crate) fn page_refused(problem: &Problem, page: Response) -> Answered {
    Ok(Answer::Raw((problem.status(), page).into_response()))
}

/// After a form: the browser goes on with GET.
pub(crate) fn see_other(address: &str) -> Answered {
    let location = HeaderValue::try_from(address).map_err(Problem::internal)?;
    Ok(Answer::Raw((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()))
}

/// Tokens, which nobody between may keep.
pub(crate) fn unkept(value: &impl Serialize) -> Answered {
    let kept = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Answer::Raw(([kept], axum::Json(value)).into_response()))
}

/// A refusal in the words of the OAuth standard, and in Heroku's beside them.
pub(crate) fn oauth_refused(error: &'static str, problem: &Problem) -> Answered {
    let status = match error {
        "invalid_client" => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = problem.body();
    let body = serde_json::json!({
        "error": error,
        "error_description": body.message,
        "id": body.id,
        "message": body.message,
    });
    Ok(Answer::Raw((status, axum::Json(body)).into_response()))
}

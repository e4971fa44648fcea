//! What a handler gives back, before the conventions (ranges, ETag, ids) are applied to it.

use axum::response::Response;
use http::StatusCode;
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

//! The one place where a refusal becomes HTTP: status, Heroku's error id, and the words that a client may read.
//!
//! What only the operator may know (`Refusal::context`) is logged here, once, under the request's id, and has no way
//! into the answer.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use renga_model::{Fault, Refusal, limits};
use renga_wire::ErrorBody;

/// Why a request is not answered as asked: a refusal of the engine, or one of HTTP's own reasons.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Refused(Refusal),
    #[error("the request does not accept version 3 of the API")]
    NotAcceptable,
    #[error("the range can't be satisfied: {0}")]
    Range(String),
    #[error("the body is larger than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    /// A link of the published API that this platform does not have (yet).
    #[error("not offered yet")]
    NotOffered,
    #[error("there is no such endpoint")]
    NoEndpoint,
    #[error("a handler panicked")]
    Panicked,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Problem {
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Refused(Refusal::internal(cause))
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => fault_status(refusal.fault).0,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotOffered | Self::NoEndpoint => StatusCode::NOT_FOUND,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn id(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => fault_status(refusal.fault).1,
            Self::NotAcceptable => "not_acceptable",
            Self::Range(_) => "requested_range_not_satisfiable",
            Self::BodyTooLarge { .. } => "bad_request",
            Self::NotOffered | Self::NoEndpoint => "not_found",
            Self::Panicked => "internal_server_error",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.say.clone(),
            Self::NotAcceptable => {
                "Please ask for version 3 of the API: Accept: application/vnd.heroku+json; version=3".into()
            }
            Self::Range(what) => format!("The requested range can't be given: {what}."),
            Self::BodyTooLarge { bytes_max } => {
                format!("The request body may hold at most {} KB.", bytes_max / 1024)
            }
            Self::NotOffered => "This part of the API is not offered yet.".into(),
            Self::NoEndpoint => {
                "The requested API endpoint was not found. Are you using the right HTTP verb \
                                 (i.e. `GET` vs. `POST`), and did you specify your intended version with the \
                                 `Accept` header?"
                    .into()
            }
            Self::Panicked => "Internal server error. The operator's log has the cause.".into(),
        }
    }

    fn resource(&self) -> Option<String> {
        match self {
            Self::Refused(Refusal { fault: Fault::NotFound(resource), .. }) => Some((*resource).to_owned()),
            _ => None,
        }
    }

    /// What the operator reads; the user's own mistakes are not the operator's business.
    pub(crate) fn log(&self, request_id: &str) {
        match self {
            Self::Refused(Refusal { fault: Fault::Internal, context, .. }) => {
                tracing::error!(request.id = request_id, cause = context.as_deref(), "a request failed");
            }
            Self::Refused(Refusal { fault: Fault::Unavailable, context, say }) => {
                tracing::warn!(
                    request.id = request_id,
                    cause = context.as_deref(),
                    "a request was put off: {say}"
                );
            }
            Self::Panicked => tracing::error!(request.id = request_id, "a request's handler panicked"),
            _ => {}
        }
    }
}

impl Problem {
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { id: self.id().into(), message: self.message(), resource: self.resource(), url: None }
    }

    pub(crate) fn response(&self) -> Response {
        let body = self.body();
        let mut response = (self.status(), axum::Json(body)).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE || self.status() == StatusCode::TOO_MANY_REQUESTS
        {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

/// Seconds after which a refused-for-now request may come again.
const RETRY_AFTER_S: &str = "5";

fn fault_status(fault: Fault) -> (StatusCode, &'static str) {
    match fault {
        Fault::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
        Fault::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_params"),
        Fault::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Fault::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Fault::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Fault::Suspended => (StatusCode::FORBIDDEN, "suspended"),
        Fault::TwoFactor => (StatusCode::FORBIDDEN, "two_factor"),
        Fault::Conflict => (StatusCode::CONFLICT, "conflict"),
        Fault::RateLimit => (StatusCode::TOO_MANY_REQUESTS, "rate_limit"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable"),
        Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
    }
}

/// The default limit of a JSON body.
pub(crate) fn body_too_large() -> Problem {
    Problem::BodyTooLarge { bytes_max: limits::API_BODY_BYTES_MAX }
}

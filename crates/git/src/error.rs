//! What a git client is answered when it is refused. Git shows the text of a `text/plain` body as `remote: ` lines,
//! and asks for credentials on 401 only.

use http::{HeaderValue, Response, StatusCode, header};
use renga_model::{Fault, Refusal};

use crate::output::Body;

/// A refusal in git's words: for the caller of [`crate::GitStore::serve`], which authenticates and finds the app.
pub fn refusal_response(refusal: &Refusal) -> Response<Body> {
    let status = match refusal.fault {
        Fault::BadRequest | Fault::Invalid => StatusCode::BAD_REQUEST,
        Fault::NotFound(_) => StatusCode::NOT_FOUND,
        Fault::Unauthorized => StatusCode::UNAUTHORIZED,
        Fault::Forbidden | Fault::Suspended | Fault::TwoFactor => StatusCode::FORBIDDEN,
        Fault::Conflict => StatusCode::CONFLICT,
        Fault::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    plain(status, &refusal.say)
}

pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(format!(" !     {text}\n").into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"Renga Git\"");
        headers.insert(header::WWW_AUTHENTICATE, realm);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

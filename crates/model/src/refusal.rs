//! The one error that operations hand to the faces: whose fault it is, what the user may read, and what only the
//! operator sees. `api/src/error.rs` alone turns it into HTTP, `git` into its own words.

use std::fmt;

/// Whose fault, in the classes that a program needs to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The words are malformed (400 `bad_request`).
    BadRequest,
    /// Well-formed but impossible (422 `invalid_params`).
    Invalid,
    /// It is not there, or the caller may not know of it (404 `not_found`).
    NotFound(&'static str),
    /// No valid token (401 `unauthorized`).
    Unauthorized,
    /// A valid token that may not do this (403 `forbidden`).
    Forbidden,
    /// The operator has shut the account out (403 `suspended`).
    Suspended,
    /// The password is right and a code is needed beside it (403 `two_factor`).
    TwoFactor,
    /// Lost against another change, or something is under way (409 `conflict`).
    Conflict,
    /// Too much asked in too short a time (429 `rate_limit`).
    RateLimit,
    /// Something we need is away for now (503 `service_unavailable`).
    Unavailable,
    /// A bug or a broken invariant of ours (500 `internal_server_error`).
    Internal,
}

/// `say` is for the user; `context` is for the operator's log and has no way out through the API.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub fault: Fault,
    pub say: String,
    pub context: Option<String>,
}

impl Refusal {
    pub fn new(fault: Fault, say: impl Into<String>) -> Self {
        Self { fault, say: say.into(), context: None }
    }
    pub fn bad_request(say: impl Into<String>) -> Self {
        Self::new(Fault::BadRequest, say)
    }
    pub fn invalid(say: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, say)
    }
    /// `resource` as Heroku names it in the error body: `app`, `dyno`, `release`, ...
    pub fn not_found(resource: &'static str) -> Self {
        Self::new(Fault::NotFound(resource), format!("Couldn't find that {}.", resource.replace('_', " ")))
    }
    pub fn unauthorized() -> Self {
        Self::new(Fault::Unauthorized, "Invalid credentials provided.")
    }
    pub fn forbidden(say: impl Into<String>) -> Self {
        Self::new(Fault::Forbidden, say)
    }
    pub fn conflict(say: impl Into<String>) -> Self {
        Self::new(Fault::Conflict, say)
    }
    pub fn unavailable(say: impl Into<String>) -> Self {
        Self::new(Fault::Unavailable, say)
    }
    /// Nothing that takes space is begun while less than `floor_bytes` of the disk are free.
    pub fn disk_low(free_bytes: u64, floor_bytes: u64) -> Self {
        let (free, floor) = (free_bytes >> 20, floor_bytes >> 20);
        Self::unavailable(format!(
            "The platform's disk is almost full: {free} MiB are free and {floor} MiB must stay free. Nothing was \
             changed. Ask the platform's operator to make room, then try again."
        ))
    }
    /// `cause` goes to the operator only.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(Fault::Internal, "Internal server error. The operator's log has the cause.").because(cause)
    }
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.context = Some(cause.to_string());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say)
    }
}
impl std::error::Error for Refusal {}

impl From<crate::InvalidName> for Refusal {
    fn from(invalid: crate::InvalidName) -> Self {
        Self::invalid(format!("{invalid}."))
    }
}

//! Heroku's H-codes, as far as a router of one machine meets them: what the log says and what the client gets.

use crate::http::{response::BadAnswer, scan::Overrun};

/// Why a request did not end well. The names are Heroku's; who is at fault and what the client saw follow from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// All web dynos crashed.
    H10,
    /// Too many requests in flight for the app's dynos.
    H11,
    /// No first byte in time.
    H12,
    /// The dyno closed before it wrote anything.
    H13,
    /// `web` is scaled to 0.
    H14,
    /// No byte for a window's length after the answer began.
    H15,
    /// What the dyno said is not HTTP.
    H17,
    /// The dyno closed in the middle of its answer.
    H18,
    /// The dyno did not accept a connection in time.
    H19,
    /// No dyno was up in time.
    H20,
    /// The dyno refused the connection.
    H21,
    /// The order to stop had no more time for this request.
    H24,
    /// The answer's head is outside the limits; the word names the part.
    H25(&'static str),
    /// The request is outside the rules; the cause is in the log line.
    H26(&'static str),
    /// The client went away.
    H27,
    /// The client stalled.
    H28,
    /// All dynos that are up refuse connections.
    H34,
    /// Maintenance mode.
    H80,
    /// Nothing was ever deployed.
    H81,
    /// Our own fault.
    H99,
}

pub(crate) struct Wording {
    pub(crate) code: &'static str,
    pub(crate) desc: &'static str,
    pub(crate) status: u16,
    pub(crate) at: &'static str,
    pub(crate) sock: Option<&'static str>,
    pub(crate) cause: Option<&'static str>,
}

pub(crate) const CAUSE_EXPECT: &str = "unsupported expect header value";
pub(crate) const CAUSE_CHUNK: &str = "bad chunk";

/// Stands for the absence of a status.
pub(crate) const NO_STATUS: u16 = 0;

impl Code {
    /// A head of a dyno's that goes beyond the limits before it has ended.
    pub(crate) fn of_answer(overrun: Overrun) -> Self {
        match overrun {
            Overrun::FirstLine => Self::H25("HTTP restriction: oversized status line"),
            Overrun::Line | Overrun::Fields => Self::H25("HTTP restriction: oversized header"),
            Overrun::BareLf => Self::H17,
        }
    }

    pub(crate) fn of_bad_answer(bad: BadAnswer) -> Self {
        match bad {
            BadAnswer::Malformed => Self::H17,
            BadAnswer::Length => Self::H25("HTTP restriction: invalid content length"),
            BadAnswer::Cookie => Self::H25("HTTP restriction: oversized cookie"),
            BadAnswer::Field => Self::H25("HTTP restriction: oversized header"),
        }
    }

    pub(crate) fn wording(self) -> Wording {
        match self {
            Self::H10 => error("H10", "App crashed", 503),
            Self::H11 => error("H11", "Backlog too deep", 503),
            Self::H12 => error("H12", "Request timeout", 503),
            Self::H13 => error("H13", "Connection closed without response", 503),
            Self::H14 => error("H14", "No web processes running", 503),
            Self::H15 => error("H15", "Idle connection", 503),
            Self::H17 => error("H17", "Poorly formatted HTTP response", 503),
            Self::H18 => Wording { sock: Some("backend"), ..error("H18", "Server Request Interrupted", 503) },
            Self::H19 => error("H19", "Backend connection timeout", 503),
            Self::H20 => error("H20", "App boot timeout", 503),
            Self::H21 => error("H21", "Backend connection refused", 503),
            // There was no answer, so there is no status (Heroku's table leaves it empty).
            Self::H24 => error("H24", "Forced close", NO_STATUS),
            Self::H25(part) => error("H25", part, 502),
            Self::H26(CAUSE_EXPECT) => request_error(CAUSE_EXPECT, 417),
            Self::H26(cause) => request_error(cause, 400),
            Self::H27 => Wording {
                at: "warning",
                sock: Some("client"),
                ..error("H27", "Client Request Interrupted", 499)
            },
            Self::H28 => Wording { at: "warning", ..error("H28", "Client Connection Idle", 499) },
            Self::H34 => error("H34", "All up dynos are quarantined", 503),
            Self::H80 => Wording { at: "info", ..error("H80", "Maintenance mode", 503) },
            Self::H81 => Wording { at: "info", ..error("H81", "Blank app", 502) },
            Self::H99 => error("H99", "Platform error", 503),
        }
    }
}

fn error(code: &'static str, desc: &'static str, status: u16) -> Wording {
    Wording { code, desc, status, at: "error", sock: None, cause: None }
}

fn request_error(cause: &'static str, status: u16) -> Wording {
    Wording { cause: Some(cause), ..error("H26", "Request Error", status) }
}

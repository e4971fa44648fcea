//! `GET /logs/sessions/SIGNED`: an app's log as server-sent events, or as plain lines for who does not ask for events.
//!
//! ```text
//! id: 4711
//! data: 2026-11-01T12:00:00.000000+00:00 app[web.1]: message
//! ```
//!
//! Without `tail` the stream ends after the backlog; that end is what finishes `heroku logs`. With it, a comment comes
//! whenever nothing else did for a while, and a client that comes back with `Last-Event-ID` goes on behind that line.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use renga_model::{AppId, LogFilter, Refusal};
use renga_ports::LogEntry;
use serde::{Deserialize, Serialize};

use crate::{
    ApiState,
    answer::{Answer, Answered},
    call::Call,
    error::Problem,
};

const PURPOSE: &str = "log-session";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A client gives up a silent stream after 300 s; proxies often after 60.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a session's URL carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) app: AppId,
    pub(crate) ps: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) lines: usize,
    pub(crate) tail: bool,
    pub(crate) until: Timestamp,
}

pub(crate) fn url(state: &ApiState, session: &Session) -> Result<String, Problem> {
    let signed = state.signer.sign(PURPOSE, session).map_err(Problem::internal)?;
    Ok(format!("{}/logs/sessions/{signed}", state.site.api_url))
}

pub(crate) async fn read(call: Call) -> Answered {
    let not_found = || Refusal::not_found("log_session");
    let engine = &call.state.engine;
    let session: Session = call.state.signer.open(PURPOSE, call.param("session")?).ok_or_else(not_found)?;
    if session.until < engine.now() || !engine.app_stands(session.app).await? {
        return Err(not_found().into());
    }
    let headers = &call.parts.headers;
    let after = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let filter = LogFilter { source: session.source, ps: session.ps };
    let entries = engine.logs.session(session.app, filter, session.lines, session.tail, after).await;
    let entries = entries.map_err(Problem::internal)?;
    let response = if wants_events(headers) {
        stream("text/event-stream", kept_alive(entries.map(|entry| event(&entry))))
    } else {
        stream("text/plain; charset=utf-8", entries.map(|entry| Bytes::from(format!("{}\n", entry.line))))
    };
    Ok(Answer::Raw(response))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.into_iter().any(|value| value.contains("text/event-stream"))
}

/// A line of the log has no line break, but an event must not be broken by one in any case.
fn event(entry: &LogEntry) -> Bytes {
    let text = entry.line.to_string();
    let mut event = format!("id: {}\n", entry.id);
    for line in text.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

/// Puts a comment wherever nothing came for [`KEEP_ALIVE`].
fn kept_alive(
    events: impl Stream<Item = Bytes> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    futures_util::stream::unfold(Box::pin(events), |mut events| async move {
        match tokio::time::timeout(KEEP_ALIVE, events.next()).await {
            Ok(Some(event)) => Some((event, events)),
            Ok(None) => None,
            Err(_silent) => Some((Bytes::from_static(b": keep-alive\n\n"), events)),
        }
    })
}

pub(super) fn stream(kind: &'static str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(chunks.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front of the platform would hold back what does not fill a buffer.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use renga_model::{LogLine, LogSource};

    fn entry(text: &str) -> LogEntry {
        let at = "2026-11-01T12:00:00Z".parse().unwrap();
        LogEntry {
            id: 7,
            line: LogLine { at, source: LogSource::App, ps: "web.1".into(), text: text.into() },
        }
    }

    #[test]
    fn an_event_cannot_be_broken_by_its_text() {
        assert_eq!(event(&entry("hi")), "id: 7\ndata: 2026-11-01T12:00:00.000000+00:00 app[web.1]: hi\n\n");
        let broken = event(&entry("a\n\nevent: x\rdata: y"));
        assert!(!broken.windows(7).any(|w| w == b"\nevent:"), "{broken:?}");
        assert_eq!(broken.windows(2).filter(|w| w == b"\n\n").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let slow = futures_util::stream::once(async {
            tokio::time::sleep(KEEP_ALIVE * 2 + Duration::from_secs(1)).await;
            Bytes::from_static(b"data: x\n\n")
        });
        let got: Vec<Bytes> = kept_alive(slow).collect().await;
        assert_eq!(got, [&b": keep-alive\n\n"[..], b": keep-alive\n\n", b"data: x\n\n"]);
    }
}

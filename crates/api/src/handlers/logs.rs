//! Log sessions: a URL that shows an app's log to whoever holds it.

use jiff::SignedDuration;
use renga_model::{Refusal, limits};
use renga_wire as wire;

use crate::{
    answer::{Answered, created},
    call::Call,
    streams::log_session::{self, Session},
};

/// How long a session may be opened, and its tail resumed after a broken connection (ours; Heroku: about 5 minutes
/// to open it).
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of a filter's words (ours).
const FILTER_BYTES_MAX: usize = 200;

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::LogSessionCreate = call.json().await?;
    let (app, now) = (call.app()?.id, call.state.engine.now());
    let ps = asked.dyno.or(asked.dyno_name).or(asked.process_type).filter(|text| !text.is_empty());
    let source = asked.source.filter(|text| !text.is_empty());
    for (name, text) in [("dyno", &ps), ("source", &source)] {
        if text.as_ref().is_some_and(|text| text.len() > FILTER_BYTES_MAX) {
            return Err(
                Refusal::invalid(format!("{name}: may have at most {FILTER_BYTES_MAX} bytes.")).into()
            );
        }
    }
    let lines = match asked.lines {
        None => limits::LOG_LINES_DEFAULT,
        Some(lines) => {
            usize::try_from(lines).map_err(|_| Refusal::invalid("lines: must not be negative."))?
        }
    };
    let session = Session {
        app,
        ps,
        source,
        lines: lines.min(limits::LOG_LINES_KEPT),
        tail: asked.tail.unwrap_or(false),
        until: now + LIFE,
    };
    let url = log_session::url(&call.state, &session)?;
    created(&wire::LogSession::new(uuid::Uuid::new_v4(), url, now))
}

//! `GET /streams/SIGNED`: the output of a build or a release command, from its start to its end, while it grows and
//! long after. Any number of readers.

use renga_model::Refusal;
use renga_ports::LogsError;

use super::log_session::stream;
use crate::{
    ApiState,
    answer::{Answer, Answered},
    call::Call,
    error::Problem,
};

const PURPOSE: &str = "output";

/// The URL of an output; it stays good as long as the output is kept.
pub(crate) fn url(state: &ApiState, name: &str) -> Result<String, Problem> {
    let signed = state.signer.sign(PURPOSE, &name).map_err(Problem::internal)?;
    Ok(format!("{}/streams/{signed}", state.site.api_url))
}

pub(crate) async fn read(call: Call) -> Answered {
    let name: Option<String> = call.state.signer.open(PURPOSE, call.param("stream")?);
    let name = name.ok_or_else(|| Refusal::not_found("output_stream"))?;
    match call.state.engine.logs.output_read(&name).await {
        Ok(chunks) => Ok(Answer::Raw(stream("text/plain; charset=utf-8", chunks))),
        Err(LogsError::NoSuchOutput(_)) => Err(Refusal::not_found("output_stream").into()),
        Err(failed) => Err(Problem::internal(failed)),
    }
}

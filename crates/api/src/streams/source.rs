//! `PUT` and `GET /sources/ID/SECRET`: the upload of a source. It is written beside its place and renamed when it is
//! whole, so that a build never sees half of one.

use std::{io, path::Path};

use axum::{body::Body, response::Response};
use futures_util::TryStreamExt;
use http::{HeaderValue, header};
use renga_model::{Refusal, Secret, limits};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use tokio_util::io::ReaderStream;

use crate::{
    answer::{Answer, Answered, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn put(mut call: Call) -> Answered {
    let secret = Secret::new(call.param("secret")?);
    let target = call.state.engine.source_file(call.param("source")?, &secret).await?;
    let announced =
        call.parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::SOURCE_BYTES_MAX) {
        return Err(too_large());
    }
    let draft = target.with_extension(format!("{}.part", uuid::Uuid::new_v4()));
    let written = write(call.take_body(), &draft).await;
    let placed = match written {
        Ok(()) => fs::rename(&draft, &target).await.map_err(Problem::internal),
        Err(problem) => Err(problem),
    };
    if placed.is_err() {
        fs::remove_file(&draft).await.ok();
    }
    placed?;
    ok(&serde_json::json!({}))
}

async fn write(body: Body, draft: &Path) -> Result<(), Problem> {
    let mut file = File::create(draft).await.map_err(Problem::internal)?;
    let chunks = body.into_data_stream().map_err(io::Error::other);
    let mut chunks = std::pin::pin!(chunks);
    let mut left = limits::SOURCE_BYTES_MAX;
    let broken = |error| Refusal::bad_request("The upload ended early.").because(error);
    while let Some(chunk) = chunks.try_next().await.map_err(broken)? {
        left = left.checked_sub(chunk.len() as u64).ok_or_else(too_large)?;
        file.write_all(&chunk).await.map_err(Problem::internal)?;
    }
    file.sync_all().await.map_err(Problem::internal)
}

fn too_large() -> Problem {
    Problem::BodyTooLarge { bytes_max: usize::try_from(limits::SOURCE_BYTES_MAX).unwrap_or(usize::MAX) }
}

pub(crate) async fn get(call: Call) -> Answered {
    let secret = Secret::new(call.param("secret")?);
    let path = call.state.engine.source_file(call.param("source")?, &secret).await?;
    let file = match File::open(path).await {
        Err(failed) if failed.kind() == io::ErrorKind::NotFound => {
            return Err(Refusal::not_found("source").into());
        }
        other => other.map_err(Problem::internal)?,
    };
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(Answer::Raw(response))
}

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
    receive(&mut call, &target, limits::SOURCE_BYTES_MAX).await?;
    ok(&serde_json::json!({}))
}

/// The body, as the file `target`, once it is whole.
pub(super) async fn receive(call: &mut Call, target: &Path, bytes_max: u64) -> Result<(), Problem> {
    let announced =
        call.parts.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let draft = target.with_extension(format!("{}.part", uuid::Uuid::new_v4()));
    let written = write(call.take_body(), &draft, bytes_max).await;
    let placed = match written {
        Ok(()) => fs::rename(&draft, target).await.map_err(Problem::internal),
        Err(problem) => Err(problem),
    };
    if placed.is_err() {
        fs::remove_file(&draft).await.ok();
    }
    placed
}

async fn write(body: Body, draft: &Path, bytes_max: u64) -> Result<(), Problem> {
    let mut file = File::create(draft).await.map_err(Problem::internal)?;
    let chunks = body.into_data_stream().map_err(io::Error::other);
    let mut chunks = std::pin::pin!(chunks);
    let mut left = bytes_max;
    let broken = |error| Refusal::bad_request("The upload ended early.").because(error);
    while let Some(chunk) = chunks.try_next().await.map_err(broken)? {
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| too_large(bytes_max))?;
        file.write_all(&chunk).await.map_err(Problem::internal)?;
    }
    file.sync_all().await.map_err(Problem::internal)
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::BodyTooLarge { bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX) }
}

pub(crate) async fn get(call: Call) -> Answered {
    let secret = Secret::new(call.param("secret")?);
    let path = call.state.engine.source_file(call.param("source")?, &secret).await?;
    send(&path, "source").await
}

/// The file's bytes; `resource` is what was not found if there is none.
pub(super) async fn send(path: &Path, resource: &'static str) -> Answered {
    let file = match File::open(path).await {
        Err(failed) if failed.kind() == io::ErrorKind::NotFound => {
            return Err(Refusal::not_found(resource).into());
        }
        other => other.map_err(Problem::internal)?,
    };
    let mut response = Response::new(Body::from_stream(ReaderStream::new(file)));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(Answer::Raw(response))
}

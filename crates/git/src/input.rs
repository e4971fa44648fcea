//! A request's body into a process: decoded if git compressed it, bounded, and not waited for without end.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, process::ChildStdin};

/// Compressed input is decoded in steps of this size, so that a bomb fills at most a thousand times as much memory.
const DECODE_STEP_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct InputLimits {
    /// After decoding.
    pub(crate) bytes_max: u64,
    /// Between two pieces.
    pub(crate) stall_time_max: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("the client sent nothing for too long")]
    Stalled,
    #[error("the request has more than {0} bytes")]
    TooLarge(u64),
    #[error("could not read the request: {0}")]
    Read(String),
    #[error("could not decode the request")]
    Decode(#[source] std::io::Error),
    #[error("git did not take its input")]
    Write(#[source] std::io::Error),
}

/// Ends by closing `stdin`, whatever happened: git then knows that the request is cut, and refuses it.
pub(crate) async fn pump<B>(
    body: B,
    stdin: ChildStdin,
    gzip: bool,
    limits: InputLimits,
) -> Result<(), InputError>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut sink = Sink { stdin, bytes: 0, bytes_max: limits.bytes_max };
    let mut decoder = gzip.then(|| GzDecoder::new(Vec::new()));
    loop {
        let frame = tokio::time::timeout(limits.stall_time_max, body.frame()).await;
        let Some(frame) = frame.map_err(|_| InputError::Stalled)? else { break };
        let Ok(data) = frame.map_err(|error| InputError::Read(error.to_string()))?.into_data() else {
            continue;
        };
        match &mut decoder {
            None => sink.write(&data).await?,
            Some(decoder) => {
                for step in data.chunks(DECODE_STEP_BYTES) {
                    decoder.write_all(step).map_err(InputError::Decode)?;
                    let decoded = std::mem::take(decoder.get_mut());
                    sink.write(&decoded).await?;
                }
            }
        }
    }
    if let Some(decoder) = decoder {
        sink.write(&decoder.finish().map_err(InputError::Decode)?).await?;
    }
    Ok(())
}

struct Sink {
    stdin: ChildStdin,
    bytes: u64,
    bytes_max: u64,
}

impl Sink {
    async fn write(&mut self, data: &[u8]) -> Result<(), InputError> {
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(InputError::TooLarge(self.bytes_max));
        }
        self.stdin.write_all(data).await.map_err(InputError::Write)
    }
}

//! What client and node say to each other, and how much of it.

use std::{io, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use renga_model::{DynoId, LayerDigest};
use renga_ports::{Capacity, DynoReport, DynoSpec, DynoUsage, LayerInfo, PackedLayer, RuntimeError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Raised when a word changes its meaning; new words alone do not raise it.
pub(crate) const VERSION: u32 = 1;
/// A spec holds config vars (64 KB), files (1 MiB) and a command (128 KiB), quoted at worst.
pub(crate) const REQUEST_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A file of 16 MiB in base64, or an inventory of many thousand dynos.
pub(crate) const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The other side takes what is written within this time.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) call: Call,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Start(Box<DynoSpec>),
    Stop { dyno: DynoId, grace_ms: u64 },
    Freeze { dyno: DynoId },
    Thaw { dyno: DynoId },
    Inventory,
    Forget { dyno: DynoId },
    Changed { seen: u64 },
    Pack { dyno: DynoId, directory: String },
    ReadFile { dyno: DynoId, path: String, bytes_max: u64 },
    Layers,
    LayerRemove { digest: LayerDigest, packed_before: Timestamp },
    Capacity,
    Usage,
    Listeners { dyno: DynoId },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) version: u32,
    pub(crate) reply: Reply,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Done,
    Inventory(Vec<DynoReport>),
    Changed { now: u64 },
    Packed(PackedLayer),
    File(Base64),
    Layers(Vec<LayerInfo>),
    Capacity(Capacity),
    Usage(Vec<DynoUsage>),
    Listeners(Vec<std::net::SocketAddr>),
    Failed(RuntimeError),
}

/// Bytes that JSON would otherwise show as a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64_STANDARD.decode(text).map(Self)
    }
}
impl From<Base64> for String {
    fn from(bytes: Base64) -> String {
        BASE64_STANDARD.encode(bytes.0)
    }
}

/// Reads one line; `None` at the end of the stream. A longer line than `bytes_max` is an error.
pub(crate) async fn read_line<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    bytes_max: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let length = reader.take(bytes_max).read_until(b'\n', &mut line).await?;
    if length == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let why = if length as u64 == bytes_max { "the line is too long" } else { "the line is cut off" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

pub(crate) async fn write_line(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let written = tokio::time::timeout(WRITE_TIMEOUT, writer.write_all(&line)).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_whole() {
        let read = async |bytes: &[u8], max| {
            let mut reader = tokio::io::BufReader::new(bytes);
            read_line::<Request>(&mut reader, max).await
        };
        let line = b"{\"version\":1,\"call\":\"inventory\"}\n";
        assert!(matches!(read(line, 100).await.unwrap().unwrap().call, Call::Inventory));
        assert!(read(b"", 100).await.unwrap().is_none());
        for (bytes, max) in [(&line[..10], 100), (&line[..], 10), (b"nonsense\n", 100)] {
            assert!(read(bytes, max).await.is_err());
        }
    }

    #[test]
    fn the_words_of_version_1_look_like_this() {
        let file = Reply::File(Base64(vec![1, 2, 255]));
        assert_eq!(serde_json::to_string(&file).unwrap(), r#"{"file":"AQL/"}"#);
        let failed = Reply::Failed(RuntimeError::NoRoom("disk".into()));
        assert_eq!(serde_json::to_string(&failed).unwrap(), r#"{"failed":{"no_room":"disk"}}"#);
        assert!(serde_json::from_str::<Reply>(r#"{"file":"*"}"#).is_err());
    }
}

//! Messages on the router's Unix sockets: four bytes of length (big endian), then that much JSON, both ways.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A route table, in bytes (ours): some 100,000 dynos.
pub(crate) const TABLE_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// A certificate with its chain and key, in bytes (ours).
pub(crate) const CERTIFICATE_BYTES_MAX: u32 = 1024 * 1024;

/// Reads one message; `None` at the end of the stream.
pub(crate) async fn read_bytes(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: u32,
) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes is over the limit of {bytes_max}"),
        ));
    }
    // Grows with what arrives, so that a lie about the length costs no memory.
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes).await?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

pub(crate) async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: u32,
) -> io::Result<T> {
    let bytes = read_bytes(stream, bytes_max).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    serde_json::from_slice(&bytes).map_err(io::Error::from)
}

pub(crate) async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
    bytes_max: u32,
) -> io::Result<()> {
    stream.write_all(&encode(message, bytes_max)?).await?;
    stream.flush().await
}

/// One message as it travels.
pub(crate) fn encode<T: Serialize>(message: &T, bytes_max: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= bytes_max);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_round_trip_and_large_ones_are_refused() {
        let (mut near, mut far) = tokio::io::duplex(64);
        write(&mut near, &vec![1, 2, 3], 100).await.unwrap();
        assert_eq!(read::<Vec<u8>>(&mut far, 100).await.unwrap(), [1, 2, 3]);
        near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let refused = read_bytes(&mut far, 100).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        drop(near);
        assert!(read_bytes(&mut far, 100).await.unwrap().is_none());
        assert!(write(&mut far, &"x".repeat(200), 100).await.is_err());
    }
}

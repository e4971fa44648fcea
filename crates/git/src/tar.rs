//! Where a tar file's members end, so that another tar's members can follow them.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK_BYTES: u64 = 512;
/// Offset and length of the size field in a member's header.
const SIZE_FIELD: std::ops::Range<usize> = 124..136;
/// Members of one source (more is no source any more).
const MEMBERS_MAX: u64 = 2_000_000;

/// The offset of the end-of-archive blocks, counted from `start`.
pub(crate) fn members_end(file: &mut (impl Read + Seek), start: u64) -> io::Result<u64> {
    let mut offset = start;
    for _ in 0..MEMBERS_MAX {
        file.seek(SeekFrom::Start(offset))?;
        let mut header = [0_u8; 512];
        file.read_exact(&mut header)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(offset);
        }
        let size = member_size(&header[SIZE_FIELD])?;
        offset += BLOCK_BYTES + size.div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
    }
    Err(io::Error::other("too many members in a tar file"))
}

/// Git writes sizes in octal (those of 8 GiB and more, which are far beyond our limit, otherwise).
fn member_size(field: &[u8]) -> io::Result<u64> {
    let digits = field.iter().take_while(|byte| byte.is_ascii_digit()).copied().collect::<Vec<_>>();
    let text = String::from_utf8(digits).map_err(io::Error::other)?;
    u64::from_str_radix(&text, 8).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[0] = b'x';
        bytes[SIZE_FIELD].copy_from_slice(format!("{size:011o}\0").as_bytes());
        bytes.resize(512 + size.div_ceil(512) * 512, 0);
        bytes
    }

    #[test]
    fn members_of_zeros_are_not_taken_for_the_end() {
        let mut bytes = [member(0), member(3000), member(1)].concat();
        let end = bytes.len() as u64;
        bytes.resize(bytes.len() + 10_240, 0);
        assert_eq!(members_end(&mut io::Cursor::new(&bytes), 0).unwrap(), end);
        assert_eq!(members_end(&mut io::Cursor::new(&bytes), 512).unwrap(), end);
        assert!(members_end(&mut io::Cursor::new(&bytes[..700]), 0).is_err());
    }
}

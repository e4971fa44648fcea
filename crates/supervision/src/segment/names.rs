//! File names of segments, and listing them.

use std::path::{Path, PathBuf};

use super::SegmentError;

const SUFFIX: &str = ".seg";
const DIGITS: usize = 20;

pub(crate) fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:0DIGITS$}{SUFFIX}"))
}

fn parse(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// The names' numbers, lowest first. Other files in the directory are not looked at.
pub(crate) fn segments(directory: &Path) -> Result<Vec<u64>, SegmentError> {
    let entries = std::fs::read_dir(directory).map_err(SegmentError::new("list", directory))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(SegmentError::new("list", directory))?;
        found.extend(entry.file_name().to_str().and_then(parse));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_segments() {
        assert_eq!(parse("00000000000000000042.seg"), Some(42));
        for other in
            ["42.seg", "0000000000000000004x.seg", "00000000000000000042.tmp", "99999999999999999999.seg"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}

//! `[sizes.NAME]`: the operator's figures over Heroku's table.

use std::{collections::BTreeMap, ops::RangeInclusive};

use renga_model::{SizeFigures, Sizes};
use serde::Deserialize;

/// One table `[sizes.NAME]`. A name of Heroku's changes that size, any other makes one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Size {
    pub(crate) memory_mib: Option<u64>,
    /// 1024 for each of Heroku's shares.
    pub(crate) cpu_shares: Option<u64>,
    /// Processes and threads.
    pub(crate) processes: Option<u64>,
    /// Files open at one time, per process.
    pub(crate) open_files: Option<u64>,
    /// Writable layer of a dyno.
    pub(crate) disk_mib: Option<u64>,
}

/// Less holds no shell; more is more than any machine has.
const MEMORY_MIB: RangeInclusive<u64> = 32..=16 * 1024 * 1024;
/// What the kernel takes.
const CPU_SHARES: RangeInclusive<u64> = 2..=262_144;
/// A shell with a pipe, up to what the kernel counts.
const PROCESSES: RangeInclusive<u64> = 8..=4_194_304;
/// Up to what the kernel gives one process.
const OPEN_FILES: RangeInclusive<u64> = 64..=1_048_576;
/// The file system needs some room for itself.
const DISK_MIB: RangeInclusive<u64> = 64..=16 * 1024 * 1024;
const NAME_BYTES_MAX: usize = 40;
const SIZES_MAX: usize = 100;

pub(super) fn sizes(typed: &BTreeMap<String, Size>, mistakes: &mut Vec<String>) -> Sizes {
    let mut sizes = Sizes::heroku();
    if typed.len() > SIZES_MAX {
        mistakes.push(format!("sizes: {} of them; at most {SIZES_MAX} make sense", typed.len()));
    }
    for (name, size) in typed {
        let before = mistakes.len();
        if !is_name(name) {
            mistakes.push(format!(
                "sizes.{name:?}: a size's name has letters, digits, hyphens and dots, begins with a letter, and is at most {NAME_BYTES_MAX} characters long"
            ));
        }
        let mut check = |key, figure: Option<u64>, allowed: RangeInclusive<u64>| {
            if let Some(figure) = figure.filter(|figure| !allowed.contains(figure)) {
                let (least, most) = allowed.into_inner();
                mistakes.push(format!("sizes.{name}.{key} = {figure}: must be from {least} to {most}"));
            }
        };
        check("memory_mib", size.memory_mib, MEMORY_MIB);
        check("cpu_shares", size.cpu_shares, CPU_SHARES);
        check("processes", size.processes, PROCESSES);
        check("open_files", size.open_files, OPEN_FILES);
        check("disk_mib", size.disk_mib, DISK_MIB);
        if sizes.find(name).is_none() && size.memory_mib.is_none() {
            mistakes.push(format!("sizes.{name}: a size of your own needs memory_mib"));
        }
        if mistakes.len() == before {
            sizes.put(name, &size.figures());
        }
    }
    sizes
}

impl Size {
    fn figures(&self) -> SizeFigures {
        SizeFigures {
            memory_mib: self.memory_mib,
            cpu_shares: self.cpu_shares,
            processes_max: self.processes,
            open_files_max: self.open_files,
            disk_mib: self.disk_mib,
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<Sizes, Vec<String>> {
        #[derive(Deserialize)]
        struct File {
            sizes: BTreeMap<String, Size>,
        }
        let file: File = toml::from_str(toml).unwrap();
        let mut mistakes = Vec::new();
        let sizes = sizes(&file.sizes, &mut mistakes);
        if mistakes.is_empty() { Ok(sizes) } else { Err(mistakes) }
    }

    #[test]
    fn sizes_change_and_are_added() {
        let sizes = read(
            "[sizes.tiny]\nmemory_mib = 64\nprocesses = 20\nopen_files = 200\ndisk_mib = 100\ncpu_shares = 100\n[sizes.BASIC]\nmemory_mib = 700\n",
        )
        .unwrap();
        let tiny = sizes.find("Tiny").unwrap();
        assert_eq!(
            (tiny.memory_mib, tiny.processes_max, tiny.open_files_max, tiny.disk_mib, tiny.cpu_shares),
            (64, 20, 200, Some(100), 100)
        );
        let basic = sizes.find("basic").unwrap();
        assert_eq!((basic.name.as_str(), basic.memory_mib, basic.processes_max), ("Basic", 700, 256));
    }

    #[test]
    fn every_mistake_is_told() {
        let mistakes = read(
            "[sizes.\"a b\"]\nmemory_mib = 1\n[sizes.own]\ncpu_shares = 1\nprocesses = 0\nopen_files = 3\ndisk_mib = 9\n",
        )
        .unwrap_err();
        let expected = [
            "a b",
            "a b.memory_mib",
            "own.cpu_shares",
            "own.processes",
            "own.open_files",
            "own.disk_mib",
            "own: ",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, part) in mistakes.iter().zip(expected) {
            assert!(mistake.contains(part), "{mistake} {part}");
        }
    }
}

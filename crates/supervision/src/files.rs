//! The small JSON files of a dyno's directory, and where everything in it lies.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use renga_model::Exit;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Label, State};

/// A file of ours is never larger; what is, is not ours.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not {operation} {}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} is not what it should be", path.display())]
    Content {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
}

/// The paths in a dyno's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoDirectory(PathBuf);

impl DynoDirectory {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn label(&self) -> PathBuf {
        self.0.join("label.json")
    }
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }
    pub fn attach(&self) -> PathBuf {
        self.0.join("attach.sock")
    }
    pub fn exec(&self) -> PathBuf {
        self.0.join("exec.sock")
    }
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub fn read_label(&self) -> Result<Option<Label>, FileError> {
        read_json(&self.label())
    }
    pub fn write_label(&self, label: &Label) -> Result<(), FileError> {
        write_json(&self.label(), label)
    }
    pub fn read_state(&self) -> Result<Option<State>, FileError> {
        read_json(&self.state())
    }
    /// Without syncing: nothing of a dyno survives a power cut, and a start should not wait for the disk.
    pub fn write_state(&self, state: &State) -> Result<(), FileError> {
        replace(&self.state(), state, Durable::No)
    }
    pub fn read_exit(&self) -> Result<Option<Exit>, FileError> {
        read_json(&self.exit())
    }
    pub fn write_exit(&self, exit: &Exit) -> Result<(), FileError> {
        write_json(&self.exit(), exit)
    }
}

/// Replaces the file atomically and durably: readers see the old content or the new one, also after a power cut.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    replace(path, value, Durable::Yes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

fn replace<T: Serialize>(path: &Path, value: &T, durable: Durable) -> Result<(), FileError> {
    let io_error = |operation| move |cause| FileError::Io { operation, path: path.to_owned(), cause };
    let content =
        serde_json::to_vec(value).map_err(|cause| FileError::Content { path: path.to_owned(), cause })?;
    let staged = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&staged)
        .map_err(io_error("create"))?;
    file.write_all(&content).map_err(io_error("write"))?;
    if durable == Durable::Yes {
        file.sync_all().map_err(io_error("sync"))?;
    }
    std::fs::rename(&staged, path).map_err(io_error("replace"))?;
    if durable == Durable::No {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_error("sync the directory of"))
}

/// None if the file is not there, or empty, which is what a power cut may leave of one that was not synced.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let io_error = |operation| move |cause| FileError::Io { operation, path: path.to_owned(), cause };
    let file = match File::open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("open"))?,
    };
    let content = io::read_to_string(io::Read::take(file, FILE_BYTES_MAX)).map_err(io_error("read"))?;
    if content.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&content)
        .map(Some)
        .map_err(|cause| FileError::Content { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use renga_model::ExitReason;

    use super::*;

    #[test]
    fn files_are_replaced_and_read_back_and_a_missing_one_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let directory = DynoDirectory::new(temp.path());
        assert_eq!(directory.read_exit().unwrap(), None);
        for code in [7, 143] {
            let exit = Exit::new(code, ExitReason::Exited, "2026-01-02T03:04:05Z".parse().unwrap());
            directory.write_exit(&exit).unwrap();
            assert_eq!(directory.read_exit().unwrap(), Some(exit));
        }
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "no staged file stays");
        std::fs::write(directory.exit(), "{").unwrap();
        assert!(matches!(directory.read_exit(), Err(FileError::Content { .. })));
    }
}

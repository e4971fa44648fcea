//! The source of a commit as one tar file.

use std::path::{Path, PathBuf};

use renga_model::AppId;
use renga_ports::GitError;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

use crate::{
    GitStore,
    command::Run,
    store::blocking,
    submodule::{Fetched, Parent},
    tar,
};

const OPERATION: &str = "archive";

impl GitStore {
    /// Written beside `target`, synced, and renamed: a file at `target` is whole.
    pub(crate) async fn archive_write(
        &self,
        app: AppId,
        commit: &str,
        target: &Path,
    ) -> Result<(), GitError> {
        let io = |cause| GitError::Io { operation: OPERATION, cause };
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", Uuid::new_v4().simple()));
        let draft = Draft(target.with_file_name(name));

        let repository = self.repository(app);
        let mut tar = TarFile::create(self, &draft.0).await?;
        tar.append(&repository, commit, "").await?;
        let parent = Parent { repository, commit: commit.to_owned(), prefix: String::new() };
        for module in self.submodules_fetch(parent).await? {
            let Fetched { repository, commit, prefix } = &module;
            tar.append(repository.path(), commit, prefix).await?;
        }
        tar.file.sync_all().await.map_err(io)?;
        tokio::fs::rename(&draft.0, target).await.map_err(io)
    }
}

/// Members of several trees behind each other.
struct TarFile<'a> {
    store: &'a GitStore,
    file: tokio::fs::File,
    path: PathBuf,
    /// Where the next members go.
    end: u64,
}

impl<'a> TarFile<'a> {
    async fn create(store: &'a GitStore, path: &Path) -> Result<Self, GitError> {
        let io = |cause| GitError::Io { operation: OPERATION, cause };
        let file = tokio::fs::File::create_new(path).await.map_err(io)?;
        Ok(Self { store, file, path: path.to_owned(), end: 0 })
    }

    async fn append(&mut self, repository: &Path, commit: &str, prefix: &str) -> Result<(), GitError> {
        let io = |cause| GitError::Io { operation: OPERATION, cause };
        let mut command = self.store.program().in_repository(repository);
        command.args(["archive", "--format=tar"]).arg(format!("--prefix={prefix}")).arg(commit);
        let limits = self.store.limits();
        let room = limits.source_bytes_max.saturating_sub(self.end);
        let run = Run {
            operation: OPERATION,
            input: b"",
            output_bytes_max: room,
            time_max: limits.command_time_max,
            tasks: self.store.tasks(),
        };
        let start = self.end;
        self.file.set_len(start).await.map_err(io)?;
        self.file.seek(std::io::SeekFrom::Start(start)).await.map_err(io)?;
        run.copy(command, &mut self.file).await?;
        self.file.flush().await.map_err(io)?;
        let path = self.path.clone();
        self.end =
            blocking(OPERATION, move || tar::members_end(&mut std::fs::File::open(path)?, start)).await?;
        Ok(())
    }
}

/// Removed unless it has been renamed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(error = %error, "could not remove a half-written archive");
        }
    }
}

//! Repositories as maps from branch to commit.

use std::path::Path;

use async_trait::async_trait;
use renga_model::AppId;
use renga_ports::{Git, GitError};

use super::{Faults, World, faults::call};

#[derive(Debug)]
pub struct WorldGit {
    pub(crate) world: World,
    pub(crate) faults: Faults,
}

fn away() -> GitError {
    GitError::TimedOut { operation: "simulated", seconds: 1 }
}

#[async_trait]
impl Git for WorldGit {
    async fn repository_create(&self, app: AppId) -> Result<(), GitError> {
        let create = || {
            self.world.state().repositories.entry(app).or_default();
            Ok(())
        };
        call!(self.faults, away(), create())
    }
    async fn repository_remove(&self, app: AppId) -> Result<(), GitError> {
        let remove = || {
            self.world.state().repositories.remove(&app);
            Ok(())
        };
        call!(self.faults, away(), remove())
    }
    async fn archive(&self, _app: AppId, commit: &str, target: &Path) -> Result<(), GitError> {
        let write =
            || std::fs::write(target, commit).map_err(|cause| GitError::Io { operation: "archive", cause });
        // A source that can't be made fails the build, and rightly: this call is cut, but never refused.
        if self.faults.refuses() {
            return write();
        }
        call!(self.faults, away(), write())
    }
    async fn commit_subject(&self, _app: AppId, commit: &str) -> Result<String, GitError> {
        Ok(format!("Subject of {commit}"))
    }
    async fn branch_move(&self, app: AppId, branch: &str, commit: &str) -> Result<(), GitError> {
        let move_it = || {
            let mut state = self.world.state();
            state.repositories.entry(app).or_default().insert(branch.to_owned(), commit.to_owned());
            Ok(())
        };
        call!(self.faults, away(), move_it())
    }
    async fn repository_collect(&self, _app: AppId) -> Result<(), GitError> {
        call!(self.faults, away(), Ok::<_, GitError>(()))
    }
    async fn repository_bytes(&self, _app: AppId) -> Result<u64, GitError> {
        Ok(1024)
    }
}

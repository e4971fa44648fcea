//! Repositories that are nothing but their names and branches.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
};

use async_trait::async_trait;
use renga_model::AppId;
use renga_ports::{Git, GitError};

#[derive(Debug, Default)]
pub struct SimGit {
    repositories: Mutex<BTreeSet<AppId>>,
    branches: Mutex<BTreeMap<(AppId, String), String>>,
}

impl SimGit {
    pub fn has(&self, app: AppId) -> bool {
        self.repositories.lock().expect("nothing panics while it holds this lock").contains(&app)
    }
    pub fn branch(&self, app: AppId, branch: &str) -> Option<String> {
        let branches = self.branches.lock().expect("nothing panics while it holds this lock");
        branches.get(&(app, branch.to_owned())).cloned()
    }
}

#[async_trait]
impl Git for SimGit {
    async fn repository_create(&self, app: AppId) -> Result<(), GitError> {
        self.repositories.lock().expect("nothing panics while it holds this lock").insert(app);
        Ok(())
    }
    async fn repository_remove(&self, app: AppId) -> Result<(), GitError> {
        self.repositories.lock().expect("nothing panics while it holds this lock").remove(&app);
        Ok(())
    }
    /// The commit's name is all that there is of its tree.
    async fn archive(&self, _: AppId, commit: &str, target: &Path) -> Result<(), GitError> {
        let written = tokio::fs::write(target, commit).await;
        written.map_err(|cause| GitError::Io { operation: "archive", cause })
    }
    async fn commit_subject(&self, _: AppId, commit: &str) -> Result<String, GitError> {
        Ok(format!("Commit {commit}"))
    }
    async fn branch_move(&self, app: AppId, branch: &str, commit: &str) -> Result<(), GitError> {
        let mut branches = self.branches.lock().expect("nothing panics while it holds this lock");
        branches.insert((app, branch.to_owned()), commit.to_owned());
        Ok(())
    }
    async fn repository_collect(&self, _: AppId) -> Result<(), GitError> {
        Ok(())
    }
    async fn repository_bytes(&self, _: AppId) -> Result<u64, GitError> {
        Ok(0)
    }
}

//! The git port (what the engine asks of repositories) and the push gate (what git asks of the engine).

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use renga_model::{AccountId, AppId};
use tokio::sync::mpsc;

#[async_trait]
pub trait Git: Send + Sync + 'static {
    /// Makes the app's bare repository unless it is there.
    async fn repository_create(&self, app: AppId) -> Result<(), GitError>;
    async fn repository_remove(&self, app: AppId) -> Result<(), GitError>;
    /// Writes the commit's tree (submodules included where they can be had) as a tar file at `target`, atomically.
    async fn archive(&self, app: AppId, commit: &str, target: &Path) -> Result<(), GitError>;
    /// The first line of the commit's message.
    async fn commit_subject(&self, app: AppId, commit: &str) -> Result<String, GitError>;
    /// Moves a branch after its release stands; also removes the staging ref of that commit. Moving it again is fine.
    async fn branch_move(&self, app: AppId, branch: &str, commit: &str) -> Result<(), GitError>;
    /// Packs the repository and removes what no branch needs and no push is bringing. Heavy; for when space is short.
    async fn repository_collect(&self, app: AppId) -> Result<(), GitError>;
    /// Bytes that the repository takes on disk.
    async fn repository_bytes(&self, app: AppId) -> Result<u64, GitError>;
}

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git {operation} failed: {stderr}")]
    Command { operation: &'static str, stderr: String },
    #[error("git {operation} failed")]
    Io {
        operation: &'static str,
        #[source]
        cause: std::io::Error,
    },
    #[error("git {operation} took longer than {seconds} s")]
    TimedOut { operation: &'static str, seconds: u64 },
}

/// Called by the `proc-receive` hook of a push, when the objects are safe and nothing has moved yet.
#[async_trait]
pub trait PushGate: Send + Sync + 'static {
    /// Decides every update; `progress` carries bytes for the pusher's terminal, complete lines with their newline,
    /// without the `remote: ` prefix. A closed `progress` means that the pusher has gone: the work goes on.
    async fn push(&self, request: PushRequest, progress: mpsc::Sender<Bytes>) -> Vec<RefVerdict>;
}

#[derive(Debug, Clone)]
pub struct PushRequest {
    pub app: AppId,
    pub pusher: AccountId,
    pub updates: Vec<RefUpdate>,
}

/// `old` and `new` are 40 hex digits; all zeros mean "does not exist".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    pub name: String,
    pub old: String,
    pub new: String,
}

/// `refused` is the text behind `! [remote rejected]`; none means that the ref has moved (or been created).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefVerdict {
    pub name: String,
    pub refused: Option<String>,
}

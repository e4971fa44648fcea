//! What can go wrong with the ledger, and how SQLite's codes become our words.

use std::{io, path::PathBuf, sync::Arc};

use renga_model::{DynoId, IllegalMove};
use rusqlite::{ErrorCode, ffi};

/// `Clone`, because one failed commit is the answer to every request that was part of it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A compare-and-set lost: look again.
    #[error("{what} {id} has changed in the meantime")]
    Stale { what: &'static str, id: String },
    /// `what` as Heroku names the resource: `app`, `release`, `dyno`, ...
    #[error("there is no such {what}")]
    NotFound { what: &'static str },
    /// Something unique exists already: `app name`, `email`, `unfinished build`, `release version`, ...
    #[error("this {what} exists already")]
    Conflict { what: &'static str },
    /// The row refers to one that is gone (an app that was taken apart meanwhile).
    #[error("could not {operation}: what it belongs to is gone")]
    Dangling { operation: &'static str },
    #[error("could not move dyno {dyno}")]
    IllegalMove {
        dyno: DynoId,
        #[source]
        cause: IllegalMove,
    },
    #[error("could not {operation}: the disk is full")]
    Full { operation: &'static str },
    #[error("could not {operation}")]
    Sql {
        operation: &'static str,
        #[source]
        cause: Arc<rusqlite::Error>,
    },
    /// A row holds what we never write: somebody else did, or the file is damaged.
    #[error("the ledger's {what} is not readable: {detail}")]
    Corrupt { what: String, detail: String },
    /// A sealed value does not open: damaged, moved from another row, or sealed with another key.
    #[error("the ledger's {what} can't be decrypted")]
    Unsealable { what: &'static str },
    #[error("the master key does not belong to this ledger")]
    WrongKey,
    #[error("the master key {path} {problem}")]
    BadKey { path: PathBuf, problem: &'static str },
    #[error("the data directory is in use by {} (lock {path})", .pid.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("the ledger was written by a newer version (schema {found}, this one knows {known})")]
    Newer { found: u32, known: u32 },
    #[error("{path} is a database, but not a ledger")]
    Foreign { path: PathBuf },
    #[error("could not {operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        cause: Arc<io::Error>,
    },
    /// The request's closure panicked; nothing of it remains.
    #[error("a request to the ledger panicked: {message}")]
    Panicked { message: String },
    /// SQLite gave up the transaction that the request shared with others; nothing of it remains.
    #[error("the transaction was given up because of another request")]
    Aborted,
    #[error("could not hash the password: {detail}")]
    Password { detail: String },
    #[error("the ledger is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn not_found(what: &'static str) -> Self {
        Self::NotFound { what }
    }
    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { operation, path, cause: Arc::new(cause) }
    }
    /// The adapter for `map_err`: `operation` completes the sentence "could not ...".
    pub(crate) fn sql(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |error| classify(operation, error)
    }
}

/// For callers to whom absence is an answer: `tx.dyno_fetch(id).or_none()?`.
pub trait OrNone<T> {
    fn or_none(self) -> Result<Option<T>, StoreError>;
}

impl<T> OrNone<T> for Result<T, StoreError> {
    fn or_none(self) -> Result<Option<T>, StoreError> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

fn classify(operation: &'static str, error: rusqlite::Error) -> StoreError {
    if let rusqlite::Error::SqliteFailure(failure, message) = &error {
        let message = message.as_deref().unwrap_or_default();
        match (failure.code, failure.extended_code) {
            (ErrorCode::DiskFull, _) => return StoreError::Full { operation },
            (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                return StoreError::Conflict { what: taken(message) };
            }
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => return StoreError::Dangling { operation },
            _ => {}
        }
    }
    StoreError::Sql { operation, cause: Arc::new(error) }
}

/// SQLite names the columns of the violated index; this names what a person would say of them.
fn taken(message: &str) -> &'static str {
    let columns = message.strip_prefix("UNIQUE constraint failed: ").unwrap_or_default();
    match columns {
        "account.email" => "email",
        "app.name" => "app name",
        "app_transfer.app" => "transfer of the app",
        "build.app" => "unfinished build",
        "collaborator.app, collaborator.account" => "collaborator",
        "formation.app, formation.process_type" => "formation",
        "release.app" => "current release",
        "release.app, release.version" => "release version",
        "ssh_key.account, ssh_key.fingerprint" => "key",
        "team.name" => "team name",
        "team_member.team, team_member.account" => "member",
        "token.hash" => "token",
        _ => "id",
    }
}

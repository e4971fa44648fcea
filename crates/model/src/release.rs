//! Releases and slugs: the ledger. A release is a slug, the config vars and the set of add-on attachments, under the
//! next number; it is never changed but for its status, and never removed.
//!
//! ```text
//! Pending ──release command ended well──> Succeeded       (no release command: Succeeded at once)
//!    └────── it failed or timed out ────> Failed          (the release before it keeps serving)
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{AccountId, AppId, ConfigVars, DynoId, LayerDigest, ProcessType, ReleaseId, SlugId, StackName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: ReleaseId,
    pub app: AppId,
    pub version: u64,
    pub status: ReleaseStatus,
    pub description: String,
    pub user: AccountId,
    pub slug: Option<SlugId>,
    pub config: ConfigVars,
    /// Ids of the add-on attachments in force.
    pub attachments: Vec<String>,
    /// The release phase's dyno, if the slug declares a `release` process; its id was chosen with the row.
    pub command_dyno: Option<DynoId>,
    /// Whether this is the one that the formation runs: the newest that succeeded.
    pub current: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseStatus {
    Pending,
    Succeeded,
    Failed,
    Expired,
}

impl ReleaseStatus {
    pub const ALL: [ReleaseStatus; 4] = [Self::Pending, Self::Succeeded, Self::Failed, Self::Expired];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What a build leaves: layers in order (lowest first) over the stack, and the commands of its process types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    pub id: SlugId,
    pub app: AppId,
    pub stack: StackName,
    pub layers: Vec<SlugLayer>,
    pub process_types: BTreeMap<ProcessType, String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    pub buildpack_provided_description: Option<String>,
    /// Of the archive, as whoever brought it said; none for what was built here.
    pub checksum: Option<String>,
    pub bytes: u64,
    pub created_at: Timestamp,
}

/// A slug that somebody brings: said first, then put as an archive, and unpacked when it is released.
///
/// ```text
/// Said ──archive put──> There ──released: unpacked in a build dyno──> Slug
///   └────────────────────┴──── its time is over, the app is gone ───> Gone, with the archive
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugUpload {
    /// Also the slug's.
    pub id: SlugId,
    pub app: AppId,
    pub stack: StackName,
    pub process_types: BTreeMap<ProcessType, String>,
    /// `SHA256:` and 64 hex digits.
    pub checksum: Option<String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    pub buildpack_provided_description: Option<String>,
    pub created_at: Timestamp,
}

/// One content-addressed image. `key` is what it was made from (`buildpacks.md` §8); the app layer has none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SlugLayer {
    pub digest: LayerDigest,
    pub key: Option<String>,
    pub bytes: u64,
}

impl Slug {
    /// The command of a process type, as its Procfile or buildpack gave it.
    pub fn command(&self, process_type: &ProcessType) -> Option<&str> {
        self.process_types.get(process_type).map(String::as_str)
    }
}

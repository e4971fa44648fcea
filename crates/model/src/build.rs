//! A build: source in, slug out.
//!
//! ```text
//! Pending ──dyno started──> Building ──slug packed, release made──> Succeeded
//!    └──────────────────────────┴────── anything refused ─────────> Failed
//! ```
//!
//! Somebody may cancel it until its release is made; it is then on its way to Failed, wherever it stands.

use jiff::Timestamp;

use crate::{AccountId, AppId, BuildId, DynoId, ReleaseId, SlugId, StackName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub id: BuildId,
    pub app: AppId,
    pub user: AccountId,
    pub status: BuildStatus,
    pub source: BuildSource,
    pub stack: StackName,
    /// The list in force when the build began; empty means detection.
    pub buildpacks: Vec<String>,
    /// Chosen before the dyno is made, so that making it twice makes one.
    pub dyno: DynoId,
    pub slug: Option<SlugId>,
    pub release: Option<ReleaseId>,
    /// Wanted: it ends, and makes no release.
    pub cancelled: bool,
    /// What the user reads about a failure.
    pub failure: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStatus {
    Pending,
    Building,
    Succeeded,
    Failed,
}

impl BuildStatus {
    pub const ALL: [BuildStatus; 4] = [Self::Pending, Self::Building, Self::Succeeded, Self::Failed];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Building => "building",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Where the source came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildSource {
    /// A pushed commit (40 hex), and the branch that moves when the release stands.
    Git { commit: String, branch: String, previous: Option<String> },
    /// A tarball's URL as given to the build API.
    Url { url: String, checksum: Option<String>, version: Option<String>, description: Option<String> },
    /// No source, but a finished slug that somebody brought: it is unpacked, and nothing is released. Users do not
    /// see such a build.
    Slug { slug: SlugId },
}

impl BuildSource {
    /// What `Deploy ...` names and `SOURCE_VERSION` holds.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Git { commit, .. } => Some(commit),
            Self::Url { version, .. } => version.as_deref(),
            Self::Slug { .. } => None,
        }
    }

    pub fn slug(&self) -> Option<SlugId> {
        match self {
            Self::Slug { slug } => Some(*slug),
            Self::Git { .. } | Self::Url { .. } => None,
        }
    }
}

//! Builds and the uploads that feed them.

use renga_model::{Account, App, Build as ModelBuild, BuildSource, BuildStatus as ModelStatus};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BuildpackName, IdOnly, Time, UserRef};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Build {
    pub app: IdOnly,
    pub buildpacks: Option<Vec<BuildpackName>>,
    pub created_at: Time,
    pub generation: String,
    pub id: Uuid,
    pub output_stream_url: String,
    pub source_blob: SourceBlob,
    pub release: Option<IdOnly>,
    pub slug: Option<IdOnly>,
    pub stack: String,
    pub status: BuildStatus,
    pub updated_at: Time,
    pub user: UserRef,
}

/// Heroku has three words; a build that waits and one that runs are both `pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
    Pending,
    Succeeded,
    Failed,
}

impl From<ModelStatus> for BuildStatus {
    fn from(status: ModelStatus) -> Self {
        match status {
            ModelStatus::Pending | ModelStatus::Building => Self::Pending,
            ModelStatus::Succeeded => Self::Succeeded,
            ModelStatus::Failed => Self::Failed,
        }
    }
}

/// As sent with a build, and as shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceBlob {
    #[serde(default)]
    pub checksum: Option<String>,
    pub url: String,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub version_description: Option<String>,
}

impl SourceBlob {
    /// Of a push the repository's URL is shown: there is no tarball.
    fn of(source: &BuildSource, git_url: &str) -> Self {
        match source {
            // Such a build is shown to nobody.
            BuildSource::Slug { .. } => {
                Self { checksum: None, url: git_url.to_owned(), version: None, version_description: None }
            }
            BuildSource::Git { commit, .. } => Self {
                checksum: None,
                url: git_url.to_owned(),
                version: Some(commit.clone()),
                version_description: None,
            },
            BuildSource::Url { url, checksum, version, description } => Self {
                checksum: checksum.clone(),
                url: url.clone(),
                version: version.clone(),
                version_description: description.clone(),
            },
        }
    }
}

impl Build {
    pub fn new(
        build: &ModelBuild,
        app: &App,
        user: &Account,
        git_url: &str,
        output_stream_url: String,
    ) -> Self {
        let pack = |name: &String| BuildpackName { url: name.clone(), name: name.clone() };
        Self {
            app: IdOnly { id: app.id.uuid() },
            buildpacks: Some(build.buildpacks.iter().map(pack).collect()),
            created_at: build.created_at.into(),
            generation: "cedar".into(),
            id: build.id.uuid(),
            output_stream_url,
            source_blob: SourceBlob::of(&build.source, git_url),
            release: build.release.map(|release| IdOnly { id: release.uuid() }),
            slug: build.slug.map(|slug| IdOnly { id: slug.uuid() }),
            stack: build.stack.to_string(),
            // Nothing comes of a cancelled one any more.
            status: if build.cancelled { BuildStatus::Failed } else { build.status.into() },
            updated_at: build.updated_at.into(),
            user: UserRef::new(user),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildCreate {
    pub source_blob: SourceBlob,
    #[serde(default)]
    pub buildpacks: Option<Vec<BuildpackChoice>>,
    /// Sent by some clients; refused unless it is the app's own.
    #[serde(default)]
    pub stack: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildpackChoice {
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Source {
    pub source_blob: SourceUrls,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceUrls {
    pub get_url: String,
    pub put_url: String,
}

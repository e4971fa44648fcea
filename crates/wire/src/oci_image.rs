//! OCI images: what a client says about one that it made elsewhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IdName, Time, ids::named};

/// What is kept, and what a client sends; only the digest is needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciImageCreate {
    pub digest: String,
    #[serde(default)]
    pub architecture: Option<String>,
    #[serde(default)]
    pub base_image_name: Option<String>,
    #[serde(default)]
    pub base_top_layer: Option<String>,
    #[serde(default)]
    pub buildpacks: Option<Vec<OciBuildpack>>,
    #[serde(default)]
    pub commit: Option<String>,
    #[serde(default)]
    pub commit_description: Option<String>,
    #[serde(default)]
    pub image_repo: Option<String>,
    #[serde(default)]
    pub process_types: Option<BTreeMap<String, OciProcess>>,
    /// Name or id.
    #[serde(default)]
    pub stack: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciBuildpack {
    pub id: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub homepage: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciProcess {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub display_cmd: String,
    #[serde(default)]
    pub command: String,
    #[serde(default)]
    pub working_dir: String,
    #[serde(default)]
    pub default: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OciImage {
    pub id: Uuid,
    pub base_image_name: String,
    pub base_top_layer: String,
    pub commit: String,
    pub commit_description: String,
    pub image_repo: String,
    pub digest: String,
    pub stack: IdName,
    pub process_types: BTreeMap<String, OciProcess>,
    pub buildpacks: Vec<OciBuildpack>,
    pub created_at: Time,
    pub updated_at: Time,
    pub architecture: Option<String>,
    pub deleted_at: Option<Time>,
}

impl OciImage {
    /// `said` has its stack named.
    pub fn new(id: Uuid, said: OciImageCreate, created_at: Timestamp) -> Self {
        Self {
            id,
            base_image_name: said.base_image_name.unwrap_or_default(),
            base_top_layer: said.base_top_layer.unwrap_or_default(),
            commit: said.commit.unwrap_or_default(),
            commit_description: said.commit_description.unwrap_or_default(),
            image_repo: said.image_repo.unwrap_or_default(),
            digest: said.digest,
            stack: named("stack", &said.stack.unwrap_or_default()),
            process_types: said.process_types.unwrap_or_default(),
            buildpacks: said.buildpacks.unwrap_or_default(),
            created_at: created_at.into(),
            updated_at: created_at.into(),
            architecture: said.architecture,
            deleted_at: None,
        }
    }
}

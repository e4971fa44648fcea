//! Releases, slugs and config vars.

use std::collections::BTreeMap;

use renga_model::{Account, App, ConfigVars, Release as ModelRelease, Slug as ModelSlug, SlugUpload};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    IdName, IdOnly, NameId, Time, UserRef,
    ids::{app_ref, named},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Release {
    pub addon_plan_names: Vec<String>,
    pub artifacts: Vec<Artifact>,
    pub app: NameId,
    pub created_at: Time,
    pub description: String,
    pub id: Uuid,
    pub updated_at: Time,
    pub slug: Option<IdOnly>,
    pub status: String,
    pub user: UserRef,
    pub version: u64,
    pub current: bool,
    pub output_stream_url: Option<String>,
    pub eligible_for_rollback: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Artifact {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Uuid,
}

impl Release {
    pub fn new(
        release: &ModelRelease,
        app: &App,
        user: &Account,
        eligible_for_rollback: bool,
        output_stream_url: Option<String>,
    ) -> Self {
        let slug = release.slug.map(|slug| IdOnly { id: slug.uuid() });
        Self {
            addon_plan_names: Vec::new(),
            artifacts: slug.iter().map(|slug| Artifact { kind: "slug".into(), id: slug.id }).collect(),
            app: app_ref(app),
            created_at: release.created_at.into(),
            description: release.description.clone(),
            id: release.id.uuid(),
            updated_at: release.updated_at.into(),
            slug,
            status: release.status.as_str().to_owned(),
            user: UserRef::new(user),
            version: release.version,
            current: release.current,
            output_stream_url,
            eligible_for_rollback,
        }
    }
}

/// A new release of a slug, or (with `release`) a rollback.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCreate {
    #[serde(default)]
    pub slug: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// Id of the release to go back to; its version number is understood too.
    #[serde(default)]
    pub release: Option<String>,
    #[serde(default)]
    pub oci_image: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slug {
    pub blob: SlugBlob,
    pub buildpack_provided_description: Option<String>,
    pub checksum: Option<String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    pub created_at: Time,
    pub id: Uuid,
    pub process_types: BTreeMap<String, String>,
    pub size: Option<u64>,
    pub stack: IdName,
    pub updated_at: Time,
    pub deleted_at: Option<Time>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlugCreate {
    pub process_types: BTreeMap<String, String>,
    /// Name or id; left out, it is the one that the app is built for.
    #[serde(default)]
    pub stack: Option<String>,
    #[serde(default)]
    pub checksum: Option<String>,
    #[serde(default)]
    pub commit: Option<String>,
    #[serde(default)]
    pub commit_description: Option<String>,
    #[serde(default)]
    pub buildpack_provided_description: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlugBlob {
    pub method: String,
    pub url: String,
}

impl Slug {
    /// What was built here is a list of layers; the checksum names the top one, which changes with every build.
    pub fn new(slug: &ModelSlug, blob_url: String) -> Self {
        let top = || slug.layers.last().map(|layer| format!("SHA256:{}", layer.digest));
        Self {
            blob: SlugBlob { method: "get".into(), url: blob_url },
            buildpack_provided_description: slug.buildpack_provided_description.clone(),
            checksum: slug.checksum.clone().or_else(top),
            commit: slug.commit.clone(),
            commit_description: slug.commit_description.clone(),
            created_at: slug.created_at.into(),
            id: slug.id.uuid(),
            process_types: slug.process_types.iter().map(|(t, c)| (t.to_string(), c.clone())).collect(),
            size: Some(slug.bytes),
            stack: named("stack", slug.stack.as_str()),
            updated_at: slug.created_at.into(),
            deleted_at: None,
        }
    }

    /// One that is not unpacked yet: its size is known then.
    pub fn brought(upload: &SlugUpload, blob: SlugBlob) -> Self {
        Self {
            blob,
            buildpack_provided_description: upload.buildpack_provided_description.clone(),
            checksum: upload.checksum.clone(),
            commit: upload.commit.clone(),
            commit_description: upload.commit_description.clone(),
            created_at: upload.created_at.into(),
            id: upload.id.uuid(),
            process_types: upload.process_types.iter().map(|(t, c)| (t.to_string(), c.clone())).collect(),
            size: None,
            stack: named("stack", upload.stack.as_str()),
            updated_at: upload.created_at.into(),
            deleted_at: None,
        }
    }
}

/// `null` removes. Values of other kinds than text are refused with the var's name.
pub type ConfigChange = BTreeMap<String, Option<String>>;

/// The flat map of the API: the one public shape that holds secrets, by design of the API.
pub fn config_vars(vars: &ConfigVars) -> BTreeMap<String, String> {
    vars.iter().map(|(key, value)| (key.to_string(), value.expose().to_owned())).collect()
}

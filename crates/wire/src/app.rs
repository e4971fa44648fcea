//! Apps and the small things that hang on them: buildpacks, features.

use renga_model::{Account, App as ModelApp, StackName, Team};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    IdName, Site, Time, UserRef,
    ids::{derived_id, named},
    loose::{flag, flag_or_none, list_or_null},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct App {
    pub acm: bool,
    pub archived_at: Option<Time>,
    pub buildpack_provided_description: Option<String>,
    pub build_stack: IdName,
    pub created_at: Time,
    pub generation: IdName,
    pub git_url: String,
    pub id: Uuid,
    pub internal_routing: Option<bool>,
    pub maintenance: bool,
    pub name: String,
    pub owner: UserRef,
    pub organization: Option<IdName>,
    pub team: Option<IdName>,
    pub region: IdName,
    pub released_at: Option<Time>,
    pub repo_size: Option<u64>,
    pub slug_size: Option<u64>,
    pub space: Option<IdName>,
    pub stack: IdName,
    pub updated_at: Time,
    pub web_url: Option<String>,
}

impl App {
    pub fn new(app: &ModelApp, owner: &Account, site: &Site) -> Self {
        Self {
            acm: app.acm,
            archived_at: None,
            buildpack_provided_description: app.buildpack_provided_description.clone(),
            build_stack: named("stack", app.build_stack.as_str()),
            created_at: app.created_at.into(),
            generation: named("generation", "cedar"),
            git_url: site.git_url(&app.name),
            id: app.id.uuid(),
            internal_routing: None,
            maintenance: app.maintenance,
            name: app.name.to_string(),
            owner: UserRef::new(owner),
            organization: None,
            team: None,
            region: named("region", &site.region),
            released_at: app.released_at.map(Time),
            repo_size: app.repo_bytes,
            slug_size: app.slug_bytes,
            space: None,
            stack: named("stack", app.stack.as_str()),
            updated_at: app.updated_at.into(),
            web_url: Some(site.web_url(app)),
        }
    }

    /// Of an app that a team owns.
    pub fn of_team(mut self, team: Option<&Team>) -> Self {
        let team = team.map(|team| IdName { id: team.id.uuid(), name: team.name.to_string() });
        (self.organization, self.team) = (team.clone(), team);
        self
    }
}

/// `kernel`, `locked` and `internal_routing` belong to teams and spaces, and are refused if they ask for something.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppCreate {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub stack: Option<String>,
    #[serde(default)]
    pub feature_flags: Option<Vec<String>>,
    #[serde(default)]
    pub kernel: Option<String>,
    #[serde(default)]
    pub locked: Option<bool>,
    #[serde(default)]
    pub internal_routing: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppUpdate {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "flag_or_none")]
    pub maintenance: Option<bool>,
    #[serde(default)]
    pub build_stack: Option<String>,
}

impl AppUpdate {
    /// A stack may be named by its id; the list says which stacks there are.
    pub fn stack_named(text: &str, stacks: &[StackName]) -> Option<StackName> {
        let by_id = text.parse::<Uuid>().ok();
        let fits =
            |stack: &&StackName| stack.as_str() == text || by_id == Some(derived_id("stack", stack.as_str()));
        stacks.iter().find(fits).cloned()
    }
}

// === buildpacks ===

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackInstallation {
    pub ordinal: usize,
    pub buildpack: BuildpackName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackName {
    pub url: String,
    pub name: String,
}

impl BuildpackInstallation {
    pub fn list(app: &ModelApp) -> Vec<Self> {
        let one = |(ordinal, buildpack): (usize, &renga_model::Buildpack)| Self {
            ordinal,
            buildpack: BuildpackName { url: buildpack.0.clone(), name: buildpack.0.clone() },
        };
        app.buildpacks.iter().enumerate().map(one).collect()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildpackUpdates {
    #[serde(deserialize_with = "list_or_null")]
    pub updates: Vec<BuildpackUpdate>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildpackUpdate {
    pub buildpack: String,
}

// === features ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feature {
    pub created_at: Time,
    pub description: String,
    pub doc_url: String,
    pub enabled: bool,
    pub id: Uuid,
    pub name: String,
    pub state: String,
    pub updated_at: Time,
    pub display_name: String,
    pub feedback_email: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureUpdate {
    #[serde(deserialize_with = "flag")]
    pub enabled: bool,
}

//! Apps, their buildpacks and their formation.

use jiff::Timestamp;

use crate::{AccountId, AppId, AppName, FormationId, ProcessType, StackName};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub owner: AccountId,
    /// The stack that the current slug runs on, and the one that the next build uses.
    pub stack: StackName,
    pub build_stack: StackName,
    pub maintenance: bool,
    /// Whether its custom domains get certificates by themselves.
    pub acm: bool,
    /// Of a team's app: members do not join it by themselves.
    pub locked: bool,
    /// Set when the owner destroyed it: loops take it apart, then the row goes.
    pub deleted: bool,
    pub buildpacks: Vec<Buildpack>,
    /// Name shown by the last successful build (`Python`), or none yet.
    pub buildpack_provided_description: Option<String>,
    /// The built-in that detection chose on the first successful build; it stays until the list changes.
    pub detected_buildpack: Option<String>,
    pub repo_bytes: Option<u64>,
    pub slug_bytes: Option<u64>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub released_at: Option<Timestamp>,
    /// Features of the app that were switched away from their default (`preboot` is on by default).
    pub features_on: Vec<String>,
    pub features_off: Vec<String>,
}

/// A buildpack as the user named it: `heroku/python`, a git URL with `#ref`, or a tarball's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buildpack(pub String);

/// How many dynos of a process type are wanted, and of which size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formation {
    pub id: FormationId,
    pub app: AppId,
    pub process_type: ProcessType,
    pub quantity: u32,
    /// Name in the size table, as shown (`Basic`).
    pub size: String,
    /// Raised by `ps:restart`: dynos of an older epoch are replaced.
    pub epoch: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

//! Everything that a user can ask for. Each operation is one short transaction and a bell; what follows from it is the
//! loops' business.
//!
//! ```text
//! caller ──app_for(permission)──> app ──operation──> rows ──bell──> loops
//!                                            └─────> a line in the app's log
//! ```
//!
//! Operations take words that are parsed already and answer with rows of the ledger, or with a [`Refusal`] that the
//! user may read. They know no HTTP; who may do what is asked in one place ([`access`]), before the operation.
//!
//! [`Refusal`]: renga_model::Refusal

mod access;
mod accounts;
mod acm;
mod apps;
mod buildpacks;
pub mod builds;
mod collaborators;
mod config;
mod domains;
mod dynos;
mod exec;
mod favorites;
mod features;
mod formation;
mod keys;
mod links;
mod names;
mod oauth;
mod oci_images;
mod one_offs;
mod profile;
pub mod release;
mod releases;
mod room;
pub(crate) mod slugs;
pub mod sources;
mod team_apps;
mod team_invitations;
mod team_members;
mod teams;
mod transfers;
mod two_factor;
mod usage;
mod users;
mod why;

pub use access::{Person, TeamRight};
pub use accounts::{Caller, TokenNew};
pub use apps::{AppChange, AppNew, AppView};
pub use buildpacks::buildpack_shown;
pub use collaborators::{AccessRole, Accessor};
pub(crate) use domains::endpoint_name;
pub use domains::{AcmView, DomainView, SniEndpointView};
pub use exec::ExecNew;
pub use features::{FEATURES, FeatureInfo, feature_enabled};
pub use formation::{FormationChange, Quantity, WithCommand};
pub use links::{Invited, Link};
pub use oauth::{Exchanged, Granted, parse_scopes};
pub use one_offs::{ATTACH_SECRET_CHARS, Attachable, OneOffNew};
pub use profile::{ACCOUNT_FEATURES, AccountChange, AccountFeature, account_feature_enabled, check_password};
pub use releases::ReleaseView;
pub use renga_model::Permission;
pub(crate) use room::quotas_held;
pub use slugs::{SlugNew, SlugView};
pub use team_apps::{AppTaker, TeamAppView};
pub use team_invitations::InvitationView;
pub use team_members::{MemberPut, MemberView};
pub use teams::{PermissionEntity, TEAM_FEATURES, TeamFeature, TeamView};
pub use transfers::TransferView;
pub use two_factor::Enrolment;
pub(crate) use usage::CpuTimes;
pub use usage::DynoUse;
pub(crate) use why::ended;
pub use why::{Seen, Standing, Why};

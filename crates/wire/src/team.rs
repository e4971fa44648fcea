//! Teams, their members and their apps.

use renga_model::{
    Account, App as ModelApp, Permissions, Team as ModelTeam, TeamInvitation as ModelInvitation, TeamRole,
    limits,
};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use uuid::Uuid;

use crate::{App, IdName, Time, UserRef};

/// The published schema has no word for a viewer in its answers.
pub fn role_shown(role: TeamRole) -> Option<&'static str> {
    match role {
        TeamRole::Viewer => None,
        role => Some(role.as_str()),
    }
}

fn owned_role(role: TeamRole) -> Option<String> {
    role_shown(role).map(str::to_owned)
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Team {
    pub id: Uuid,
    pub created_at: Time,
    pub credit_card_collections: bool,
    pub default: bool,
    pub enterprise_account: Option<IdName>,
    pub identity_provider: Option<IdName>,
    pub membership_limit: Option<u64>,
    pub name: String,
    pub provisioned_licenses: bool,
    /// Of the caller.
    pub role: Option<String>,
    pub r#type: String,
    pub updated_at: Time,
}

impl Team {
    pub fn new(team: &ModelTeam, role: TeamRole, default: bool) -> Self {
        Self {
            id: team.id.uuid(),
            created_at: team.created_at.into(),
            credit_card_collections: false,
            default,
            enterprise_account: None,
            identity_provider: None,
            membership_limit: u64::try_from(limits::MEMBERS_PER_TEAM_MAX).ok(),
            name: team.name.to_string(),
            provisioned_licenses: false,
            role: owned_role(role),
            r#type: "team".into(),
            updated_at: team.updated_at.into(),
        }
    }
}

/// What Heroku asks for to send a bill is not read: nobody is billed here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamCreate {
    pub name: String,
    #[serde(default, skip_serializing)]
    pub address_1: Unread,
    #[serde(default, skip_serializing)]
    pub address_2: Unread,
    #[serde(default, skip_serializing)]
    pub card_number: Unread,
    #[serde(default, skip_serializing)]
    pub city: Unread,
    #[serde(default, skip_serializing)]
    pub country: Unread,
    #[serde(default, skip_serializing)]
    pub cvv: Unread,
    #[serde(default, skip_serializing)]
    pub expiration_month: Unread,
    #[serde(default, skip_serializing)]
    pub expiration_year: Unread,
    #[serde(default, skip_serializing)]
    pub first_name: Unread,
    #[serde(default, skip_serializing)]
    pub last_name: Unread,
    #[serde(default, skip_serializing)]
    pub other: Unread,
    #[serde(default, skip_serializing)]
    pub postal_code: Unread,
    #[serde(default, skip_serializing)]
    pub state: Unread,
    #[serde(default, skip_serializing)]
    pub nonce: Unread,
    #[serde(default, skip_serializing)]
    pub device_data: Unread,
}

/// A member of a request that may be there and is dropped, whatever it holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamUpdate {
    #[serde(default)]
    pub default: Option<bool>,
    #[serde(default)]
    pub name: Option<String>,
}

// === apps ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamApp {
    pub archived_at: Option<Time>,
    pub buildpack_provided_description: Option<String>,
    pub build_stack: IdName,
    pub created_at: Time,
    pub git_url: String,
    pub id: Uuid,
    pub internal_routing: Option<bool>,
    pub joined: bool,
    pub locked: bool,
    pub maintenance: bool,
    pub name: String,
    pub team: Option<TeamName>,
    pub owner: Option<UserRef>,
    pub region: IdName,
    pub released_at: Option<Time>,
    pub repo_size: Option<u64>,
    pub slug_size: Option<u64>,
    pub space: Option<IdName>,
    pub stack: IdName,
    pub updated_at: Time,
    pub web_url: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamName {
    pub name: String,
}

impl TeamApp {
    /// The same app in other words.
    pub fn new(shown: App, app: &ModelApp, joined: bool) -> Self {
        Self {
            archived_at: shown.archived_at,
            buildpack_provided_description: shown.buildpack_provided_description,
            build_stack: shown.build_stack,
            created_at: shown.created_at,
            git_url: shown.git_url,
            id: shown.id,
            internal_routing: shown.internal_routing,
            joined,
            locked: app.locked,
            maintenance: shown.maintenance,
            name: shown.name,
            team: shown.team.map(|team| TeamName { name: team.name }),
            owner: Some(shown.owner),
            region: shown.region,
            released_at: shown.released_at,
            repo_size: shown.repo_size,
            slug_size: shown.slug_size,
            space: shown.space,
            stack: shown.stack,
            updated_at: shown.updated_at,
            web_url: shown.web_url,
        }
    }
}

/// `kernel` and `feature_flags` are the command line's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamAppCreate {
    #[serde(default)]
    pub locked: Option<bool>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub team: Option<String>,
    #[serde(default)]
    pub personal: Option<bool>,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub space: Option<String>,
    #[serde(default)]
    pub stack: Option<String>,
    #[serde(default)]
    pub internal_routing: Option<bool>,
    #[serde(default)]
    pub feature_flags: Option<Vec<String>>,
    #[serde(default)]
    pub kernel: Option<String>,
}

/// One or the other.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamAppUpdate {
    #[serde(default)]
    pub locked: Option<bool>,
    /// A team's name or id, an account's address or id, or `~`.
    #[serde(default)]
    pub owner: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamAppCollaboratorCreate {
    pub user: String,
    #[serde(default)]
    pub permissions: Option<Vec<String>>,
    #[serde(default)]
    pub silent: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamAppCollaboratorUpdate {
    pub permissions: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PermissionEntity {
    pub id: Uuid,
    pub name: String,
    pub team_id: Uuid,
    pub r#type: String,
    pub users: Vec<PermissionUser>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PermissionUser {
    pub email: String,
    pub id: Uuid,
    pub permissions: Vec<String>,
}

impl PermissionEntity {
    pub fn new(team: &ModelTeam, app: &ModelApp, users: &[(Account, Permissions)]) -> Self {
        let user = |(account, permissions): &(Account, Permissions)| PermissionUser {
            email: account.email.clone(),
            id: account.id.uuid(),
            permissions: permissions.given().map(|permission| permission.as_str().to_owned()).collect(),
        };
        Self {
            id: app.id.uuid(),
            name: app.name.to_string(),
            team_id: team.id.uuid(),
            r#type: "app".into(),
            users: users.iter().map(user).collect(),
        }
    }
}

// === members ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamMember {
    pub created_at: Time,
    pub email: String,
    pub federated: bool,
    pub id: Uuid,
    pub identity_provider: Option<IdName>,
    pub role: Option<String>,
    pub two_factor_authentication: bool,
    pub updated_at: Time,
    pub user: UserName,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserName {
    pub email: String,
    pub id: Uuid,
    pub name: Option<String>,
}

impl UserName {
    pub fn new(account: &Account) -> Self {
        Self { email: account.email.clone(), id: account.id.uuid(), name: account.name.clone() }
    }
}

impl TeamMember {
    pub fn new(account: &Account, role: TeamRole, id: Uuid, created_at: Time, updated_at: Time) -> Self {
        Self {
            created_at,
            email: account.email.clone(),
            federated: false,
            id,
            identity_provider: None,
            role: owned_role(role),
            two_factor_authentication: false,
            updated_at,
            user: UserName::new(account),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamMemberPut {
    pub email: String,
    pub role: String,
    #[serde(default)]
    pub federated: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TeamInvitation {
    pub created_at: Time,
    pub id: Uuid,
    pub invited_by: UserName,
    pub team: IdName,
    pub role: Option<String>,
    pub updated_at: Time,
    pub user: UserName,
}

impl TeamInvitation {
    pub fn new(row: &ModelInvitation, team: &ModelTeam, invited: &Account, invited_by: &Account) -> Self {
        Self {
            created_at: row.created_at.into(),
            id: row.id.uuid(),
            invited_by: UserName::new(invited_by),
            team: IdName { id: team.id.uuid(), name: team.name.to_string() },
            role: owned_role(row.role),
            updated_at: row.updated_at.into(),
            user: UserName::new(invited),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamInvitationCreate {
    pub email: String,
    pub role: Option<String>,
}

// === preferences ===

/// New members get the role that they are added with, and there are no rules for add-ons.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TeamPreferences {
    #[serde(rename = "default-permission")]
    pub default_permission: Option<String>,
    #[serde(rename = "addons-controls")]
    pub addons_controls: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamPreferencesUpdate {
    #[serde(default, rename = "addons-controls")]
    pub addons_controls: Option<bool>,
}

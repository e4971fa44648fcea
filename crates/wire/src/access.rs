//! Who has access to an app: collaborators, permissions, transfers.

use renga_model::{
    Account, App as ModelApp, AppTransfer as ModelTransfer, Collaborator as ModelCollaborator,
    Permission as ModelPermission, Permissions,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    NameId, Time, UserRef,
    ids::{app_ref, derived_id},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Collaborator {
    pub app: NameId,
    pub created_at: Time,
    pub id: Uuid,
    pub permissions: Vec<Permission>,
    pub role: Option<String>,
    pub updated_at: Time,
    pub user: CollaboratorUser,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollaboratorUser {
    pub email: String,
    pub federated: bool,
    pub id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub name: String,
    pub description: String,
}

impl Permission {
    pub fn new(permission: ModelPermission) -> Self {
        Self { name: permission.as_str().into(), description: permission.description().into() }
    }
    pub fn list(permissions: Permissions) -> Vec<Self> {
        permissions.given().map(Self::new).collect()
    }
}

impl Collaborator {
    /// An owner has no row; his id follows from the app's and his own, so that it stays.
    pub fn new(
        app: &ModelApp,
        account: &Account,
        role: Option<&str>,
        permissions: Permissions,
        row: Option<&ModelCollaborator>,
    ) -> Self {
        let derived = || derived_id("collaborator", &format!("{}/{}", app.id, account.id));
        Self {
            app: app_ref(app),
            created_at: row.map_or(app.created_at, |row| row.created_at).into(),
            id: row.map_or_else(derived, |row| row.id.uuid()),
            permissions: Permission::list(permissions),
            role: role.map(str::to_owned),
            updated_at: row.map_or(app.created_at, |row| row.updated_at).into(),
            user: CollaboratorUser { email: account.email.clone(), federated: false, id: account.id.uuid() },
        }
    }
}

/// `silent` asks for no mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollaboratorCreate {
    pub user: String,
    #[serde(default)]
    pub silent: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppTransfer {
    pub app: NameId,
    pub created_at: Time,
    pub id: Uuid,
    pub owner: UserRef,
    pub recipient: UserRef,
    pub state: String,
    pub updated_at: Time,
}

impl AppTransfer {
    pub fn new(row: &ModelTransfer, app: &ModelApp, owner: &Account, recipient: &Account) -> Self {
        Self {
            app: app_ref(app),
            created_at: row.created_at.into(),
            id: row.id.uuid(),
            owner: UserRef::new(owner),
            recipient: UserRef::new(recipient),
            state: row.state.as_str().into(),
            updated_at: row.updated_at.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppTransferCreate {
    pub app: String,
    pub recipient: String,
    #[serde(default)]
    pub silent: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppTransferUpdate {
    pub state: String,
}
